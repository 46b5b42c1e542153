"""The runs that a process holds: places, stopping, and the same run under two fences."""

from __future__ import annotations

import asyncio
from uuid import uuid4

from jobs.lifecycle.claim import Claim
from jobs.runner.flights import Claims, Flights, Flying

JOB = uuid4()


def flying(run_id: int = 1, fence: int = 1) -> Flying[Claim]:
    claim = Claim(run_id, fence, 1, 1, 0, 0, JOB, 1, 1, "noop", "{}", "{}", "", "", 0, "{}", 60_000, 0)
    return Flying(claim, "default", deadline=0.0)


def flights(*some: Flying[Claim]) -> Flights[Claim]:
    made = Flights[Claim]({"default": 2})
    for one in some:
        made.take_off(one)
    return made


def test_a_run_takes_a_place_and_gives_it_back_once() -> None:
    run = flying()
    held = flights(run)
    assert held.free("default") == 1
    assert held.land(run)
    assert not held.land(run)
    assert held.free("default") == 2


def test_stopping_wants_the_same_fence_unless_any_will_do() -> None:
    run = flying(fence=3)
    held = flights(run)
    held.stop({1: 2}, "taken away")
    assert held.free("default") == 1
    held.stop({1: None}, "cancelled")
    assert (run.dropped, run.cancelled.is_set()) == (True, True)
    assert held.free("default") == 2


def test_an_attempt_that_is_still_here_when_its_run_is_claimed_again_gives_way() -> None:
    old, new = flying(fence=1), flying(fence=3)
    held = flights(old)
    held.take_off(new)
    assert (old.dropped, new.dropped) == (True, False)
    assert held.free("default") == 1
    assert not held.land(old)
    assert held.known() == {1: 3}


def test_an_outcome_is_known_until_it_is_recorded_under_its_own_fence() -> None:
    run = flying(fence=3)
    held = flights(run)
    held.land(run)
    held.settling(run.claim)
    assert held.busy
    held.settled([(1, 2)])
    assert held.known() == {1: 3}
    held.settled([(1, 3)])
    assert held.known() == {}
    assert not held.busy


def test_a_queue_without_a_bound_is_counted_while_something_of_it_flies() -> None:
    run = Flying(flying().claim, "elsewhere", deadline=0.0)
    held = flights(run)
    assert held.used == {"elsewhere": 1}
    held.land(run)
    assert held.used == {}


def test_a_claim_is_answered_when_it_and_all_before_it_are() -> None:
    claims = Claims()
    first, second = claims.begin(), claims.begin()
    claims.end(second)
    assert (claims.begun, claims.ended(first), claims.ended(second)) == (2, False, False)
    claims.end(first)
    assert claims.ended(second)


def test_landing_takes_the_timer_along() -> None:
    async def scenario() -> bool:
        run = flying()
        held = flights(run)
        run.timer = asyncio.get_running_loop().call_later(60, lambda: None)
        held.land(run)
        return run.timer.cancelled()

    assert asyncio.run(scenario())
