"""`run_due` in a user's test: real executors and stand-ins, what they are given, and what is told when it cannot be."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from pytest_django import Settings

from core.clock import database_now
from core.errors import Invalid
from executors.catalog import document
from executors.catalog.schema import read_document
from executors.isolated import Died
from jobs import dispatch
from jobs.models import Execution, Job, Worker
from jobs.operations.interventions import cancel
from jobs.runner.isolation import Isolation
from jobs.testing import Answer, AttemptFailed, Call, Done, Failed, clock_at, run_due
from jobs.testing.driver import TooManyRuns
from tests.integration.api import OPERATOR, Api
from tests.servers.receiver import Answer as Answered
from tests.servers.receiver import Receiver

pytestmark = pytest.mark.django_db

BEGIN = "2026-03-01T00:00Z"
HOURS_LATER = "2026-03-01T03:00Z"
PLACE: Any = {"product": "shop", "env": "prd"}
PING: Any = {**PLACE, "app": "mail", "event": "ping"}
HOURLY: Any = {"every": 3_600_000}


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with Receiver() as receiver:
        events = [{"tag": tag, "method": "POST", "resource": f"/{tag}"} for tag in ("ping", "pong")]
        steps = [{"tag": tag, "type": "action", "app": "mail", "event": tag} for tag in ("ping", "pong")]
        written = {
            "envs": [{"slug": "prd"}],
            "secrets": [{"key": "TOKEN", "value": "tok-very-secret"}],
            "apps": [{"tag": "mail", "envs": {"prd": {"base_url": receiver.url}}, "events": events}],
            "sessions": [{"tag": "user", "selector": "$Session{id}", "expiry": 90, "period": "minutes"}],
            "features": [{"tag": "both", "steps": [steps[0], {**steps[1], "dependsOn": ["ping"]}]}],
        }
        document.store("shop", read_document(written, "shop"), prune=True)
        yield receiver


@pytest.fixture(autouse=True)
def _begun(receiver: Receiver) -> Iterator[None]:
    with clock_at(BEGIN):
        yield


def statuses() -> list[str]:
    return list(Execution.objects.order_by("id").values_list("status", flat=True))


# --- through the executors ------------------------------------------------------------------


def test_an_executor_makes_each_call_at_its_time(receiver: Receiver) -> None:
    job = dispatch(**PING, schedule=HOURLY, input={"body": {"at": "$Now()", "token": "$Secret{TOKEN}"}})
    ran = run_due(HOURS_LATER)
    assert [each.status for each in ran] == ["completed"] * 4
    assert {each.job_id for each in ran} == {job.id}
    sent = [request.json() for request in receiver.requests]
    assert [body["token"] for body in sent] == ["tok-very-secret"] * 4
    begun = int(datetime(2026, 3, 1, tzinfo=UTC).timestamp() * 1000)
    assert [body["at"] for body in sent] == [begun + hour * 3_600_000 for hour in range(4)]


def test_a_retry_waits_its_back_off_on_the_moved_clock(receiver: Receiver) -> None:
    receiver.answer("/ping", Answered(status=503), Answered(status=503), Answered())
    dispatch(**PING, retries=3, retry_config={"initialDelay": 600_000, "maxDelay": 3_600_000, "jitter": False})
    ran = run_due(HOURS_LATER)
    assert [(each.attempt, each.status, each.code) for each in ran] == [
        (1, "retrying", "SERVICE_UNAVAILABLE"), (2, "retrying", "SERVICE_UNAVAILABLE"), (3, "completed", ""),
    ]  # fmt: skip
    assert [(each.at - ran[0].at).seconds for each in ran] == [0, 600, 1_800]
    assert len(receiver.requests) == 3


def test_the_steps_of_a_feature_are_kept_with_each_run(receiver: Receiver) -> None:
    job = dispatch("features", **PLACE, tag="both", schedule=HOURLY)
    ran = run_due(HOURS_LATER)
    assert [each.status for each in ran] == ["completed"] * 4
    assert [request.path for request in receiver.requests] == ["/ping", "/pong"] * 4
    kept = Execution.objects.filter(job_id=job.job_id).values_list("steps", flat=True)
    assert [[step["step"] for step in steps or []] for steps in kept] == [["ping", "pong"]] * 4


def test_a_session_counts_until_it_expires_on_the_moved_clock(settings: Settings) -> None:
    settings.OPERATOR_API_KEY = OPERATOR
    started = Api().post("/v1/products/shop/sessions/user/start", {"env": "prd", "data": {"id": "u_7"}}).json()
    dispatch(**PING, schedule=HOURLY, session=started["token"], input={"body": {"who": "$Session{user}{id}"}})
    seen: list[Any] = []
    ran = run_due(HOURS_LATER, answer=lambda call: seen.append(call.input["body"]["who"]))
    assert [(each.status, each.code) for each in ran] == [("completed", "")] * 2 + [("failed", "SESSION_EXPIRED")] * 2
    assert seen == ["u_7", "u_7"]


@pytest.mark.django_db(transaction=True)
def test_without_a_transaction_executors_are_asked_as_well(receiver: Receiver) -> None:
    dispatch(**PING, schedule=HOURLY)
    assert [each.status for each in run_due(HOURS_LATER)] == ["completed"] * 4
    assert Job.objects.get().successful_executions == 4


def test_a_run_in_a_process_that_dies_is_lost_and_poison_at_the_third_time(monkeypatch: pytest.MonkeyPatch) -> None:
    async def dies(self: Isolation, call: Call) -> Died:
        return Died("its process was ended by SIGKILL")

    monkeypatch.setattr(Isolation, "execute", dies)
    dispatch(**PING, queue="isolated")
    assert run_due() == []
    run = Execution.objects.get()
    assert (run.status, run.code, run.losses) == ("failed", "POISON", 3)


# --- stand-ins ------------------------------------------------------------------------------


def test_the_longest_name_that_fits_answers() -> None:
    for event in ("ping", "pong"):
        dispatch(**{**PING, "event": event})
    dispatch("features", **PLACE, tag="both")
    named: dict[str, Answer] = {"actions": {"by": "namespace"}, "actions/mail/pong": {"by": "target"}, "actions/ma": {}}
    ran = run_due(answer={"by": "all"}, executors=named)
    assert [(each.target.get("event"), each.result["by"]) for each in ran] == [
        ("ping", "namespace"), ("pong", "target"), (None, "all"),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("answer", "status", "result", "code"),
    [
        ({"a": 1}, "completed", {"a": 1}, ""),
        (Done({"a": 1}), "completed", {"a": 1}, ""),
        (lambda call: None, "completed", {}, ""),
        (lambda call: {"n": call.input["body"]["n"]}, "completed", {"n": 1}, ""),
        (Failed(code="TIMEOUT", message="slow", retryable=True), "failed", None, "TIMEOUT"),
        (AttemptFailed("NOT_FOUND", "gone"), "failed", None, "NOT_FOUND"),
        (lambda call: {"n": float("nan")}, "failed", None, "INTERNAL_ERROR"),
    ],
)
def test_an_answer_is_a_result_a_failure_or_a_function(answer: Answer, status: str, result: Any, code: str) -> None:
    dispatch(**PING, input={"body": {"n": 1}})
    (ran,) = run_due(answer=answer)
    assert (ran.status, ran.result, ran.code) == (status, result, code)
    assert statuses() == [status]


def test_a_function_may_be_asynchronous_and_has_the_time_out_of_its_job() -> None:
    async def slow(call: Call) -> dict[str, Any]:
        await asyncio.sleep(0 if call.attempt == 2 else 60)
        return {"attempt": call.attempt}

    dispatch(**PING, timeout=50, retries=1)
    ran = run_due(HOURS_LATER, answer=slow)
    assert [(each.status, each.code, each.result) for each in ran] == [
        ("retrying", "TIMEOUT", None), ("completed", "", {"attempt": 2}),
    ]  # fmt: skip


def test_a_function_may_dispatch_and_cancel_and_what_it_begins_runs_in_its_turn() -> None:
    def next_one(call: Call) -> None:
        if call.target["event"] == "ping":
            dispatch(**{**PING, "event": "pong"}, schedule={"start_at": database_now() + timedelta(minutes=10)})

    job = dispatch(**PING, schedule=HOURLY)
    ran = run_due("2026-03-01T01:30Z", answer=next_one)
    assert [(each.target["event"], f"{each.at:%H:%M}") for each in ran] == [
        ("ping", "00:00"), ("pong", "00:10"), ("ping", "01:00"), ("pong", "01:10"),
    ]  # fmt: skip
    cancel(job.job_id)
    assert run_due(HOURS_LATER, answer={}) == []


def test_an_assertion_of_a_stand_in_is_the_tests_own_and_leaves_nothing_half_done() -> None:
    def third(call: Call) -> None:
        assert int(call.run_key.split(":")[1]) < 3, "three"

    dispatch(**PING, schedule=HOURLY)
    with pytest.raises(AssertionError, match="three"):
        run_due(HOURS_LATER, answer=third)
    assert statuses() == ["completed", "completed", "failed"]
    assert [each.number for each in run_due(HOURS_LATER, answer={})] == [4]
    dispatch(**PING, priority=9)
    other = dispatch(**PING)
    with pytest.raises(TypeError, match="'actions' said 'yes'"):
        run_due(answer=lambda call: "yes")  # type: ignore[arg-type, return-value]
    assert Job.objects.get(pk=other.job_id).status == "queued"  # handed back
    assert Worker.objects.count() == 0


# --- bad input -----------------------------------------------------------------------------


def test_what_cannot_be_is_told() -> None:
    dispatch(**PING, schedule={"every": 100})
    with pytest.raises(Invalid, match=r"is before now, .*clock_at"):
        run_due("2026-02-01T00:00Z")
    at: Any
    for at in ("tomorrow", 1.5, -1, [], "2026-13-01"):
        with pytest.raises(Invalid) as refused:
            run_due(at)
        assert refused.value.errors[0].field == "at"
    with pytest.raises(Invalid, match="did you mean 'actions'"):
        run_due(executors={"action/mail": {}})
    with pytest.raises(TooManyRuns, match="50 attempts were made by 2026-03-01T00:00:05"):
        run_due(HOURS_LATER, answer={}, most=50)
    assert statuses() == ["completed"] * 50


def test_production_keeps_its_time(settings: Settings) -> None:
    settings.ENVIRONMENT = "production"
    with pytest.raises(RuntimeError, match="not stopped in production"):
        run_due()
