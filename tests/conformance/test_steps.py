"""What a run has done is kept with it, for its own attempts and under their fences."""

from __future__ import annotations

from collections.abc import Coroutine
from typing import Any

import pytest

from core.clock import database_now
from executors.base import Gone
from jobs.api.shapes import run_shape
from jobs.lifecycle import intervene
from jobs.lifecycle.promote import promote_due
from jobs.lifecycle.reap import Reaped, lose
from jobs.lifecycle.steps import MOST_BYTES, TooMuch, read_steps, record_step, was_cancelled
from jobs.models import Execution
from jobs.runner.steps import RunSteps
from tests.conformance.world import claim_one, complete, new_job, postpone, runs_of

pytestmark = pytest.mark.django_db(transaction=True)


def test_a_step_is_there_for_the_next_attempt_and_in_the_history() -> None:
    job = new_job(retries=2)
    first = claim_one(job)
    assert record_step(first.run_id, first.fence, "fetch", '{"output": 1}')
    assert record_step(first.run_id, first.fence, "store", '{"output": [2]}')
    postpone(first, delay_ms=0)
    promote_due()
    second = claim_one(job)
    assert read_steps(second.run_id) == {"fetch": {"output": 1}, "store": {"output": [2]}}
    assert record_step(second.run_id, second.fence, "fetch", '{"output": 3}')
    complete(second)
    assert run_shape(runs_of(job)[0])["steps"] == [{"step": "fetch", "output": 3}, {"step": "store", "output": [2]}]


def test_an_attempt_whose_run_was_taken_back_records_nothing() -> None:
    job = new_job()
    first = claim_one(job)
    lose([(first.run_id, job.pk)], error="gone", counted=True, reaped=Reaped())
    assert not record_step(first.run_id, first.fence, "late", "{}")
    second = claim_one(job)
    assert not record_step(first.run_id, first.fence, "late", "{}")
    assert record_step(second.run_id, second.fence, "now", "{}")
    intervene.cancel(job.pk)
    assert not record_step(second.run_id, second.fence, "after", "{}")
    assert list(read_steps(second.run_id)) == ["now"]


def test_a_run_keeps_so_much_and_no_more() -> None:
    taken = claim_one(new_job())
    with pytest.raises(TooMuch):
        record_step(taken.run_id, taken.fence, "large", '{"text": "' + "x" * MOST_BYTES + '"}')
    assert Execution.objects.get(pk=taken.run_id).steps is None


def test_a_cancelled_run_is_told_apart_from_one_that_goes_on_elsewhere() -> None:
    job, other = new_job(), new_job()
    taken = claim_one(job)
    assert not was_cancelled(taken.run_id)
    lose([(taken.run_id, job.pk)], error="gone", counted=True, reaped=Reaped())
    assert not was_cancelled(taken.run_id)
    intervene.cancel(job.pk)
    assert was_cancelled(taken.run_id)
    ended = claim_one(other)
    complete(ended)
    assert not was_cancelled(ended.run_id)


class Direct:
    """The database, asked in this thread."""

    async def run(self, function: Any, *args: Any) -> Any:
        return function(*args)


def driven(waiting: Coroutine[Any, Any, Any]) -> Any:
    """What a coroutine that waits for nothing returns: in an event loop it would have a connection of its own."""
    try:
        waiting.send(None)
    except StopIteration as ended:
        return ended.value
    raise AssertionError("it waits for something")


def test_an_executor_is_told_when_its_run_is_gone() -> None:
    job = new_job()
    taken = claim_one(job)
    steps = RunSteps(Direct(), taken)  # type: ignore[arg-type]
    driven(steps.record("one", {"at": database_now(), "text": "a\0b"}))
    assert driven(steps.all())["one"]["text"] == "a\ufffdb"
    intervene.cancel(job.pk)
    with pytest.raises(Gone):
        driven(steps.record("two", {}))
    assert driven(steps.was_cancelled())
