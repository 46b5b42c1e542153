"""Clients that are kept per target: all of a loop's are closed at its end, whatever kind they are of."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import Any

import pytest

from executors import isolated
from executors.base import Done
from executors.reach.clients import Clients, close_every


async def made(name: str) -> str:
    return name


def test_every_client_of_a_loop_is_closed_at_its_end_also_where_one_fails() -> None:
    closed: list[str] = []

    async def fails(name: str) -> None:
        closed.append(name)
        raise OSError("the server is gone")

    brokers: Clients[str] = Clients(fails)
    databases: Clients[str] = Clients(closed.append)

    async def uses(name: str) -> None:
        for clients in (brokers, databases):
            for number in (1, 2):
                async with clients.use(f"{name}-{number}", partial(made, f"{name}-{number}")):
                    pass

    async def elsewhere() -> None:
        await uses("other")

    async def story() -> None:
        await uses("a")
        await close_every()

    other = asyncio.new_event_loop()
    other.run_until_complete(elsewhere())
    asyncio.run(story())

    assert sorted(closed) == ["a-1", "a-1", "a-2", "a-2"]
    other.run_until_complete(close_every())
    other.close()
    assert sorted(closed)[4:] == ["other-1", "other-1", "other-2", "other-2"]


def test_past_the_most_targets_who_was_idle_longest_is_closed_and_nobody_in_use(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("executors.reach.clients.MOST_TARGETS", 2)
    closed: list[str] = []
    clients: Clients[str] = Clients(closed.append)

    async def use(name: str) -> None:
        async with clients.use(name, partial(made, name)):
            pass

    async def story() -> list[list[str]]:
        seen = []
        async with clients.use("busy", partial(made, "busy")):
            for name in ("first", "second", "first", "third"):
                await use(name)
                await asyncio.sleep(0)
                seen.append(list(closed))
        await close_every()
        return seen

    assert asyncio.run(story()) == [[], ["first"], ["first", "second"], ["first", "second", "first"]]
    assert sorted(closed[3:]) == ["busy", "third"]


def test_a_client_is_closed_once_nobody_has_used_it_for_a_while() -> None:
    closed: list[str] = []
    gone = asyncio.Event()

    def close(client: str) -> None:
        closed.append(client)
        gone.set()

    clients: Clients[str] = Clients(close, idle_seconds=0.6)

    async def story() -> None:
        async with clients.use("a", partial(made, "a")):
            await asyncio.sleep(0.8)  # in use it is kept
        for _ in range(4):  # each use puts it off
            await asyncio.sleep(0.2)
            async with clients.use("a", partial(made, "another")) as client:
                assert (client, closed) == ("a", [])
        async with asyncio.timeout(5):
            await gone.wait()

    asyncio.run(story())

    assert closed == ["a"]


def test_a_client_that_is_closed_is_made_anew_when_it_is_wanted_again() -> None:
    made: list[int] = []
    clients: Clients[int] = Clients(lambda client: None)

    async def make() -> int:
        made.append(len(made))
        return made[-1]

    async def story() -> list[int]:
        got = []
        for _ in range(2):
            async with clients.use("a", make) as client:
                got.append(client)
            await close_every()
        return got

    assert asyncio.run(story()) == [0, 1]


def test_a_client_that_could_not_be_made_after_its_caller_was_cancelled_is_made_anew() -> None:
    may_fail = asyncio.Event()
    clients: Clients[str] = Clients(lambda client: None)

    async def fails() -> str:
        await may_fail.wait()
        raise OSError("it was away")

    async def makes() -> str:
        return "there again"

    async def uses() -> None:
        async with clients.use("a", fails):
            raise AssertionError("it cannot be made")

    async def story() -> str:
        caller = asyncio.create_task(uses())
        await asyncio.sleep(0)
        caller.cancel()
        await asyncio.gather(caller, return_exceptions=True)
        may_fail.set()
        for _ in range(3):  # for the making, which is a task of its own
            await asyncio.sleep(0)
        async with clients.use("a", makes) as client:
            return client

    assert asyncio.run(story()) == "there again"


def test_an_isolated_run_closes_what_it_has_connected_to() -> None:
    closed: list[str] = []
    clients: Clients[str] = Clients(closed.append)

    class Connects:
        async def execute(self, call: Any) -> Done:
            async def made() -> str:
                return "client"

            async with clients.use("a", made):
                return Done({})

    executor: Any = Connects()
    for _ in range(2):  # one process, a loop for each
        assert asyncio.run(isolated._run(executor, None)) == Done({})  # type: ignore[arg-type]
    assert closed == ["client", "client"]
