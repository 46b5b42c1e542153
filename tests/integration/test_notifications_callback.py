"""The callback of a message, on a real receiver: what it carries, and how each answer ends it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from core.errors import Invalid
from executors.base import Done, Failed
from tests.integration.notification_world import World
from tests.servers.local import free_port
from tests.servers.mail import MailServer
from tests.servers.receiver import Answer, Receiver

pytestmark = pytest.mark.django_db

MESSAGES: list[dict[str, Any]] = [
    {"tag": "call", "callback": {"body": {"who": "{{name}}"}}},
    {"tag": "bare", "callback": {}},
    {
        "tag": "full",
        "callback": {
            "params": {"kind": "{{kind}}"}, "query": {"day": "{{day}}", "tags": ["a", "{{tag}}"]},
            "headers": {"X-Day": "{{day}}"}, "body": [{"who": "{{name}}"}],
        },
    },
]  # fmt: skip


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with Receiver() as running:
        yield running


def world(receiver: Receiver, path: str = "/hook", **more: Any) -> World:
    made = World(callbacks={"url": f"{receiver.url}{path}", **more})
    made.store(MESSAGES, callbacks={"url": f"{receiver.url}{path}", **more})
    return made


def test_each_part_is_filled_by_its_own_dictionary(receiver: Receiver) -> None:
    outcome = world(receiver, "/hook/:kind").run(
        "full",
        callback={
            "params": {"kind": "re minder"}, "query": {"day": "1/2", "tag": "b"}, "headers": {"day": "Monday"},
            "body": {"name": ["Ann", 5]},
        },
    )  # fmt: skip

    assert isinstance(outcome, Done)
    [called] = receiver.requests
    assert (called.method, called.path) == ("POST", "/hook/re%20minder?day=1%2F2&tags=a&tags=b")
    assert called.headers["x-day"] == "Monday"
    assert called.json() == [{"who": ["Ann", 5]}]


def test_a_part_that_the_message_leaves_out_is_the_inputs(receiver: Receiver) -> None:
    world(receiver, "/hook/:kind").run(
        "bare",
        callback={"params": {"kind": "k"}, "query": {"a": 1, "on": True}, "body": {"n": None}, "headers": {"X-A": 1}},
    )

    [called] = receiver.requests
    assert called.path == "/hook/k?a=1&on=true"
    assert (called.json(), called.headers["x-a"]) == ({"n": None}, "1")


def test_what_the_message_says_comes_before_the_environments_auth(receiver: Receiver) -> None:
    auth = {"headers": {"X-Day": "auth", "X-Key": "k"}, "query": {"day": "auth"}, "body": {"who": "auth", "key": "k"}}

    world(receiver, auth=auth).run("call", callback={"body": {"name": "Ann"}, "query": {"day": "said"}})

    [called] = receiver.requests
    assert called.path == "/hook?day=said"
    assert called.json() == {"who": "Ann", "key": "k"}
    assert (called.headers["x-day"], called.headers["x-key"]) == ("auth", "k")


def test_a_message_without_any_input_is_sent(receiver: Receiver) -> None:
    made = world(receiver)
    made.check("bare")

    assert made.run("bare") == Done({"success": True, "channels": {"callback": {"success": True, "status": 200}}})
    assert receiver.requests[0].body == b""


def test_a_get_has_no_body(receiver: Receiver) -> None:
    world(receiver, method="get").run("call", callback={"body": {"name": "Ann"}})

    [called] = receiver.requests
    assert (called.method, called.body) == ("GET", b"")


@pytest.mark.parametrize(
    ("answer", "code", "retryable", "retry_after"),
    [
        (Answer(status=302, headers={"Location": "/x"}), "VALIDATION_ERROR", False, None),
        (Answer(status=400), "VALIDATION_ERROR", False, None), (Answer(status=401), "UNAUTHORIZED", False, None),
        (Answer(status=403), "FORBIDDEN", False, None), (Answer(status=404), "NOT_FOUND", False, None),
        (Answer(status=429, headers={"Retry-After": "3"}), "RATE_LIMITED", True, 3.0),
        (Answer(status=503, headers={"Retry-After": "4"}), "SERVICE_UNAVAILABLE", True, 4.0),
        (Answer(hang=True), "TIMEOUT", True, None), (Answer(reset=True), "CONNECTION_ERROR", True, None),
        (Answer(garbage=True), "CONNECTION_ERROR", True, None),
    ],
    ids=lambda value: str(getattr(value, "status", "")) if isinstance(value, Answer) else "",
)  # fmt: skip
def test_each_answer_has_its_code(
    receiver: Receiver, answer: Answer, code: str, retryable: bool, retry_after: float | None
) -> None:
    receiver.answer("/hook", answer)

    outcome = world(receiver).run("bare", timeout=0.5)

    assert isinstance(outcome, Failed)
    assert (outcome.code, outcome.retryable, outcome.retry_after) == (code, retryable, retry_after)
    assert outcome.result is not None
    assert outcome.result["channels"]["callback"]["code"] == code


def test_a_long_answer_is_not_read_to_its_end(receiver: Receiver) -> None:
    receiver.answer("/hook", Answer(size=50_000_000))

    assert isinstance(world(receiver).run("bare"), Done)


@pytest.mark.parametrize("url", ["http://169.254.169.254/latest", "http://10.0.0.1/hook", "http://[::ffff:10.0.0.1]/"])
def test_an_address_that_may_not_be_reached(receiver: Receiver, url: str) -> None:
    made = world(receiver)
    made.store(MESSAGES, callbacks={"url": url})

    outcome = made.run("bare")

    assert isinstance(outcome, Failed)
    assert (outcome.code, outcome.retryable) == ("FORBIDDEN", False)


def test_a_receiver_that_is_away(receiver: Receiver) -> None:
    made = world(receiver)
    made.store(MESSAGES, callbacks={"url": f"http://127.0.0.1:{free_port()}/"})

    outcome = made.run("bare")

    assert isinstance(outcome, Failed)
    assert (outcome.code, outcome.retryable) == ("CONNECTION_ERROR", True)


def test_a_value_adds_no_header(receiver: Receiver) -> None:
    outcome = world(receiver).run("bare", callback={"headers": {"X-A": "1\r\nX-Key: other"}})

    assert isinstance(outcome, Failed)
    assert (outcome.code, outcome.retryable) == ("VALIDATION_ERROR", False)
    assert len(receiver.requests) == 0


def test_a_callback_that_the_input_does_not_name_is_skipped_where_its_url_needs_a_value(
    receiver: Receiver,
) -> None:
    message = {"tag": "both", "email": {"subject": "Hi", "template": "<p>Hi</p>"}, "callback": {"body": {"a": 1}}}
    with MailServer() as mails:
        channels: dict[str, Any] = {"callbacks": {"url": f"{receiver.url}/hook/:kind"}, "emails": mails.block}
        made = World(**channels)
        made.store([message], **channels)

        outcome = made.run("both", email={"recipients": ["a@example.com"]})

    assert isinstance(outcome, Done)
    assert outcome.result["channels"]["email"]["success"] is True
    reason = "the input names no callback.params.kind, which its URL holds"
    assert outcome.result["channels"]["callback"] == {"success": False, "skipped": True, "reason": reason}
    assert (len(mails.got), len(receiver.requests)) == (1, 0)
    with pytest.raises(Invalid, match=r"is required: the callback's URL holds :kind"):
        made.check("both", email={"recipients": ["a@example.com"]}, callback={})
    with pytest.raises(Invalid, match=r"names nobody to send to: give email\.recipients or callback"):
        made.check("both")
