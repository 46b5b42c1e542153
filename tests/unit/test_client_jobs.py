"""What the client makes of answers: typed results, pages, waiting, handles."""

from __future__ import annotations

import dataclasses
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest

from ductape import BrokenAnswer, DispatchOptions, WaitTimeout
from ductape._async import jobs as asynchronous
from ductape._sync import jobs as synchronous
from tests.unit.client_harness import DISPATCHED, JOB, Surface, in_order


@pytest.fixture(params=["sync", "async"])
def surface(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Surface:
    surface = Surface(request.param, monkeypatch)

    async def sleep(seconds: float) -> None:
        surface.pauses.append(seconds)

    monkeypatch.setattr(asynchronous, "sleep", sleep)
    monkeypatch.setattr(synchronous, "sleep", surface.pauses.append)
    return surface


def job(**changes: Any) -> httpx.Response:
    return httpx.Response(200, json={**JOB, **changes})


def test_a_job_has_times_as_datetimes_and_keeps_what_is_newer_than_the_client(surface: Surface) -> None:
    client = surface.client(in_order(job(retryConfig={"maxDelay": 5}, result=[1], of_next_year={"a": 1})))

    found = surface.ask(client.jobs.get("job_1"))

    assert found.scheduled_at == datetime(2026, 11, 24, 21, 53, 26, 555_000, tzinfo=UTC)
    assert (found.next_run_at, found.retry_config, found.result) == (None, {"maxDelay": 5}, [1])
    assert (found.raw["of_next_year"], found.is_final) == ({"a": 1}, False)
    assert "raw" not in repr(found)
    assert "_jobs" not in repr(found)
    with pytest.raises(dataclasses.FrozenInstanceError):
        found.status = "failed"


def test_two_jobs_are_equal_whichever_client_read_them(surface: Surface) -> None:
    one, other = (surface.ask(surface.client(in_order(job())).jobs.get("job_1")) for _ in range(2))

    assert one == other
    assert one != surface.ask(surface.client(in_order(job(status="running"))).jobs.get("job_1"))


def test_a_page_is_iterated_and_tells_how_many_there_are(surface: Surface) -> None:
    page = {"jobs": [JOB, {**JOB, "id": "job_2"}], "limit": 2, "offset": 0, "total": 7, "next_cursor": "cur_2"}
    client = surface.client(in_order(httpx.Response(200, json=page)))

    found = surface.ask(client.jobs.list(limit=2))

    assert [each.id for each in found] == [each.id for each in found.jobs] == ["job_1", "job_2"]
    assert (len(found), found.total, found.next_cursor) == (2, 7, "cur_2")


def test_all_jobs_are_read_page_after_page_by_the_cursor(surface: Surface) -> None:
    pages = [
        {"jobs": [JOB, {**JOB, "id": "job_2"}], "limit": 200, "next_cursor": "cur_2"},
        {"jobs": [{**JOB, "id": "job_3"}], "limit": 200, "next_cursor": None},
    ]
    client = surface.client(in_order(*(httpx.Response(200, json=page) for page in pages)))

    found = surface.ask(client.jobs.list_all(status="failed"))

    assert [each.id for each in found] == ["job_1", "job_2", "job_3"]
    assert [request.url.params["cursor"] for request in surface.requests] == ["", "cur_2"]
    assert {request.url.params["status"] for request in surface.requests} == {"failed"}


@pytest.mark.parametrize("body", [{"limit": 5}, {"jobs": {}, "limit": 5}, {"jobs": [3], "limit": 5}, []])
def test_a_page_that_is_none_is_a_broken_answer(surface: Surface, body: Any) -> None:
    with pytest.raises(BrokenAnswer):
        surface.ask(surface.client(in_order(httpx.Response(200, json=body))).jobs.list())


def test_a_dispatched_job_is_waited_for_until_it_is_final(surface: Surface) -> None:
    answers = [
        httpx.Response(201, json=DISPATCHED),
        job(),
        job(status="running"),
        job(status="completed", result={"a": 1}),
    ]
    client = surface.client(in_order(*answers))

    done = surface.ask(surface.ask(client.actions.dispatch(app="mail", event="send")).wait())

    assert (done.status, done.result) == ("completed", {"a": 1})
    assert [request.url.params.get("wait") for request in surface.requests] == [None, "20000", "20000", "20000"]


def test_a_recurring_job_is_waited_for_until_one_more_run_has_ended(surface: Surface) -> None:
    seen = {"recurring": True, "status": "scheduled"}
    answers = [job(**seen, successful_executions=n, failed_executions=1) for n in (4, 4, 5)]
    client = surface.client(in_order(*answers))

    done = surface.ask(surface.ask(client.jobs.get("job_1")).wait())

    assert (done.runs_ended, len(surface.requests)) == (6, 3)


def test_a_wait_that_is_over_tells_how_the_job_was(surface: Surface) -> None:
    client = surface.client(in_order(job(status="running")))

    with pytest.raises(WaitTimeout) as raised:
        surface.ask(client.jobs.wait("job_1", timeout=0))

    assert raised.value.job.status == "running"
    assert isinstance(raised.value, TimeoutError)
    assert surface.requests[0].url.params["wait"] == "0"


def test_a_job_that_is_final_is_not_asked_for(surface: Surface) -> None:
    client = surface.client(in_order(job(status="failed")))

    found = surface.ask(client.jobs.get("job_1"))

    assert surface.ask(found.wait()) is found
    assert len(surface.requests) == 1


def test_a_job_hands_its_calls_on(surface: Surface) -> None:
    history = {
        "job_id": "job_1", "total_executions": 0, "successful_executions": 0, "failed_executions": 0, "executions": [],
    }  # fmt: skip
    paths = []

    def handler(request: httpx.Request) -> httpx.Response:
        paths.append(f"{request.method} {request.url.path.removeprefix('/v1/jobs/job_1')}")
        if request.url.path.endswith("/history"):
            return httpx.Response(200, json=history)
        if request.url.path.endswith("/explain"):
            return httpx.Response(200, json={"job_id": "job_1", "status": "queued", "reason": "held", "sentence": "s"})
        return httpx.Response(204) if request.method == "DELETE" else job()

    found = surface.ask(surface.client(handler).jobs.get("job_1"))
    for call in (found.refresh, found.cancel, found.pause, found.resume, found.retry, found.trigger):
        assert surface.ask(call()) == found
    assert list(surface.ask(found.history())) == []
    assert surface.ask(found.explain()).sentence == "s"
    assert surface.ask(found.delete(force=True)) is None

    assert paths == [
        "GET ", "GET ", "POST /cancel", "POST /pause", "POST /resume", "POST /retry", "POST /trigger", "GET /history",
        "GET /explain", "DELETE ",
    ]  # fmt: skip


def test_options_of_a_dispatch_can_be_kept_and_given_to_several(surface: Surface) -> None:
    usual: DispatchOptions = {"retries": 3, "queue": "mail"}
    client = surface.client(in_order(httpx.Response(201, json=DISPATCHED)))

    for event in ("welcome", "goodbye"):
        surface.ask(client.actions.dispatch(app="mail", event=event, **usual))

    assert len(surface.requests) == 2


def test_a_call_over_many_jobs_tells_its_counts_or_its_operation(surface: Surface) -> None:
    done = {"count": 3, "skipped": 1, "errors": [{"job_id": "job_1", "code": "c", "detail": "d"}]}
    client = surface.client(
        in_order(httpx.Response(200, json=done), httpx.Response(202, json={"operation_id": "op_1"}))
    )

    counted = surface.ask(client.jobs.retry_many(status="failed"))
    begun = surface.ask(client.jobs.retry_many(status="failed"))

    assert (counted.count, counted.skipped, counted.errors[0].job_id) == (3, 1, "job_1")
    assert (begun.count, begun.operation_id) == (None, "op_1")
