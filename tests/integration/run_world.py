"""A worker's run loop in a thread of this process, and executors that remember what they were given."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, ClassVar

from executors import inputs
from executors.base import Call, Done, Failed, Outcome
from executors.catalog.values import values_of
from jobs.models import Execution, Job
from jobs.runner.loop import Runner

PATIENCE_SECONDS = 20.0


class Probe:
    """Answers with how often it ran; `{"fail": code}` in its input makes it fail, `{"size": n}` answer that much."""

    isolated = False
    calls: ClassVar[list[Call]] = []

    def check(self, **_: Any) -> None:
        """Everything is fine."""

    def resolve(self, *, product_id: int, environment_id: int, target: Mapping[str, Any]) -> Any:
        return values_of(product_id, environment_id)

    async def execute(self, call: Call) -> Outcome:
        Probe.calls.append(call)
        if call.input.get("fail"):
            return Failed(code=call.input["fail"], message="as told", retryable=False)
        return Done({"number": len(Probe.calls), "text": "x" * call.input.get("size", 0)})


class Resolving(Probe):
    """One that resolves expressions, and says so."""

    def resolved_input(self, call: Call) -> dict[str, Any]:
        return inputs.resolved(call, call.resolved).value


@contextmanager
def running() -> Iterator[Runner]:
    """A run loop that claims from the default queue, drained at the end."""
    Probe.calls.clear()
    runner = Runner({"default": 10})
    thread = threading.Thread(target=runner.serve, name="run loop")
    thread.start()
    try:
        yield runner
    finally:
        runner.drain()
        thread.join(PATIENCE_SECONDS)
        assert not thread.is_alive()


def ended(runner: Runner, job: Job) -> Execution:
    """The job's last run, once it has ended."""
    until = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < until:
        runner.ring("default")
        run = Execution.objects.filter(job=job).order_by("-id").first()
        if run is not None and run.finished_at is not None:
            return run
        time.sleep(0.01)
    raise AssertionError(f"the run of {job} has not ended")
