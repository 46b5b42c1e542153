"""One attempt of a run at one task: sent once, waited for, and revoked where nobody wants it any more.

Owns the id of a task, what is recorded of it with the run, and what its end means. The id is recorded before the task
is sent: an attempt that takes over from a worker that died finds the task that was sent, and sends none.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, replace
from typing import Any, Final
from uuid import UUID, uuid5

from executors.base import (
    CANCELLED,
    LOST,
    NOT_FOUND,
    RESPONSE_TOO_LARGE,
    TIMEOUT,
    AttemptFailed,
    Call,
    Gone,
)
from executors.providers.function.celery_broker import Broker, Task
from executors.providers.function.celery_results import MOST_RESULT_BYTES, State
from executors.providers.function.celery_waiting import Forgotten, Waiting, Watched
from executors.providers.function.provider import TASK_FAILED, TASK_FORGOTTEN
from executors.reach.threads import Threads

logger = logging.getLogger(__name__)

THREADS: Final = Threads("celery-brokers", 16)
STEP: Final = "task"  # its name among the run's steps
STOP_SECONDS: Final = 3.0  # for revoking a task at the end of its run
_IDS: Final = UUID("7d0a4a3c-0b0e-5c8e-9a53-3f1c6d1f0a55")  # under which the ids of tasks are made
_MESSAGE_CHARACTERS: Final = 1000
_SENDING, _SENT = "SENDING", "SENT"  # of a step, before the task has ended
_OPEN: Final = frozenset({_SENDING, _SENT})


@dataclass(slots=True)
class Held:
    """A broker, and whose turn it is to use it: one that hangs holds one thread, not all."""

    broker: Broker
    turn: asyncio.Lock

    async def send(self, task: Task) -> None:
        async with self.turn:
            await THREADS.run(self.broker.send, task, abort=self.broker.close)

    async def revoke(self, task_id: str, *, terminate: bool) -> None:
        async with self.turn:
            await THREADS.run(lambda: self.broker.revoke(task_id, terminate=terminate), abort=self.broker.close)


@dataclass(frozen=True, kw_only=True, slots=True)
class Sent:
    """What a run has recorded of its task."""

    task_id: str
    name: str
    state: str = ""  # _SENDING, _SENT, or how it ended; empty: not recorded
    at: float = 0.0  # when that was, in Unix seconds

    @staticmethod
    async def of(call: Call, name: str) -> Sent:
        """The task that an earlier attempt sent and did not see the end of; else a new one, of this attempt."""
        step = (await call.steps.all()).get(STEP) if call.steps is not None else None
        if step is not None and step.get("state") in _OPEN:
            return Sent(task_id=step["task_id"], name=step["task"], state=step["state"], at=step["at"] / 1000)
        return Sent(task_id=task_id(call.run_key, call.attempt), name=name)


def task_id(run_key: str, attempt: int) -> str:
    """The id of the task that an attempt sends: the same however often it is asked for."""
    return str(uuid5(_IDS, f"{run_key}:{attempt}"))


class Attempt:
    """See the module. `kept` is how long the backend keeps a result, in seconds; `terminate`: a task that is revoked
    is ended where it runs."""

    def __init__(
        self,
        call: Call,
        broker: Callable[[], AbstractAsyncContextManager[Held]],
        sent: Sent,
        task: Task,
        *,
        kept: float,
        terminate: bool,
    ) -> None:
        self._call, self._broker, self._sent, self._task = call, broker, sent, task
        self._kept, self._terminate = kept, terminate

    async def without_results(self) -> Mapping[str, Any]:
        """Done when the broker has the task, which is all that can be known."""
        try:
            if self._sent.state != _SENT:
                await self._send()
        except asyncio.CancelledError:
            await self._stop()
            raise
        return {
            "sent": True,
            "task_id": self._task.id,
            "note": "the broker has the task; the function has no result_backend, so how the task ends is not known",
        }

    async def with_results(self, waiting: Waiting) -> Mapping[str, Any]:
        """Done when the task has ended, and ended well. Raises AttemptFailed, Gone."""
        watched = Watched(self._task.id)
        try:
            state = await waiting.look(self._task.id)  # before it is sent: a task that cannot be followed never is
            if state is None:
                if self._sent.state != _SENT:
                    await self._send()
                elif (age := time.time() - self._sent.at) > self._kept:
                    raise Forgotten(f"it was sent {age:.0f} s ago, and results are kept for {self._kept:.0f} s")
            if state is None or not state.ended:
                watched.seen = state.name if state is not None else ""
                state = await waiting.until_ended(watched)
        except Forgotten as error:
            await self._record("FORGOTTEN")
            raise AttemptFailed(TASK_FORGOTTEN, f"{_forgotten(self._task)}: {error}") from None
        except asyncio.CancelledError:
            await self._stop()
            if self._call.cancelled.is_set():
                raise
            raise AttemptFailed(TIMEOUT, self._too_long(watched.seen, waiting.trouble), retryable=True) from None
        await self._record(state.name)
        return _result(state, self._task)

    async def _send(self) -> None:
        await self._record(_SENDING)
        async with self._broker() as broker:
            await broker.send(self._task)
        await self._record(_SENT)

    async def _stop(self) -> None:
        """The attempt is over before its task: revoke the task, unless another worker goes on with the run."""
        if self._sent.state not in _OPEN:
            return
        try:
            async with asyncio.timeout(STOP_SECONDS):
                if self._call.cancelled.is_set():
                    if self._call.was_cancelled is None or not await self._call.was_cancelled():
                        return
                else:
                    await self._record("TIMEOUT")
                async with self._broker() as broker:
                    await broker.revoke(self._task.id, terminate=self._terminate)
        except Gone:
            return
        except (AttemptFailed, TimeoutError) as error:
            logger.warning("task %s of %s could not be revoked: %s", self._task.id, self._call.run_key, error)

    async def _record(self, state: str) -> None:
        """Keep with the run how far its task is. Raises Gone."""
        self._sent = replace(self._sent, state=state, at=time.time())
        if self._call.steps is not None:
            sent = self._sent
            value = {"task_id": sent.task_id, "task": sent.name, "state": state, "at": round(sent.at * 1000)}
            await self._call.steps.record(STEP, value)

    def _too_long(self, seen: str, trouble: str) -> str:
        told = f"task {self._task.name} ({self._task.id}) had not ended after {self._call.timeout:.3g} s"
        told += f", its last state was {seen}" if seen else ", and no worker had told of it"
        return f"{told}; {trouble}" if trouble else f"{told}: it was revoked"


def _forgotten(task: Task) -> str:
    return (
        f"the result backend does not know task {task.name} ({task.id}) any more, so how it ended is not known "
        "(result_expires of the function says how long results are kept)"
    )


def _result(state: State, task: Task) -> Mapping[str, Any]:
    """What the end of a task means. Raises AttemptFailed."""
    told: dict[str, Any] = {"task_id": task.id, "state": state.name}
    if state.too_large:
        text = f"the result of task {task.name} is longer than {MOST_RESULT_BYTES} bytes: keep it elsewhere, and return where"
        raise AttemptFailed(RESPONSE_TOO_LARGE, text, result=told)
    if state.name == "SUCCESS":
        if state.unreadable:
            return {"task_id": task.id, "result": None, "note": f"the result cannot be read: {state.unreadable}"}
        return {"task_id": task.id, "result": state.result}
    if state.name == "REVOKED":
        raise AttemptFailed(CANCELLED, f"task {task.name} was revoked ({_raised(state)})", result=told)
    kind = state.result.get("exc_type") if isinstance(state.result, dict) else None
    text = f"task {task.name} failed: {_raised(state)}"
    match kind:
        case "WorkerLostError":
            raise AttemptFailed(LOST, text, retryable=True, result=told)
        case "NotRegistered":
            raise AttemptFailed(NOT_FOUND, f"no task {task.name} in the app that serves the queue", result=told)
    raise AttemptFailed(TASK_FAILED, text, retryable=True, result=told)


def _raised(state: State) -> str:
    """Type and text of what a task raised, as Celery stored them."""
    if state.unreadable:
        return f"what it raised cannot be read: {state.unreadable}"
    if not isinstance(state.result, dict):
        return str(state.result)[:_MESSAGE_CHARACTERS]
    message = state.result.get("exc_message", "")
    if isinstance(message, list):
        message = ", ".join(map(str, message))
    return f"{state.result.get('exc_type', 'an exception')}: {message}"[:_MESSAGE_CHARACTERS]
