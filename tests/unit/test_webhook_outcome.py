"""What an answer means for a delivery, and how many requests an endpoint gets at once."""

from __future__ import annotations

from collections.abc import Hashable
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import pytest

import webhooks.pace
from webhooks.claiming import DeliveryClaim
from webhooks.outcome import ATTEMPTS, Answer, Ended, decide
from webhooks.pace import BEGINS_WITH, MOST, Pace
from webhooks.states import DeliveryStatus

SECOND, MINUTE, HOUR = 1, 60, 3_600
FROM_ONE_ATTEMPT_TO_THE_NEXT = [
    5 * SECOND, 5 * MINUTE, 30 * MINUTE, 2 * HOUR, 5 * HOUR, 10 * HOUR, 14 * HOUR, 20 * HOUR, 24 * HOUR,
]  # fmt: skip


def decided(status: int | None, *, attempt: int = 1, random: float = 0.0, **of: Any) -> Ended:
    claim = DeliveryClaim(uuid4(), 1, attempt, uuid4(), uuid4(), "http://127.0.0.1/", "", "", "{}", 0)
    answer = Answer(at=datetime(2026, 1, 1, tzinfo=UTC), duration_ms=1, status=status, error="no", **of)
    return decide(claim, answer, random=random)


@pytest.mark.parametrize("status", [200, 201, 202, 204, 299])
def test_2xx_alone_is_success(status: int) -> None:
    assert decided(status).status is DeliveryStatus.DELIVERED


@pytest.mark.parametrize("status", [None, 300, 301, 302, 304, 307, 308, 400, 401, 404, 429, 500, 503])
def test_everything_else_is_tried_again(status: int | None) -> None:
    outcome = decided(status)
    assert (outcome.status, outcome.delay, outcome.gone) == (DeliveryStatus.PENDING, 5, False)


def test_the_attempts_are_those_of_the_table() -> None:
    assert ATTEMPTS == 10
    delays = [decided(500, attempt=number).delay for number in range(1, ATTEMPTS)]
    assert delays == FROM_ONE_ATTEMPT_TO_THE_NEXT


def test_the_jitter_is_a_tenth_at_most_and_never_early() -> None:
    assert decided(500, attempt=2, random=0.0).delay == 300
    assert decided(500, attempt=2, random=0.5).delay == pytest.approx(315)
    assert 329 < decided(500, attempt=2, random=0.999).delay < 330


def test_after_the_last_attempt_it_has_failed_and_says_why() -> None:
    outcome = decided(500, attempt=10)
    assert (outcome.status, outcome.reason) == (DeliveryStatus.FAILED, "attempt 10 was the last: no")


def test_an_attempt_after_one_that_was_lost_is_still_the_last() -> None:
    assert decided(500, attempt=11).status is DeliveryStatus.FAILED
    assert decided(200, attempt=11).status is DeliveryStatus.DELIVERED


def test_410_is_the_end_at_once() -> None:
    outcome = decided(410)
    assert (outcome.status, outcome.gone) == (DeliveryStatus.FAILED, True)


@pytest.mark.parametrize(
    ("status", "asked", "delay"),
    [(429, 120, 120), (503, 120, 120), (503, 1, 5), (503, 10_000_000, 86_400), (500, 120, 5), (404, 120, 5)],
)
def test_retry_after_is_honoured_for_429_and_503_within_bounds(status: int, asked: float, delay: float) -> None:
    assert decided(status, retry_after=asked).delay == delay


def test_an_endpoint_earns_places_by_prompt_answers() -> None:
    pace = Pace()
    for _ in range(3):
        pace.answered("it", succeeded=True, duration_ms=10)
    assert pace.places("it") == BEGINS_WITH + 3
    for _ in range(500):
        pace.answered("it", succeeded=True, duration_ms=10)
    assert pace.places("it") == MOST


def test_a_slow_answer_earns_nothing() -> None:
    pace = Pace()
    pace.answered("it", succeeded=True, duration_ms=5_000)
    assert pace.places("it") == BEGINS_WITH


def test_one_that_fails_is_soon_asked_for_one_thing_at_a_time_and_others_are_not() -> None:
    pace = Pace()
    for _ in range(8):
        pace.answered("it", succeeded=False, duration_ms=15_000)
    assert (pace.places("it"), pace.places("another")) == (1, BEGINS_WITH)


def test_what_is_left_is_told_of_those_that_are_not_at_the_beginning() -> None:
    pace = Pace()
    pace.answered("fast", succeeded=True, duration_ms=1)
    pace.answered("dead", succeeded=False, duration_ms=1)
    offer = pace.offer({"fast": 2, "new": 3, "dead": 9}, waiting=(), room=500)
    assert offer == ({"fast": 7, "new": 5, "dead": 0}, BEGINS_WITH)


def test_one_that_keeps_a_request_waiting_gets_no_other_however_fast_it_was() -> None:
    pace = Pace()
    pace.answered("fast", succeeded=True, duration_ms=1)
    assert pace.offer({"fast": 2, "new": 1}, waiting={"fast"}, room=500).rooms == {"fast": 0, "new": 7}


def test_half_of_the_room_is_for_those_that_answer_promptly() -> None:
    pace = Pace()
    pace.answered("fast", succeeded=True, duration_ms=1)
    pace.answered("prompt to refuse", succeeded=False, duration_ms=1)
    pace.answered("slow", succeeded=True, duration_ms=3_000)
    pace.answered("dead", succeeded=False, duration_ms=15_000)
    used: dict[Hashable, int] = {"fast": 5, "slow": 3, "new": 7}
    assert pace.offer(used, waiting=(), room=21).others == BEGINS_WITH
    offer = pace.offer(used, waiting=(), room=20)
    assert offer == ({"fast": 4, "prompt to refuse": 4, "slow": 0, "dead": 0, "new": 0}, 0)
    assert pace.offer({"fast": 9}, waiting={"fast"}, room=18).others == 0


def test_those_not_heard_of_for_longest_are_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(webhooks.pace, "REMEMBERED", 2)
    pace = Pace()
    for name in ("first", "second", "first", "third"):
        pace.answered(name, succeeded=True, duration_ms=1)
    assert pace.offer({}, waiting=(), room=9).rooms == {"first": BEGINS_WITH + 2, "third": BEGINS_WITH + 1}
    assert pace.offer({"second": 5}, waiting=(), room=9).others == 0
