"""A message over every channel: what an input may say, who is skipped, what a run tells, and what a retry sends."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from typing import Any

import pytest

from core import http
from core.errors import Invalid, NotFound
from executors.base import Done, Failed, Gone
from tests.integration.notification_world import Kept, World
from tests.servers.mail import MailServer
from tests.servers.receiver import Answer, Receiver
from tests.servers.vendors.push import FirebaseServer
from tests.servers.vendors.sms import TwilioServer

pytestmark = pytest.mark.django_db

ALL: dict[str, Any] = {
    "email": {"recipients": ["a@example.com"], "subject": {"name": "Ann"}, "template": {"day": "Monday"}},
    "sms": {"recipients": ["+1 (555) 000-0001"], "body": {"day": "Monday"}},
    "push_notification": {
        "device_tokens": ["device-1"], "title": {"name": "Ann"}, "body": {"day": "Monday"}, "data": {"n": 5},
    },
    "callback": {"params": {"kind": "reminder"}, "body": {"name": "Ann", "n": 5}},
}  # fmt: skip


class Everything:
    """A world whose four channels are real servers."""

    def __init__(self, mail: MailServer, sms: TwilioServer, push: FirebaseServer, receiver: Receiver) -> None:
        self.mail, self.sms, self.push, self.receiver = mail, sms, push, receiver
        auth = {"headers": {"X-Key": "$Secret{TOKEN}"}, "query": {"from": "shop"}, "body": {"source": "jobs"}}
        self.blocks: dict[str, Any] = {
            "emails": mail.block,
            "sms": sms.block,
            "push_notifications": push.block,
            "callbacks": {"url": f"{receiver.url}/callback/:kind", "method": "put", "auth": auth},
        }
        self.world = World(**self.blocks)


@pytest.fixture
def everything() -> Iterator[Everything]:
    with MailServer() as mail, TwilioServer() as sms, FirebaseServer() as push, Receiver() as receiver:
        yield Everything(mail, sms, push, receiver)
        assert sms.wrong + push.wrong == []


def fields(caught: pytest.ExceptionInfo[Any]) -> dict[str, str]:
    return {error.field: error.code for error in caught.value.errors}


def refused(world: World, event: str, input: Any) -> dict[str, str]:
    with pytest.raises(Invalid) as caught:
        world.check(event, **input)
    return fields(caught)


def test_one_message_goes_over_every_channel(everything: Everything) -> None:
    everything.world.check("everything", **ALL)

    outcome = everything.world.run("everything", **ALL)

    assert isinstance(outcome, Done)
    [(_, recipients, message)] = everything.mail.got
    assert (recipients, str(message["Subject"])) == (["a@example.com"], "Hello Ann")
    assert [(taken.recipient, taken.fields) for taken in everything.sms.taken] == [
        ("+15550000001", {"text": "Due Monday"})
    ]
    assert [taken.fields for taken in everything.push.taken] == [
        {"title": "Hi Ann", "body": "Due Monday", "data": {"kind": "reminder", "n": "5"}}
    ]
    [called] = everything.receiver.requests
    assert (called.method, called.path) == ("PUT", "/callback/reminder?from=shop")
    assert called.json() == {"source": "jobs", "who": "Ann", "n": 5}
    expected = {
        "x-key": "tok-everywhere", "content-type": "application/json", "idempotency-key": "job_1:7",
        "x-job-id": "job_1", "x-attempt": "1", "x-scheduled-for": "1767323045000",
    }  # fmt: skip
    assert {name: called.headers.get(name) for name in expected} == expected
    channels = outcome.result["channels"]
    assert outcome.result["success"] is True
    assert {name: told["success"] for name, told in channels.items()} == dict.fromkeys(
        ("email", "sms", "push", "callback"), True
    )
    assert channels["callback"] == {"success": True, "status": 200}
    assert channels["push"]["messageId"] == "projects/p1/messages/1"


def test_a_channel_that_the_input_names_nobody_for_is_skipped_and_told(everything: Everything) -> None:
    outcome = everything.world.run(
        "everything", sms={"to": "+15550000001"}, callback=ALL["callback"], push_notification=None
    )

    assert isinstance(outcome, Done)
    channels = outcome.result["channels"]
    reason = "the input names no email.recipients"
    assert channels["email"] == {"success": False, "skipped": True, "reason": reason}
    assert channels["push"]["reason"] == "the input names no push_notification.device_tokens"
    assert (channels["sms"]["success"], channels["callback"]["success"]) == (True, True)
    assert (len(everything.mail.got), len(everything.push.taken)) == (0, 0)


def test_a_placeholder_without_a_value_stays_as_it_is_written(everything: Everything) -> None:
    everything.world.run("text", sms={"recipients": ["+15550000001"], "body": {"other": "x"}})

    assert everything.sms.taken[0].fields == {"text": "Due {{day}}"}


def test_the_older_form_is_understood(everything: Everything) -> None:
    """Contracts §5.2, row 26."""
    everything.world.run(
        "everything",
        slug="order_update",
        email={"to": ["a@example.com"], "subject": {"name": "Ann"}, "template": {"day": "Monday"}},
        push_notification={"device_token": "device-1", "title": {"name": "Ann"}, "message": {"day": "Monday"}},
        callback=ALL["callback"],
    )

    assert str(everything.mail.got[0][2]["Subject"]) == "Hello Ann"
    assert everything.push.taken[0].fields["body"] == "Due Monday"


def test_the_event_may_carry_the_tag_of_its_notification(everything: Everything) -> None:
    everything.world.check("news:text", sms={"recipients": ["+15550000001"]})
    assert isinstance(everything.world.run("news:text", sms={"recipients": ["+15550000001"]}), Done)
    with pytest.raises(NotFound, match="did you mean 'text'"):
        everything.world.check("txt", sms={"recipients": ["+15550000001"]})


def test_a_failed_channel_is_retried_alone(everything: Everything) -> None:
    steps = Kept()
    everything.sms.queue.append(Answer(status=503, headers={"Retry-After": "9"}))
    everything.receiver.answer("/callback/reminder", Answer(status=500), Answer())

    first = everything.world.run("everything", steps=steps, **ALL)
    second = everything.world.run("everything", steps=steps, attempt=2, **ALL)

    assert isinstance(first, Failed)
    assert first.result is not None
    assert (first.code, first.retryable, first.retry_after) == ("SERVICE_UNAVAILABLE", True, 9.0)
    assert first.message.startswith("2 of 4 channels failed: sms: Twilio answered 503")
    assert {name: told["success"] for name, told in first.result["channels"].items()} == {
        "email": True, "sms": False, "push": True, "callback": False,
    }  # fmt: skip
    assert first.result["channels"]["sms"]["code"] == "SERVICE_UNAVAILABLE"
    assert isinstance(second, Done)
    assert (len(everything.mail.got), len(everything.push.taken), len(everything.sms.taken)) == (1, 1, 1)
    assert len(everything.receiver.requests) == 2
    assert len({request.headers["idempotency-key"] for request in everything.receiver.requests}) == 1
    assert second.result["channels"]["email"]["messageId"] == first.result["channels"]["email"]["messageId"]


def test_a_run_that_was_done_already_sends_nothing(everything: Everything) -> None:
    steps = Kept()

    first = everything.world.run("everything", steps=steps, **ALL)
    second = everything.world.run("everything", steps=steps, attempt=2, **ALL)

    assert first == second
    assert len(everything.receiver.requests) == len(everything.mail.got) == len(everything.sms.taken) == 1
    assert sorted(name.partition(":")[0] for name in steps.steps) == ["callback", "email", "push", "sms"]


def test_a_run_is_worth_another_attempt_if_any_of_its_failures_is(everything: Everything) -> None:
    everything.sms.unknown.add("+15550000001")
    everything.push.queue.append(Answer(status=503))

    outcome = everything.world.run("everything", **ALL)

    assert isinstance(outcome, Failed)
    assert outcome.result is not None
    assert (outcome.code, outcome.retryable) == ("SERVICE_UNAVAILABLE", True)
    assert outcome.result["channels"]["sms"]["code"] == "VALIDATION_ERROR"


def test_a_run_that_was_taken_away_stops(everything: Everything) -> None:
    recipients = [f"+1555000{number:04d}" for number in range(40)]
    call = everything.world.call("text", steps=Kept(gone_after=3), sms={"recipients": recipients})

    async def execute() -> None:
        try:
            with pytest.raises(Gone):
                await everything.world.executor.execute(call)
        finally:
            await http.close()

    asyncio.run(execute())

    assert len(everything.sms.taken) < 40


def test_a_run_that_is_cancelled_closes_its_calls(everything: Everything) -> None:
    everything.sms.queue.extend([Answer(hang=True)] * 3)
    recipients = ["+15550000001", "+15550000002", "+15550000003"]
    call = everything.world.call("text", timeout=60.0, sms={"recipients": recipients})

    async def execute() -> None:
        running = asyncio.create_task(everything.world.executor.execute(call))
        while len(everything.sms.requests) < 3:
            await asyncio.sleep(0.01)
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asyncio.wait_for(running, 2.0)
        await http.close()

    asyncio.run(execute())


def test_a_recipient_is_sent_to_once_however_often_named(everything: Everything) -> None:
    everything.world.run("text", sms={"recipients": ["+15550000001", "+1 555 000 0001", "+15550000001"]})

    assert len(everything.sms.taken) == 1


@pytest.mark.parametrize(
    ("event", "input", "expected"),
    [
        ("text", {"email": {"recipients": ["a@example.com"]}}, {"input.email": "invalid", "input": "required"}),
        ("everything", {"emial": {}, **ALL}, {"input.emial": "unknown_field"}),
        ("mail", {"email": {"recipients": ["nobody"]}}, {"input.email.recipients.0": "invalid"}),
        ("mail", {"email": {"recipients": "a@example.com, b@example.com"}}, {"input.email.recipients": "invalid"}),
        ("mail", {"email": {"recipients": [5]}}, {"input.email.recipients.0": "invalid", "input": "required"}),
        ("mail", {"email": {"recipients": {"a": 1}}}, {"input.email.recipients": "invalid", "input": "required"}),
        ("mail", {"email": {"recipients": []}}, {"input": "required"}),
        ("mail", {}, {"input": "required"}),
        ("mail", {"email": "a@example.com"}, {"input.email": "invalid", "input": "required"}),
        ("mail", {"email": {"to": ["a@example.com"], "recipients": ["b@example.com"]}}, {"input.email.to": "duplicate"}),
        ("mail", {"email": {"recipients": ["a@example.com"], "subject": "Ann"}}, {"input.email.subject": "invalid"}),
        ("mail", {"email": {"recipients": ["a@example.com"], "subjct": {}}}, {"input.email.subjct": "unknown_field"}),
        ("text", {"sms": {"recipients": ["call me"]}}, {"input.sms.recipients.0": "invalid"}),
        ("text", {"sms": {"recipients": ["+15550000001"] * 201}}, {"input.sms.recipients": "invalid"}),
        ("push", {"push_notification": {"device_tokens": ["a b"]}}, {"input.push_notification.device_tokens.0": "invalid"}),
        ("call", {}, {"input.callback.params.kind": "required"}),
        ("call", {"callback": {"params": {"kind": "a"}, "headers": {"X-Job-Id": "1"}}}, {"input.callback.headers.X-Job-Id": "invalid"}),
        ("call", {"callback": {"params": {"kind": "a"}, "headers": {"a b": "1"}}}, {"input.callback.headers.a b": "invalid"}),
        ("mail", {"email": {"recipients": ["a@example.com"], "subject": {"name": "$Nope{a}"}}}, {"input.email.subject.name": "expression_unsupported"}),
    ],
)  # fmt: skip
def test_an_input_that_cannot_be_sent_is_refused_at_dispatch(
    everything: Everything, event: str, input: Any, expected: dict[str, str]
) -> None:
    assert refused(everything.world, event, input) == expected


def test_a_channel_that_the_environment_lacks(everything: Everything) -> None:
    everything.world.store(sms=everything.sms.block)

    assert refused(everything.world, "everything", {"email": ALL["email"], "sms": ALL["sms"]}) == {
        "input.email": "invalid"
    }
    outcome = everything.world.run("everything", sms=ALL["sms"])
    assert isinstance(outcome, Done)
    assert outcome.result["channels"]["callback"]["reason"] == "the environment has no callbacks"


def test_what_only_a_run_knows_is_checked_by_the_run(everything: Everything) -> None:
    input = {"email": {"recipients": ["$Secret{WHO}"], "subject": {"name": "$Secret{TOKEN}"}}}
    everything.world.check("mail", **input)

    outcome = everything.world.run("mail", steps=(steps := Kept()), **input)
    wrong = everything.world.run("mail", email={"recipients": ["$Secret{TOKEN}"]})

    assert isinstance(outcome, Done)
    assert everything.mail.got[0][1] == ["hidden@shop.example"]
    kept = json.dumps(outcome.result) + json.dumps(steps.steps)
    assert "hidden@shop.example" not in kept
    assert "tok-everywhere" not in kept
    assert isinstance(wrong, Failed)
    assert (wrong.code, wrong.retryable) == ("VALIDATION_ERROR", False)
    assert "tok-everywhere" not in wrong.message


def test_a_callbacks_answer_that_echoes_its_credentials_is_told_without_them(everything: Everything) -> None:
    everything.receiver.answer("/callback/a", Answer(status=400, echo=True))
    everything.world.store(
        callbacks={**everything.blocks["callbacks"], "auth": {"headers": {"X-Key": "written-plainly"}}}
    )

    outcome = everything.world.run("call", callback={"params": {"kind": "a"}})

    assert isinstance(outcome, Failed)
    assert (outcome.code, outcome.retryable) == ("VALIDATION_ERROR", False)
    assert "written-plainly" not in outcome.message + json.dumps(outcome.result)


@pytest.mark.parametrize("kind", ["../admin", "a/b", "..", "?x=1"])
def test_a_parameter_stays_in_its_place_of_the_callbacks_url(everything: Everything, kind: str) -> None:
    outcome = everything.world.run("call", callback={"params": {"kind": kind}})

    if kind == "..":
        assert isinstance(outcome, Failed)
        assert outcome.code == "VALIDATION_ERROR"
    else:
        assert everything.receiver.requests[-1].path.startswith("/callback/")
        assert everything.receiver.requests[-1].path.count("/") == 2


def test_one_access_token_serves_many_messages(everything: Everything) -> None:
    tokens = [f"device-{number}" for number in range(20)]

    everything.world.run("push", push_notification={"device_tokens": tokens})

    assert len(everything.push.taken) == 20
    assert everything.push.tokens == 1


def test_an_access_token_that_was_revoked_is_replaced_once(everything: Everything) -> None:
    world = everything.world
    calls = [world.call("push", push_notification={"device_tokens": [f"device-{number}"]}) for number in (1, 2)]

    async def both() -> list[Any]:
        first = await world.executor.execute(calls[0])
        everything.push.revoked.add("s3cret-of-the-vendor-1")
        second = await world.executor.execute(calls[1])
        await http.close()
        return [first, second]

    assert [type(outcome) for outcome in asyncio.run(both())] == [Done, Done]
    assert everything.push.tokens == 2


def test_a_key_that_cannot_be_read_is_told_without_it(everything: Everything) -> None:
    block = everything.push.block
    block["credentials"]["private_key"] = "-----BEGIN NOTHING-----"
    everything.world.store(push_notifications=block)

    outcome = everything.world.run("push", push_notification={"device_tokens": ["device-1"]})

    assert isinstance(outcome, Failed)
    assert (outcome.code, outcome.retryable) == ("VALIDATION_ERROR", False)
    assert "no RSA key in PEM" in outcome.message
    assert "BEGIN NOTHING" not in outcome.message
