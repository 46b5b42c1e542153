"""The keeper of a lease: what each answer to a beat makes of the runs, and when claims are allowed."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Hashable, Mapping
from typing import Any

import pytest

from jobs.lifecycle import lease
from jobs.runner.keeper import Keeper

KNOWN: Mapping[Hashable, int] = {1: 5}  # run → fence


class Runs:
    """A process with one run, whose claims the test counts."""

    def __init__(self) -> None:
        self.held: Mapping[Hashable, int] = dict(KNOWN)
        self.owns: Mapping[Hashable, int] = dict(KNOWN)  # by the database
        self.handed_back: list[set[Hashable]] = []
        self.begun, self.unanswered = 3, 0
        self.stopped: dict[Hashable, int | None] = {}
        self.aborted = 0

    def known(self) -> Mapping[Hashable, int]:
        return self.held

    def claims_begun(self) -> int:
        return self.begun

    def claims_ended(self, until: int) -> bool:
        return not (0 < self.unanswered <= until)

    def stop(self, claims: Mapping[Hashable, int | None], why: str) -> None:
        self.stopped.update(claims)

    def abort(self, why: str) -> Mapping[Hashable, int]:
        self.aborted += 1
        held, self.held = self.held, {}
        return held

    def owned(self, worker_id: int) -> Mapping[Hashable, int]:
        return self.owns

    def hand_back(self, worker_id: int, keys: Collection[Hashable]) -> None:
        self.handed_back.append(set(keys))


class Database:
    """Renews as told, and takes as long."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.alive = True
        self.registered = 0
        monkeypatch.setattr("jobs.runner.keeper.renew", self.renew)
        self.seconds = 0.0  # that a beat takes

    async def run(self, function: Any, *args: Any, **kwargs: Any) -> Any:
        if function is lease.register_worker:
            self.registered += 1
            return 40 + self.registered
        return function(*args, **kwargs)

    def renew(self, worker_id: int, **_: Any) -> bool:
        Clock.now += self.seconds
        return self.alive


class Clock:
    now = 100.0

    @classmethod
    def monotonic(cls) -> float:
        return cls.now


class World:
    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.runs, self.others, self.database = Runs(), Runs(), Database(monkeypatch)
        self.keeper = Keeper(self.database, [self.runs, self.others], host="t", queues=["default"], concurrency=1)  # type: ignore[arg-type]

    def beat(self) -> None:
        asyncio.run(self.keeper.beat())


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> World:
    monkeypatch.setattr("jobs.runner.keeper.time.monotonic", Clock.monotonic)
    monkeypatch.setattr("jobs.runner.keeper.threading.Thread.start", lambda self: None)
    return World(monkeypatch)


def test_a_beat_that_finds_everything_in_order_changes_nothing(world: World) -> None:
    world.beat()
    assert world.keeper.valid.is_set()
    assert (world.runs.stopped, world.runs.handed_back) == ({}, [])


def test_a_run_that_was_taken_away_is_stopped(world: World) -> None:
    world.runs.owns = {}
    world.beat()
    assert world.runs.stopped == {1: 5}


def test_a_run_that_was_taken_away_and_claimed_again_is_stopped_under_its_old_fence_only(world: World) -> None:
    world.runs.owns = {1: 7}
    world.beat()
    assert world.runs.stopped == {1: 5}


def test_a_run_nobody_here_knows_is_handed_back_at_the_second_beat(world: World) -> None:
    world.runs.owns = {1: 5, 2: 1}
    world.beat()
    assert world.runs.handed_back == []
    world.beat()
    assert world.runs.handed_back == [{2}]


def test_a_run_whose_claim_is_still_unanswered_is_waited_for(world: World) -> None:
    world.runs.owns = {1: 5, 2: 1}
    world.runs.unanswered = 3
    world.beat()
    world.beat()
    assert world.runs.handed_back == []
    world.runs.begun, world.runs.unanswered = 9, 8  # that claim is answered; younger ones are not
    world.beat()
    assert world.runs.handed_back == [{2}]


def test_a_run_that_is_new_under_each_fence_is_not_taken_for_a_lost_claim(world: World) -> None:
    for fence in (1, 3, 5):
        world.runs.owns = {1: 5, 2: fence}
        world.beat()
    assert world.runs.handed_back == []


def test_a_worker_taken_for_dead_drops_its_runs_and_begins_anew(world: World) -> None:
    world.database.alive = False
    world.beat()
    assert (world.runs.aborted, world.others.aborted) == (1, 1)
    assert world.keeper.worker_id == 41
    assert world.keeper.valid.is_set()


def test_an_answer_that_comes_after_the_lease_may_have_ended_allows_no_claim(world: World) -> None:
    world.database.seconds = 13.0
    world.beat()
    assert not world.keeper.valid.is_set()
    world.database.seconds = 0.0
    world.beat()
    assert world.keeper.valid.is_set()


def test_what_was_aborted_is_handed_back_where_it_is_still_owned(world: World) -> None:
    world.keeper._accounts[0].aborted = {**world.runs.abort("no beat"), 3: 2}
    world.beat()
    assert world.runs.handed_back == [{1}]
    world.beat()
    assert world.runs.handed_back == [{1}]


def test_what_is_held_of_one_kind_is_compared_with_what_is_owned_of_that_kind(world: World) -> None:
    world.others.owns = {1: 7}  # the same number, and another row
    world.beat()
    assert (world.runs.stopped, world.others.stopped) == ({}, {1: 5})


def test_a_draining_worker_does_not_claim_again(world: World) -> None:
    world.keeper.draining = True
    world.beat()
    assert not world.keeper.valid.is_set()


def test_a_process_that_stood_still_finds_its_lease_gone_before_it_begins_anything(world: World) -> None:
    world.beat()
    assert world.keeper.still_valid()
    Clock.now += 12.5  # a SIGSTOP: no beat, and nobody has looked
    assert world.keeper.valid.is_set()
    assert not world.keeper.still_valid()
    assert (world.runs.aborted, world.keeper.valid.is_set()) == (1, False)
    world.beat()
    assert world.keeper.still_valid()
