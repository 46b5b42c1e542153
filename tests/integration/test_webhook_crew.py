"""Deliveries by a worker's run loop in this process, to a real receiver: signed, once each, each in its place."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from pytest_django import Settings
from standardwebhooks.webhooks import Webhook

from core import crypto, http
from core.clock import database_now
from core.ids import encode
from jobs.runner.loop import Runner
from tests.conformance.webhook_world import SECRET, endpoint, happened
from tests.servers.receiver import Answer, Receiver
from webhooks import crew, delivery
from webhooks.crew import DeliveryCrew
from webhooks.models import Attempt, Delivery, Endpoint
from webhooks.signing import canonical

pytestmark = pytest.mark.django_db(transaction=True)

PATIENCE_SECONDS = 20.0


@contextmanager
def delivering() -> Iterator[Runner]:
    """A run loop that serves webhooks alone, drained at the end."""
    runner = Runner({}, crews={"webhooks": DeliveryCrew})
    thread = threading.Thread(target=runner.serve, name="run loop")
    thread.start()
    try:
        yield runner
    finally:
        runner.drain()
        thread.join(PATIENCE_SECONDS)
        assert not thread.is_alive()


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with Receiver() as receiver:
        yield receiver


def until(fact: Callable[[], Any], what: str) -> Any:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < deadline:
        if found := fact():
            return found
        time.sleep(0.02)
    raise AssertionError(f"within {PATIENCE_SECONDS} s not: {what}")


def ended(to: Endpoint, count: int = 1) -> list[Delivery]:
    """The endpoint's deliveries once so many have ended."""
    found = to.deliveries.filter(finished_at__isnull=False).order_by("pk")
    return until(lambda: len(found.all()) >= count and list(found.all()), f"{count} deliveries have ended")  # type: ignore[no-any-return]


def tried(to: Endpoint) -> Attempt:
    """The first attempt for that endpoint, once it is recorded."""
    attempts = Attempt.objects.filter(delivery__endpoint=to).order_by("pk")
    return until(attempts.first, "an attempt is recorded")  # type: ignore[no-any-return]


def test_an_event_arrives_signed_as_the_standards_library_verifies_it(receiver: Receiver) -> None:
    to = endpoint(f"{receiver.url}/hook")
    event = happened()
    with delivering():
        (sent,) = receiver.wait_for(1)
        (done,) = ended(to)
    payload = Webhook(SECRET).verify(sent.body, sent.headers)
    assert payload["job"]["id"] == encode("job", event.job_id)
    assert payload["event"] == payload["type"] == "job.completed"
    assert sent.headers["webhook-id"] == encode("msg", done.message_id)
    assert (sent.method, sent.headers["content-type"]) == ("POST", "application/json")
    (attempt,) = done.attempts.all()
    assert (done.status, done.attempt, attempt.response_status) == ("delivered", 1, 200)
    assert (attempt.response_body, attempt.error, attempt.address) == ('{"ok": true}', "", "127.0.0.1")


def test_the_old_secret_signs_too_until_its_time(receiver: Receiver) -> None:
    old = canonical("the secret that there was before")
    to = endpoint(f"{receiver.url}/hook")
    place = crypto.context("webhook", to.pk)
    Endpoint.objects.filter(pk=to.pk).update(
        old_secret=crypto.seal(old, place), old_secret_until=database_now().replace(year=2100)
    )
    happened()
    with delivering():
        (sent,) = receiver.wait_for(1)
        ended(to)
        Endpoint.objects.filter(pk=to.pk).update(old_secret_until=database_now())
        happened()
        later = receiver.wait_for(2)[1]
        ended(to, 2)
    for secret in (SECRET, old):
        assert Webhook(secret).verify(sent.body, sent.headers)
    assert len(sent.headers["webhook-signature"].split()) == 2
    assert len(later.headers["webhook-signature"].split()) == 1


def test_what_fails_is_recorded_and_waits_for_its_next_attempt(receiver: Receiver) -> None:
    receiver.answer("/hook", Answer(status=500, body="no" * 4_000))
    to = endpoint(f"{receiver.url}/hook")
    happened()
    with delivering():
        attempt = tried(to)
        waiting = to.deliveries.get()
    assert (waiting.status, waiting.attempt) == ("pending", 1)
    assert 4.9 <= (waiting.due_at - attempt.at).total_seconds() <= 6.5
    assert (attempt.response_status, attempt.error) == (500, "the endpoint answered 500")
    assert attempt.response_body == "no" * 2_048  # 4 kB are kept


def test_a_redirect_is_a_failure_and_is_not_followed(receiver: Receiver) -> None:
    receiver.answer("/hook", Answer(status=302, headers={"Location": f"{receiver.url}/elsewhere"}))
    to = endpoint(f"{receiver.url}/hook")
    happened()
    with delivering():
        attempt = tried(to)
    assert attempt.error == "the endpoint answered 302: redirects are not followed"
    assert [sent.path for sent in receiver.requests] == ["/hook"]


