"""Dispatches that come together are written together: in one commit, each told of its own end."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, cast

import pytest
from django.db import IntegrityError, OperationalError

from jobs.lifecycle.create import Draft
from jobs.operations import gathering
from jobs.operations.gathering import Gathering, NotStored

WAIT_SECONDS = 10


def named(name: str) -> Draft:
    """As good as a job: nothing looks into it."""
    return cast(Draft, name)


class Store:
    """Notes what is written, and stops in the first write until it is let go."""

    def __init__(self, fail: Callable[[Sequence[Any]], None] = lambda batch: None) -> None:
        self.batches: list[list[Any]] = []
        self.told: list[list[Any]] = []
        self.writing, self.go_on = threading.Event(), threading.Event()
        self._fail = fail
        self.gathering = Gathering(self._write, lambda batch: self.told.append(list(batch)))

    def _write(self, batch: Sequence[Any]) -> None:
        self.batches.append(list(batch))
        self.writing.set()
        assert self.go_on.wait(WAIT_SECONDS)
        self._fail(batch)

    def put_all(self, names: Sequence[str]) -> dict[str, BaseException | None]:
        """Put the first, the others while it is being written; how each ended."""
        with ThreadPoolExecutor(len(names)) as pool:
            futures = {names[0]: pool.submit(self.gathering.put, named(names[0]))}
            assert self.writing.wait(WAIT_SECONDS)
            for name in names[1:]:
                waiting = len(self.gathering._waiting)
                futures[name] = pool.submit(self.gathering.put, named(name))
                while len(self.gathering._waiting) == waiting:
                    pass  # so that they wait in this order
            self.go_on.set()
            return {name: future.exception(WAIT_SECONDS) for name, future in futures.items()}


def test_who_finds_nobody_writing_writes_at_once_and_alone() -> None:
    store = Store()
    store.go_on.set()
    store.gathering.put(named("a"))
    store.gathering.put(named("b"))
    assert (store.batches, store.told) == ([["a"], ["b"]], [["a"], ["b"]])


def test_who_comes_while_another_writes_is_written_next_together() -> None:
    store = Store()
    assert store.put_all(["a", "b", "c", "d"]) == dict.fromkeys("abcd")
    assert (store.batches, sorted(store.told)) == ([["a"], ["b", "c", "d"]], [["a"], ["b", "c", "d"]])


def test_a_batch_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gathering, "MOST", 2)
    store = Store()
    assert store.put_all(["a", "b", "c", "d"]) == dict.fromkeys("abcd")
    assert store.batches == [["a"], ["b", "c"], ["d"]]


def test_a_bad_job_takes_no_other_with_it() -> None:
    def refuse(batch: Sequence[Any]) -> None:
        if "bad" in batch:
            raise IntegrityError("no such product")

    store = Store(refuse)
    ends = store.put_all(["a", "b", "bad", "c"])
    assert {name: type(end) for name, end in ends.items() if end is not None} == {"bad": IntegrityError}
    assert store.batches == [["a"], ["b", "bad", "c"], ["b"], ["bad"], ["c"]]
    assert ["b", "c"] in store.told


def test_a_database_that_is_away_is_told_to_everybody_once() -> None:
    def away(batch: Sequence[Any]) -> None:
        raise OperationalError("gone")

    store = Store(away)
    ends = store.put_all(["a", "b", "c"])
    assert [type(end) for end in ends.values()] == [OperationalError] * 3
    assert len({id(end) for end in ends.values()}) == 3
    assert (store.batches, [batch for batch in store.told if batch]) == ([["a"], ["b", "c"]], [])


def test_nobody_is_told_that_a_job_is_stored_whose_writer_was_stopped() -> None:
    def stop(batch: Sequence[Any]) -> None:
        if "b" in batch:
            raise SystemExit

    store = Store(stop)
    ends = store.put_all(["a", "b", "c"])
    assert [type(end) for end in ends.values()] == [type(None), SystemExit, NotStored]
    store.gathering.put(named("d"))  # and the next one is written
    assert store.batches[-1] == ["d"]
