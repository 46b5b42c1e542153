"""Each provider with an HTTP API, on a receiver that checks what its documents ask for."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from executors.base import AttemptFailed, Done, Failed, Outcome
from tests.integration.notification_world import Kept, World
from tests.servers.local import free_port
from tests.servers.receiver import Answer
from tests.servers.vendors.mail import BrevoServer, MailgunServer, PostmarkServer, SendGridServer
from tests.servers.vendors.push import ExpoServer, FirebaseServer
from tests.servers.vendors.sms import PlivoServer, TwilioServer, VonageServer
from tests.servers.vendors.vendor import SECRET, Vendor

pytestmark = pytest.mark.django_db

VENDORS = [
    SendGridServer, MailgunServer, PostmarkServer, BrevoServer, TwilioServer, PlivoServer, VonageServer,
    FirebaseServer, ExpoServer,
]  # fmt: skip
MESSAGE = {"emails": "mail", "sms": "text", "push_notifications": "push"}
NAME = {"emails": "email", "sms": "sms", "push_notifications": "push"}
TO = {
    "emails": ["a@example.com", "b@example.com", "c@example.com"],
    "sms": ["+15550000001", "+15550000002", "+15550000003"],
    "push_notifications": ["ExponentPushToken[aaaa]", "ExponentPushToken[bbbb]", "ExponentPushToken[cccc]"],
}


@pytest.fixture(params=VENDORS, ids=lambda vendor: vendor.__name__.removesuffix("Server"))
def vendor(request: pytest.FixtureRequest) -> Iterator[Vendor]:
    with request.param() as running:
        yield running
        assert running.wrong == []


def input_for(vendor: Vendor, *recipients: str) -> dict[str, Any]:
    filling: dict[str, Any]
    match vendor.channel:
        case "emails":
            filling = {"subject": {"name": "Zoë"}, "template": {"day": "<1st>"}}
            return {"email": {"recipients": list(recipients), **filling}}
        case "sms":
            return {"sms": {"recipients": list(recipients), "body": {"day": "<1st>"}}}
        case _:
            filling = {"title": {"name": "Zoë"}, "body": {"day": "<1st>"}, "data": {"n": 5}}
            return {"push_notification": {"device_tokens": list(recipients), **filling}}


def run(vendor: Vendor, count: int = 1, **how: Any) -> Outcome:
    world = World(**{vendor.channel: vendor.block})
    return world.run(MESSAGE[vendor.channel], **input_for(vendor, *TO[vendor.channel][:count]), **how)


def channel_of(vendor: Vendor, outcome: Outcome) -> dict[str, Any]:
    assert outcome.result is not None
    told: dict[str, Any] = outcome.result["channels"][NAME[vendor.channel]]
    return told


def test_a_message_is_sent_as_the_documents_describe(vendor: Vendor) -> None:
    outcome = run(vendor)

    assert vendor.wrong == []
    assert isinstance(outcome, Done)
    [taken] = vendor.taken
    expected: dict[str, dict[str, Any]] = {
        "emails": {"subject": "Hello Zoë", "html": "<p>Due <b>&lt;1st&gt;</b></p>", "text": "Due <1st>\n"},
        "sms": {"text": "Due <1st>"},
        "push_notifications": {"title": "Hi Zoë", "body": "Due <1st>"},
    }
    if vendor.channel == "push_notifications":
        expected[vendor.channel]["data"] = {"n": "5" if isinstance(vendor, FirebaseServer) else 5}
    assert taken.recipient == TO[vendor.channel][0]
    assert taken.fields == expected[vendor.channel]
    told = channel_of(vendor, outcome)
    assert told["success"] is True
    assert told["messageId"]
    assert told["recipients"] == [{"recipient": taken.recipient, "success": True, "messageId": told["messageId"]}]


def test_credentials_that_are_not_accepted_fail_for_good(vendor: Vendor) -> None:
    block = json.dumps(vendor.block).replace(SECRET, "another-credential")
    if isinstance(vendor, FirebaseServer):
        vendor.queue.append(Answer(status=400, body={"error": "invalid_grant", "error_description": "no account"}))
    world = World(**{vendor.channel: json.loads(block)})

    outcome = world.run(MESSAGE[vendor.channel], **input_for(vendor, TO[vendor.channel][0]))

    assert isinstance(outcome, Failed)
    assert (outcome.code, outcome.retryable) == ("UNAUTHORIZED", False)
    assert "another-credential" not in json.dumps(outcome.result) + outcome.message
    assert vendor.taken == []


def test_too_many_requests_are_tried_again_when_the_vendor_says(vendor: Vendor) -> None:
    run_before = vendor.limited()
    if isinstance(vendor, FirebaseServer):
        vendor.queue.append(Answer(body={"access_token": "t", "expires_in": 3600}))
    vendor.queue.append(run_before)

    outcome = run(vendor)

    assert isinstance(outcome, Failed)
    assert (outcome.code, outcome.retryable, outcome.retry_after) == ("RATE_LIMITED", True, 7.0)


def test_an_answer_that_repeats_the_request_shows_no_credentials(vendor: Vendor) -> None:
    vendor.queue.append(Answer(status=400, echo=True))
    if isinstance(vendor, FirebaseServer):
        vendor.queue.appendleft(Answer(body={"access_token": "an-access-token", "expires_in": 3600}))

    outcome = run(vendor)

    assert isinstance(outcome, Failed)
    told = outcome.message + json.dumps(outcome.result)
    sent = vendor.requests[-1].headers
    login = next(sent[name] for name in ("authorization", "api-key", "x-postmark-server-token") if name in sent)
    assert login.rpartition(" ")[2] not in told
    assert SECRET not in told


@pytest.mark.parametrize("status", [500, 503])
def test_a_vendor_out_of_order_is_tried_again(vendor: Vendor, status: int) -> None:
    vendor.queue.append(Answer(status=status, body={"message": "out of order"}))

    outcome = run(vendor)

    assert isinstance(outcome, Failed)
    assert (outcome.code, outcome.retryable) == ("SERVICE_UNAVAILABLE", True)


@pytest.mark.parametrize(
    ("answer", "code"),
    [(Answer(hang=True), "TIMEOUT"), (Answer(reset=True), "CONNECTION_ERROR")],
    ids=["hang", "reset"],
)
def test_a_vendor_that_does_not_answer_is_tried_again(vendor: Vendor, answer: Answer, code: str) -> None:
    vendor.queue.append(answer)

    outcome = run(vendor, timeout=0.5)

    assert isinstance(outcome, Failed)
    assert (outcome.code, outcome.retryable) == (code, True)


def test_one_recipient_that_is_refused_leaves_the_others_alone(vendor: Vendor) -> None:
    first, second, third = TO[vendor.channel]
    vendor.unknown.add(second)
    steps = Kept()

    outcome = run(vendor, 3, steps=steps)

    assert isinstance(outcome, Failed)
    assert (outcome.code, outcome.retryable) == (vendor.refused_code, False)
    told = channel_of(vendor, outcome)
    assert [entry["success"] for entry in told["recipients"]] == [True, False, True]
    assert (told["success"], told["code"]) == (False, vendor.refused_code)
    assert told.get("invalidTokens", [second] if vendor.channel != "push_notifications" else None) == [second]
    assert sorted(taken.recipient for taken in vendor.taken) == [first, third]
    assert len(steps.steps) == 2


def test_a_retried_run_sends_to_those_alone_who_have_not_got_it(vendor: Vendor) -> None:
    first, second, third = TO[vendor.channel]
    vendor.unknown.add(second)
    steps = Kept()
    run(vendor, 3, steps=steps)
    vendor.unknown.clear()
    vendor.taken.clear()

    outcome = run(vendor, 3, steps=steps, attempt=2)

    assert isinstance(outcome, Done)
    assert [taken.recipient for taken in vendor.taken] == [second]
    told = channel_of(vendor, outcome)
    assert [entry["recipient"] for entry in told["recipients"]] == [first, second, third]
    assert all(entry["messageId"] for entry in told["recipients"])


def test_a_private_address_is_refused_before_a_connection_opens(vendor: Vendor) -> None:
    block = json.loads(json.dumps(vendor.block).replace(vendor.url, "http://10.1.2.3:81"))
    world = World(**{vendor.channel: block})

    outcome = world.run(MESSAGE[vendor.channel], **input_for(vendor, TO[vendor.channel][0]))

    assert isinstance(outcome, Failed)
    assert (outcome.code, outcome.retryable) == ("FORBIDDEN", False)
    assert "10.1.2.3" in outcome.message


def test_a_vendor_that_is_away_is_tried_again(vendor: Vendor) -> None:
    block = json.loads(json.dumps(vendor.block).replace(vendor.url, f"http://127.0.0.1:{free_port()}"))
    world = World(**{vendor.channel: block})

    outcome = world.run(MESSAGE[vendor.channel], **input_for(vendor, TO[vendor.channel][0]))

    assert isinstance(outcome, Failed)
    assert (outcome.code, outcome.retryable) == ("CONNECTION_ERROR", True)


def test_a_check_tries_the_credentials_and_sends_nothing(vendor: Vendor) -> None:
    world = World(**{vendor.channel: vendor.block})
    told = world.try_connection(MESSAGE[vendor.channel])
    vendor.queue.append(Answer(status=401, body={"error": "invalid"}))
    with pytest.raises(AttemptFailed) as caught:
        world.try_connection(MESSAGE[vendor.channel])

    assert told.startswith({"emails": "e-mail: ", "sms": "SMS: ", "push_notifications": "push: "}[vendor.channel])
    assert caught.value.failed.code == "UNAUTHORIZED"
    assert vendor.taken == []


def test_a_message_whose_acceptance_was_not_heard_is_not_sent_twice_by_a_vendor_with_keys() -> None:
    with BrevoServer() as vendor:
        first = run(vendor)
        second = run(vendor, attempt=2)  # as if nothing had been recorded

        assert vendor.wrong == []
        assert [type(first), type(second)] == [Done, Done]
        assert len(vendor.taken) == 1


def test_a_vonage_message_of_which_a_part_was_taken_is_not_sent_again() -> None:
    parts = [{"status": "0", "message-id": "1"}, {"status": "1", "error-text": "Throughput Rate Exceeded"}]
    with VonageServer() as vendor:
        vendor.queue.append(Answer(body={"message-count": "2", "messages": parts}))
        partly = run(vendor)
        vendor.queue.append(Answer(body={"message-count": "1", "messages": parts[1:]}))
        throttled = run(vendor)

    assert isinstance(partly, Failed)
    assert isinstance(throttled, Failed)
    assert (partly.code, partly.retryable) == ("RATE_LIMITED", False)
    assert (throttled.code, throttled.retryable) == ("RATE_LIMITED", True)


def test_expo_is_asked_once_for_a_hundred_devices() -> None:
    tokens = [f"ExponentPushToken[{number}]" for number in range(150)]
    with ExpoServer() as vendor:
        world = World(push_notifications=vendor.block)
        outcome = world.run("push", steps=(steps := Kept()), push_notification={"device_tokens": tokens})

        assert isinstance(outcome, Done)
        assert sorted(len(request.json()) for request in vendor.requests) == [50, 100]
        assert len(steps.steps) == len(vendor.taken) == 150


@pytest.mark.parametrize(
    ("answer", "code"), [(b"<html>", "SERVICE_UNAVAILABLE"), (b'{"data": []}', "SERVICE_UNAVAILABLE")]
)
def test_an_answer_without_tickets_is_no_success(answer: bytes, code: str) -> None:
    with ExpoServer() as vendor:
        vendor.queue.append(Answer(body=answer))
        outcome = run(vendor)

    assert isinstance(outcome, Failed)
    assert (outcome.code, outcome.retryable) == (code, True)
