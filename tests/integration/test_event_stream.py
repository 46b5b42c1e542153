"""`GET /v1/events/stream`: every transition that a key may see, once and as it happens, over reconnects too."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any, NamedTuple

import pytest
from pytest_django import Settings

from core.clock import database_now
from core.ids import encode
from core.shortcache import forget_everything
from core.tenancy import scopes
from core.tenancy.models import ApiKey
from core.times import to_ms
from jobs.ended import ORDER_SLACK
from jobs.lifecycle import intervene
from jobs.models import Job, JobEvent
from jobs.operations import streaming
from jobs.operations.streaming import streams
from tests.conformance.world import claim_one, complete, fail, new_job
from tests.integration.api import OPERATOR, Api, hang_up, key_of, told

pytestmark = pytest.mark.django_db

PATH = "/v1/events/stream"
HOURLY = {"every": 3_600_000}


@pytest.fixture(autouse=True)
def _here(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    settings.OPERATOR_API_KEY = OPERATOR
    settings.ROOT_URLCONF = "tests.integration.api"
    monkeypatch.setattr(streaming, "LOOK_SECONDS", 0.0)
    monkeypatch.setattr(streaming, "SIGN_SECONDS", 0.0)  # each look that finds nothing is told by a comment
    forget_everything()
    yield
    forget_everything()
    assert len(streams) == 0, "a stream was left open"


class Told(NamedTuple):
    upto: int
    type: str
    data: dict[str, Any]


class Listener:
    """A client of the stream, which reads no more than there is."""

    def __init__(self, answer: Any) -> None:
        assert answer.status_code == 200, answer.content
        assert answer["Content-Type"] == "text/event-stream"
        self._answer = answer
        self._frames = iter(answer.streaming_content)
        self.upto = -1
        next(self._frames)  # how soon to come again, and where it begins

    def heard(self) -> list[Told]:
        """The events since the last look, up to the next comment."""
        events: list[Told] = []
        while True:
            frame = next(self._frames).decode()
            fields = dict(line.split(": ", 1) for line in frame.strip().split("\n"))
            assert int(fields["id"]) >= self.upto, "a client that resumes would be told less than it was"
            self.upto = int(fields["id"])
            if "" in fields:
                return events
            events.append(Told(self.upto, fields["event"], json.loads(fields["data"])))

    def types(self) -> list[str]:
        return [event.type for event in self.heard()]

    def ends(self) -> bool:
        return next(self._frames, None) is None

    def close(self) -> None:
        hang_up(self._answer)


@pytest.fixture
def listen() -> Iterator[Callable[..., Listener]]:
    """Opens streams, and closes them after the test."""
    opened: list[Listener] = []

    def open_one(query: str = "", *, caller: Api | None = None, **headers: str) -> Listener:
        listener = Listener((caller or Api()).get(PATH + query, **headers))
        opened.append(listener)
        return listener

    yield open_one
    for listener in opened:
        listener.close()


def test_a_stream_tells_what_happens_from_now_on_in_order(listen: Callable[..., Listener]) -> None:
    complete(claim_one(new_job()))
    listener = listen()
    assert listener.heard() == []

    job = new_job()
    complete(claim_one(job))
    cancelled(other := new_job())
    last = JobEvent.objects.get(job_id=job.pk)
    heard = listener.heard()

    assert [(event.type, event.data["job_id"]) for event in heard] == [
        ("job.completed", encode("job", job.pk)),
        ("job.cancelled", encode("job", other.pk)),
    ]
    assert heard[0] == (
        last.pk,
        "job.completed",
        {
            "job_id": encode("job", job.pk), "seq": 1, "type": "job.completed", "status": "completed",
            "at": to_ms(last.at), "number": 1, "product": "shop", "env": "prd", "namespace": "noop",
            "target": {"event": "nothing"}, "labels": {},
        },
    )  # fmt: skip
    assert listener.heard() == []


def test_a_client_that_connects_again_is_told_what_it_missed(listen: Callable[..., Listener]) -> None:
    cancelled(new_job())
    first = listen()
    fail(claim_one(new_job()))
    assert first.types() == ["job.failed"]
    first.close()
    complete(claim_one(new_job()))
    cancelled(new_job())

    again = listen(**{"Last-Event-ID": str(first.upto)})
    assert again.types() == ["job.completed", "job.cancelled"]
    from_the_beginning = listen(**{"Last-Event-ID": "0"})
    assert from_the_beginning.types() == ["job.cancelled", "job.failed", "job.completed", "job.cancelled"]


def test_what_is_read_in_several_pages_comes_once(
    listen: Callable[..., Listener], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("jobs.outbox.PAGE", 2)
    monkeypatch.setattr(streaming, "PAGE", 2)
    jobs = [cancelled(new_job()) for _ in range(5)]
    listener = listen(**{"Last-Event-ID": "0"})
    heard = [event.data["job_id"] for _ in range(4) for event in listener.heard()]
    assert heard == jobs


def test_an_id_beyond_the_end_begins_at_the_end(listen: Callable[..., Listener]) -> None:
    cancelled(new_job())
    listener = listen(**{"Last-Event-ID": "9" * 18})
    assert listener.heard() == []
    cancelled(new_job())
    assert listener.types() == ["job.cancelled"]


def cancelled(job: Job) -> str:
    """The id of a job that was cancelled just now."""
    intervene.cancel(job.pk)
    return encode("job", job.pk)


@pytest.mark.parametrize("value", ["x", "-1", "1.5", "9" * 19, "\u0661"])
def test_an_id_that_is_none_is_refused(value: str) -> None:
    answer = Api().get(PATH, **{"Last-Event-ID": value})
    assert told(answer) == (400, "invalid")
    assert answer.json()["errors"][0]["field"] == "Last-Event-ID"


def test_an_event_that_commits_after_younger_ones_is_told_and_resumed_before(listen: Callable[..., Listener]) -> None:
    job = new_job()
    listener = listen()
    assert listener.heard() == []
    end = listener.upto
    event(job, end + 3, seq=103)  # two others have got their ids and are not committed
    (first,) = listener.heard()
    assert (first.data["seq"], first.upto) == (103, end)
    event(job, end + 1, seq=101)
    (second,) = listener.heard()
    assert (second.data["seq"], second.upto, listener.upto) == (101, end + 1, end + 1)
    event(job, end + 4, seq=104)
    assert [heard.data["seq"] for heard in listener.heard()] == [104]

    event(job, end + 2, seq=102)
    assert [(heard.data["seq"], heard.upto) for heard in listener.heard()] == [(102, end + 2)]
    assert listener.upto == end + 4
    again = listen(**{"Last-Event-ID": str(first.upto)})
    assert [heard.data["seq"] for heard in again.heard()] == [101, 102, 103, 104]


def test_a_stream_that_begins_waits_for_what_is_not_committed_yet(listen: Callable[..., Listener]) -> None:
    cancelled(job := new_job())
    end = JobEvent.objects.get().pk
    event(job, end + 2, seq=102)
    listener = listen()
    assert listener.heard() == []
    event(job, end + 1, seq=101)
    assert [heard.data["seq"] for heard in listener.heard()] == [101]


def test_an_id_that_never_comes_is_given_up(listen: Callable[..., Listener], monkeypatch: pytest.MonkeyPatch) -> None:
    job = new_job()
    listener = listen()
    listener.heard()
    end = listener.upto
    event(job, end + 2, seq=102)
    listener.heard()
    assert listener.upto == end
    now = database_now()
    monkeypatch.setattr("jobs.outbox.database_now", lambda: now + ORDER_SLACK + timedelta(seconds=1))
    listener.heard()
    assert listener.upto == end + 2


def event(job: Job, event_id: int, *, seq: int) -> None:
    JobEvent.objects.create(pk=event_id, job_id=job.pk, seq=seq, type="job.skipped", status="queued", at=database_now())


def test_what_is_told_of_is_what_was_asked_for(listen: Callable[..., Listener]) -> None:
    fail(claim_one(new_job(labels={"team": "b"}, namespace="echo")))
    mine = cancelled(new_job(labels={"team": "a", "tier": "1"}))

    def heard(query: str) -> list[str]:
        listener = listen(query, **{"Last-Event-ID": "0"})
        types = listener.types()
        listener.close()
        return types

    only_mine = ["job.cancelled"]
    assert heard(f"?job={mine}") == only_mine
    assert heard("?label=team:a&label=tier:1") == only_mine
    assert heard("?label=team:a&label=tier:2") == []
    assert heard("?namespace=noop") == only_mine
    assert heard("?event=job.cancelled") == only_mine
    assert heard("?event=job.failed,job.cancelled") == ["job.failed", "job.cancelled"]
    assert heard("?product=shop&env=prd&namespace=echo") == ["job.failed"]
    assert heard("?product=ductape:shop&event=job.failed") == ["job.failed"]
    assert heard("?product=nobody") == heard("?env=stg") == heard("?namespace=nothing") == []


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("job=7", "job"), ("event=job.done", "event"), ("label=team", "label"), ("statsu=failed", "statsu"),
        ("product=a&product=b", "product"), ("namespace=%00", "namespace"),
    ],
)  # fmt: skip
def test_a_wrong_parameter_is_named(query: str, field: str) -> None:
    answer = Api().get(f"{PATH}?{query}")
    assert answer.status_code == 400
    assert answer.json()["errors"][0]["field"] == field


def test_a_stranger_is_told_nothing(listen: Callable[..., Listener]) -> None:
    job = cancelled(new_job())
    for caller in (key_of("other", envs=("prd",)), key_of(envs=("stg",))):
        for query in ("", "?product=shop", f"?job={job}"):
            stranger = listen(query, caller=caller, **{"Last-Event-ID": "0"})
            assert stranger.heard() == []
            stranger.close()
    assert listen(caller=key_of(envs=("prd",)), **{"Last-Event-ID": "0"}).types() == ["job.cancelled"]


def test_only_a_key_that_may_read_jobs_listens() -> None:
    assert told(Api(None).get(PATH)) == (401, "unauthenticated")
    assert told(key_of(scopes_={scopes.JOBS_DISPATCH}).get(PATH)) == (403, "scope_missing")


def test_a_key_that_is_revoked_hears_no_more(listen: Callable[..., Listener]) -> None:
    listener = listen(caller=key_of(envs=("prd",)))
    assert listener.heard() == []
    ApiKey.objects.update(revoked_at=database_now())
    forget_everything()
    assert listener.ends()


def test_what_became_of_a_job_that_is_gone_is_told(listen: Callable[..., Listener]) -> None:
    listener = listen("?env=prd&label=team:a", caller=key_of(envs=("prd",)))
    job = new_job(labels={"team": "a"})
    claim_one(job)
    intervene.delete(job.pk, force=True)
    assert listener.types() == ["job.cancelled", "job.deleted"]
    assert listen(caller=key_of("other", envs=("prd",)), **{"Last-Event-ID": "0"}).heard() == []


def test_places_for_streams_are_bounded_and_come_back(settings: Settings, listen: Callable[..., Listener]) -> None:
    settings.MOST_STREAMS = 1
    first = listen()
    refused = Api().get(PATH)
    assert told(refused) == (429, "too_many_streams")
    assert refused["Retry-After"] == "5"
    first.close()
    listen().close()
    hang_up(Api()("HEAD", PATH))
    hang_up(Api().get(PATH))  # by a client that never read
    assert len(streams) == 0


def test_a_stream_ends_by_itself(listen: Callable[..., Listener], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streaming, "LONGEST_SECONDS", 0.0)
    listener = listen()
    assert listener.heard() == []
    assert listener.ends()
    assert len(streams) == 0


def test_a_process_that_ends_ends_its_streams(listen: Callable[..., Listener]) -> None:
    listener = listen()
    try:
        streams.close()
        assert listener.ends()
    finally:
        streams.closing.clear()


def test_proxies_are_told_to_pass_events_on_at_once() -> None:
    answer = Api().get(PATH)
    assert (answer["Cache-Control"], answer["X-Accel-Buffering"]) == ("no-store", "no")
    assert next(iter(answer.streaming_content)).startswith(b"retry: 1000\nid: ")
    hang_up(answer)