def test_retry_after_is_honoured_where_it_is_longer(receiver: Receiver) -> None:
    receiver.answer("/hook", Answer(status=503, headers={"Retry-After": "120"}))
    to = endpoint(f"{receiver.url}/hook")
    happened()
    with delivering():
        attempt = tried(to)
        waiting = to.deliveries.get()
    assert 119 <= (waiting.due_at - attempt.at).total_seconds() <= 122


def test_an_endpoint_that_is_gone_is_disabled(receiver: Receiver) -> None:
    receiver.answer("/hook", Answer(status=410))
    to = endpoint(f"{receiver.url}/hook")
    happened()
    with delivering():
        (done,) = ended(to)
        until(lambda: Endpoint.objects.filter(pk=to.pk, enabled=False).exists(), "it is disabled")
    assert (done.status, done.reason) == ("failed", "the endpoint answered 410 (Gone)")


@pytest.mark.parametrize(
    ("url", "error"),
    [
        ("http://10.1.2.3/hook", "the address 10.1.2.3 is not public"),
        ("http://169.254.169.254/latest", "the address 169.254.169.254 is not public"),
        ("http://127.0.0.1:9/hook", "no connection to http://127.0.0.1:9"),
        ("ftp://example.org/hook", "must begin with http:// or https://"),
    ],
)
def test_an_address_that_cannot_be_reached_is_a_recorded_failure(url: str, error: str) -> None:
    to = endpoint(url)
    happened()
    with delivering():
        attempt = tried(to)
    assert error in attempt.error
    assert (attempt.response_status, attempt.address) == (None, "")


def test_a_megabytes_long_answer_is_cut_and_a_drip_is_a_failure_and_neither_holds_up_others(
    receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(delivery, "TIMEOUT_SECONDS", 2.0)
    receiver.answer("/long", Answer(size=10_000_000))
    receiver.answer("/drip", Answer(size=1_000, drip=0.5))
    receiver.answer("/hang", Answer(hang=True))
    slow = [endpoint(f"{receiver.url}/{path}") for path in ("drip", "hang")]
    long, good = endpoint(f"{receiver.url}/long"), endpoint(f"{receiver.url}/good")
    for _ in range(20):
        happened()
    with delivering():
        began = time.monotonic()
        assert len(ended(good, 20)) == 20
        assert time.monotonic() - began < 2.0
        answers = {
            bytes(attempt.response_body.encode()) for attempt in Attempt.objects.filter(delivery__in=ended(long, 20))
        }
        assert answers == {b"x" * 4_096}
        for to in slow:
            attempt = tried(to)
            assert attempt.error == f"no complete answer from {receiver.url} within 2 s"
            assert (attempt.response_status, attempt.address) == (None, "127.0.0.1")


def test_many_that_do_not_answer_leave_half_of_the_room_to_those_that_do(
    receiver: Receiver, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(delivery, "TIMEOUT_SECONDS", 8.0)
    settings.CONCURRENCY = 20
    for number in range(8):
        receiver.answer(f"/hang{number}", Answer(hang=True))
    hanging = [endpoint(f"{receiver.url}/hang{number}") for number in range(8)]
    good = [endpoint(f"{receiver.url}/good{number}") for number in range(2)]
    for _ in range(30):
        happened()
    with delivering():
        began = time.monotonic()
        for to in good:
            assert len(ended(to, 30)) == 30
        assert time.monotonic() - began < 4.0
        under_way = Delivery.objects.filter(status="delivering", endpoint__in=hanging).count()
        assert 10 <= under_way < 20


def test_a_place_that_becomes_free_is_used_at_once(receiver: Receiver, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(crew, "POLL_SECONDS", 10 * PATIENCE_SECONDS)  # nobody looks just in case
    receiver.answer("/hook", Answer(delay=0.1))
    receiver.answer("/other", Answer(delay=0.25))
    to, other = endpoint(f"{receiver.url}/hook"), endpoint(f"{receiver.url}/other")
    for _ in range(60):
        happened()
    with delivering():
        assert len(ended(to, 60)) == 60
        assert len(ended(other, 60)) == 60


def test_a_secret_that_cannot_be_opened_is_a_recorded_failure(receiver: Receiver) -> None:
    to = endpoint(f"{receiver.url}/hook", secret="v1.00000000.altered")
    happened()
    with delivering():
        assert tried(to).error == delivery.UNOPENED
    assert list(receiver.requests) == []


def test_an_error_that_no_database_stores_is_recorded_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    async def send(request: http.HttpRequest) -> http.HttpResponse:
        raise http.BadResponse("it said \udcff\0")

    monkeypatch.setattr(http, "send", send)
    to = endpoint()
    happened()
    with delivering():
        assert tried(to).error == "it said \ufffd\ufffd"
