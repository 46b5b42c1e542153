"""A notification from its dispatch over the API to its history: retried, taken over from a worker that died, refused."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from typing import Any

import pytest
from pytest_django import Settings

from core import http
from core.ids import decode
from executors.base import Call, Outcome
from jobs.api.shapes import run_shape
from jobs.lifecycle.claim import Claim
from jobs.lifecycle.promote import promote_due
from jobs.lifecycle.reap import Reaped, lose
from jobs.models import Job
from jobs.runner.steps import RunSteps
from tests.conformance.world import claim_one, complete, postpone, runs_of
from tests.integration.api import OPERATOR, Api
from tests.integration.notification_world import World
from tests.servers.mail import MailServer
from tests.servers.receiver import Answer
from tests.servers.vendors.sms import TwilioServer

pytestmark = pytest.mark.django_db(transaction=True)

DISPATCH = "/v1/notifications/dispatch"
BODY: dict[str, Any] = {
    "product": "shop", "env": "prd", "notification": "news", "event": "everything", "retries": 2,
    "input": {"email": {"recipients": ["a@example.com"]}, "sms": {"recipients": ["+15550000001", "+15550000002"]}},
}  # fmt: skip


class Direct:
    """The database, asked in this thread."""

    async def run(self, function: Any, *args: Any) -> Any:
        return function(*args)


@pytest.fixture(autouse=True)
def _here(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    settings.OPERATOR_API_KEY = OPERATOR
    settings.ROOT_URLCONF = "tests.integration.api"
    monkeypatch.setenv("DJANGO_ALLOW_ASYNC_UNSAFE", "1")


@pytest.fixture
def mail() -> Iterator[MailServer]:
    with MailServer() as running:
        yield running


@pytest.fixture
def sms() -> Iterator[TwilioServer]:
    with TwilioServer() as running:
        yield running
        assert running.wrong == []


@pytest.fixture
def world(mail: MailServer, sms: TwilioServer) -> World:
    return World(emails=mail.block, sms=sms.block)


def dispatched(**changes: Any) -> Job:
    answer = Api().post(DISPATCH, {**BODY, **changes})
    assert answer.status_code == 201, answer.content
    job_id = decode("job", answer.json()["job_id"])
    assert job_id is not None
    return Job.objects.get(pk=job_id)


def attempt(world: World, taken: Claim) -> Outcome:
    """What the run loop does with a claim."""
    call: Call = world.call("everything", attempt=taken.attempt, **json.loads(taken.input))
    call = Call(
        **{name: getattr(call, name) for name in call.__slots__ if name not in ("steps", "run_key")},
        run_key=f"{taken.job_id}:{taken.number}",
        steps=RunSteps(Direct(), taken),  # type: ignore[arg-type]  # the database itself
    )

    async def then_close() -> Outcome:
        try:
            return await world.executor.execute(call)
        finally:
            await http.close()

    return asyncio.run(then_close())


def test_a_retried_run_sends_what_failed_and_its_history_says_so(
    world: World, mail: MailServer, sms: TwilioServer
) -> None:
    sms.unknown.add("+15550000002")
    sms.queue.append(Answer(status=503))
    job = dispatched()

    first = claim_one(job)
    failed = attempt(world, first)
    postpone(first, delay_ms=0)
    promote_due()
    sms.unknown.clear()
    second = claim_one(job)
    done = attempt(world, second)
    complete(second, json.dumps(done.result))

    assert failed.result is not None
    assert [type(each).__name__ for each in (failed, done)] == ["Failed", "Done"]
    assert len(mail.got) == 1
    assert sorted(taken.recipient for taken in sms.taken) == ["+15550000001", "+15550000002"]
    shape = run_shape(runs_of(job)[0])
    assert [step["step"].partition(":")[0] for step in shape["steps"]].count("email") == 1
    assert shape["result"]["success"] is True
    assert "a@example.com" not in json.dumps(shape["steps"])


def test_a_run_that_is_taken_over_sends_nothing_again(world: World, mail: MailServer, sms: TwilioServer) -> None:
    job = dispatched()
    first = claim_one(job)
    attempt(world, first)  # the worker dies before it can say so
    lose([(first.run_id, job.pk)], error="gone", counted=True, reaped=Reaped())

    second = claim_one(job)
    outcome = attempt(world, second)

    assert type(outcome).__name__ == "Done"
    assert (second.attempt, len(mail.got), len(sms.taken)) == (2, 1, 2)


def test_what_can_be_known_to_be_wrong_is_answered_at_dispatch(world: World) -> None:
    def told(**changes: Any) -> tuple[int, dict[str, str]]:
        answer = Api().post(DISPATCH, {**BODY, **changes})
        return answer.status_code, {error["field"]: error["code"] for error in answer.json().get("errors", [])}

    assert told(input={"email": {"recipients": ["nobody"]}}) == (400, {"input.email.recipients.0": "invalid"})
    assert told(input={"callback": {}}) == (400, {"input.callback": "invalid", "input": "required"})
    assert told(notification="newz") == (404, {"notification": "not_found"})
    assert told(event="evrything") == (404, {"event": "not_found"})
    assert Job.objects.count() == 0


def test_a_catalog_that_is_read_again_shows_no_secret_and_can_be_put_back(sms: TwilioServer, mail: MailServer) -> None:
    auth = {"user": "mailer", "pass": "planted-password"}
    blocks = {"emails": {"provider": "smtp", "smtp": {**mail.settings, "auth": auth}}, "sms": sms.block}
    document = {
        "envs": [{"slug": "prd"}],
        "notifications": [
            {"tag": "news", "envs": {"prd": blocks}, "messages": [{"tag": "text", "sms": "Due {{day}}"}]}
        ],
    }
    stored = Api()("PUT", "/v1/products/shop/catalog", document)
    exported = Api().get("/v1/products/shop/catalog").json()
    again = Api()("PUT", "/v1/products/shop/catalog", exported)

    assert stored.status_code == again.status_code == 200, stored.content + again.content
    text = json.dumps(exported)
    assert "planted-password" not in text + stored.content.decode()
    assert sms.block["twilio"]["authToken"] not in text
    [shown] = exported["notifications"]
    assert shown["envs"]["prd"]["emails"]["smtp"]["auth"] == {"user": "mailer", "pass": {"set": True}}
