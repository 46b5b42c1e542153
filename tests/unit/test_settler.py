"""Outcomes are written until the database has them, and one that it refuses takes no other along."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any
from uuid import uuid4

import pytest
from django.db import DataError, InternalError, OperationalError

from jobs.lifecycle.settle import Finished, Settlement, settle
from jobs.runner import settler as module
from jobs.runner.outcome import storable_instead
from jobs.runner.settler import Settler


class Database:
    """Takes batches, or raises what the test says for them."""

    def __init__(self, refuse: Callable[[list[Settlement]], Exception | None]) -> None:
        self._refuse = refuse
        self.written: list[Settlement] = []

    async def run(self, function: Any, batch: list[Settlement]) -> set[int]:
        error = self._refuse(batch)
        if error is not None:
            raise error
        self.written += batch
        return {outcome.run_id for outcome in batch}


def outcomes(count: int) -> list[Settlement]:
    return [Finished.completed(number, uuid4(), 1, "{}") for number in range(count)]


def settled_by(database: Database, batch: Sequence[Settlement]) -> list[int]:
    """Settle them; the runs that were reported as done with."""
    done: list[int] = []

    async def scenario() -> None:
        settler = Settler[Settlement](
            database,  # type: ignore[arg-type]
            settle,
            lambda some: done.extend(one.run_id for one in some),
            salvage=storable_instead,
        )
        running = asyncio.create_task(settler.run())
        for outcome in batch:
            settler.put(outcome)
        settler.close()
        await asyncio.wait_for(running, 10)
        assert settler.pending == 0

    asyncio.run(scenario())
    return sorted(done)


@pytest.mark.parametrize("error", [OperationalError("gone"), InternalError("read only")])
def test_a_database_that_is_away_is_asked_until_it_answers(monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    monkeypatch.setattr(module, "RETRY_SECONDS", 0.0)
    errors = [error, error]
    database = Database(lambda batch: errors.pop() if errors else None)
    assert settled_by(database, outcomes(3)) == [0, 1, 2]
    assert len(database.written) == 3


@pytest.mark.parametrize("error", [DataError("cannot be stored"), RuntimeError("the rows contradict each other")])
def test_an_outcome_that_is_refused_takes_no_other_along(error: Exception) -> None:
    database = Database(lambda batch: error if any(one.run_id == 1 for one in batch) else None)
    assert settled_by(database, outcomes(4)) == [0, 1, 2, 3]
    assert sorted(one.run_id for one in database.written) == [0, 2, 3]


def test_a_result_that_cannot_be_stored_is_recorded_as_a_failure() -> None:
    def refuse(batch: list[Settlement]) -> Exception | None:
        poisoned = any(isinstance(one, Finished) and one.run_id == 1 and one.result is not None for one in batch)
        return DataError("cannot be stored") if poisoned else None

    database = Database(refuse)
    assert settled_by(database, outcomes(2)) == [0, 1]
    (refused,) = [one for one in database.written if one.run_id == 1]
    assert isinstance(refused, Finished)
    assert (refused.status, refused.code, refused.result) == ("failed", "INTERNAL_ERROR", None)
