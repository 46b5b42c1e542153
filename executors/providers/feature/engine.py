"""The run of a feature: its steps as a graph, with its parallelism, what is finished never run again.

Owns when a step begins, is tried again, skipped or given up, and what is recorded of it. How a step is made is
its namespace's: the engine is given a function for it. Never queries.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from core.backoff import delay_ms, read_retry_config
from core.clock import machine_now
from core.times import to_ms
from executors.base import VALIDATION_ERROR, AttemptFailed, Done, Failed, Outcome, Steps
from executors.expressions import ExpressionError
from executors.inputs import told
from executors.providers.feature.conditions import holds
from executors.providers.feature.plan import Step

PARALLEL = 10  # steps of one run at once, where the feature says nothing

COMPLETED, FAILED, SKIPPED, SLEEPING = "completed", "failed", "skipped", "running"

Make = Callable[[Step, "Progress", int], Awaitable[Outcome]]  # one attempt of a step, the attempt's number
Resolve = Callable[[Any, "Progress"], Any]


@dataclass(slots=True)
class Progress:
    """What has ended so far: outputs by step, for references, and whether each may still be waited for."""

    outputs: dict[str, Any] = field(default_factory=dict)
    statuses: dict[str, str] = field(default_factory=dict)

    def ended(self, tag: str, entry: Mapping[str, Any]) -> None:
        self.statuses[tag] = entry["status"]
        if entry["status"] == FAILED:
            self.outputs[tag] = {"error": entry.get("error", ""), "code": entry.get("code", "")}
        else:
            self.outputs[tag] = entry.get("output")


class Engine:
    """One attempt of one run of a feature."""

    def __init__(
        self, plan: tuple[Step, ...], recorded: Steps, make: Make, resolve: Resolve, *, parallel: int = PARALLEL
    ) -> None:
        self._plan, self._recorded, self._make, self._resolve = plan, recorded, make, resolve
        self._parallel = parallel
        self.progress = Progress()

    async def run(self) -> Progress:
        """Every step that is to run has ended. Raises AttemptFailed with the first step that failed; those that
        were running then end first, so that what they did is recorded."""
        known = await self._recorded.all()
        for step in self._plan:
            entry = known.get(step.tag)
            if entry is not None and (
                entry["status"] in {COMPLETED, SKIPPED} or (entry["status"] == FAILED and step.allow_fail)
            ):
                self.progress.ended(step.tag, entry)
        running: dict[asyncio.Task[Failed | None], Step] = {}
        failed: tuple[Step, Failed] | None = None
        try:
            while True:
                if failed is None:
                    for step in self._ready(running.values())[: self._parallel - len(running)]:
                        running[asyncio.create_task(self._one(step, known.get(step.tag)))] = step
                if not running:
                    break
                done, _ = await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
                for task in done:
                    step = running.pop(task)
                    failure = task.result()
                    if failure is not None and failed is None:
                        failed = step, failure
        finally:
            for task in running:
                task.cancel()
            await asyncio.gather(*running, return_exceptions=True)
        if failed is not None:
            raise self._failure(*failed)
        return self.progress

    def _ready(self, running: Any) -> list[Step]:
        begun = {step.tag for step in running} | self.progress.statuses.keys()
        return [step for step in self._plan if step.tag not in begun and step.after <= self.progress.statuses.keys()]

    async def _one(self, step: Step, known: Mapping[str, Any] | None) -> Failed | None:
        """Run a step to its end and record it; what it failed with, where that is the feature's failure."""
        began = to_ms(machine_now())
        entry: dict[str, Any] = {"status": COMPLETED, "started_at": began}
        failure: Failed | None = None
        try:
            if not self._wanted(step):
                entry["status"] = SKIPPED
            elif not step.namespace:
                await self._sleep(step, known, entry)
            else:
                failure = await self._tried(step, entry)
        except AttemptFailed as error:
            failure = error.failed
        except ExpressionError as error:
            failure = Failed(code=VALIDATION_ERROR, message=told(error), retryable=False)
        if failure is not None:
            entry |= {"status": FAILED, "code": failure.code, "error": failure.message}
        entry["completed_at"] = to_ms(machine_now())
        await self._recorded.record(step.tag, entry)
        if failure is not None and not step.allow_fail:
            self.progress.statuses[step.tag] = FAILED
            return failure
        self.progress.ended(step.tag, entry)
        return None

    def _wanted(self, step: Step) -> bool:
        """Whether its condition holds. Raises AttemptFailed."""
        try:
            return step.condition is None or holds(step.condition, lambda value: self._resolve(value, self.progress))
        except ExpressionError as error:
            raise AttemptFailed(VALIDATION_ERROR, f"condition: {error}") from None

    async def _sleep(self, step: Step, known: Mapping[str, Any] | None, entry: dict[str, Any]) -> None:
        """Until its time is over, counted from when it began first: also where a worker died meanwhile."""
        if known is not None and known["status"] == SLEEPING:
            entry["started_at"] = known["started_at"]
        else:
            await self._recorded.record(step.tag, {**entry, "status": SLEEPING})
        await asyncio.sleep(max(0.0, entry["started_at"] / 1000 + step.seconds - machine_now().timestamp()))

    async def _tried(self, step: Step, entry: dict[str, Any]) -> Failed | None:
        """Attempts while there are any; the output goes into `entry`."""
        config = read_retry_config(step.retry_config)
        attempt = 0
        while True:
            attempt += 1
            outcome = await self._attempt(step, attempt)
            entry["attempts"] = attempt
            if isinstance(outcome, Done):
                entry["output"] = outcome.result
                return None
            if outcome.result is not None:
                entry["output"] = outcome.result
            if attempt > step.retries or not config.allows(outcome.code, outcome.retryable):
                return outcome
            delay = delay_ms(config, attempt, random=random.random())  # noqa: S311 - jitter
            await asyncio.sleep(max(delay / 1000, outcome.retry_after or 0.0))

    async def _attempt(self, step: Step, attempt: int) -> Outcome:
        try:
            async with asyncio.timeout(step.timeout):
                return await self._make(step, self.progress, attempt)
        except TimeoutError:
            why = f"no answer within {step.timeout:.3g} s" if step.timeout is not None else "no answer in time"
            return Failed(code="TIMEOUT", message=why, retryable=True)
        except AttemptFailed as error:
            return error.failed

    def _failure(self, step: Step, failed: Failed) -> AttemptFailed:
        return AttemptFailed(
            failed.code,
            f"step {step.tag!r}: {failed.message}",
            retryable=failed.retryable,
            retry_after=failed.retry_after,
            result={"failed_step": step.tag, "steps": dict(self.progress.statuses)},
        )
