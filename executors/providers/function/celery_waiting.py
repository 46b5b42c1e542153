"""Waits for many tasks of one result backend with one thread: whoever waits is told of its own task.

Owns how often a backend is asked. A backend that is away is asked again until it is back: how long a task is waited
for, its run's deadline says.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from executors.base import AttemptFailed
from executors.providers.function.celery_results import MOST_TASKS, Results, State
from executors.reach.threads import Threads

logger = logging.getLogger(__name__)

POLL_SECONDS: Final = 0.2  # between one question and the next, while the backend answers
AWAY_SECONDS: Final = 1.0  # the same, while it does not
THREADS: Final = Threads("celery-results", 16)  # a backend that hangs holds one


class Forgotten(Exception):
    """The backend knew the task, and does not any more."""


@dataclass(slots=True, eq=False)
class Watched:
    """A task that somebody waits for, and the last state that was seen of it ("" for none)."""

    task_id: str
    seen: str = ""
    ended: asyncio.Future[State] | None = None


class Waiting:
    """The tasks of one backend that are waited for, in one event loop."""

    def __init__(self, results: Results) -> None:
        self._results = results
        self._watched: set[Watched] = set()
        self._asking: asyncio.Task[None] | None = None
        self._turn = asyncio.Lock()  # one thread at a time reads from one backend
        self.trouble = ""  # why the backend does not answer just now

    async def look(self, task_id: str) -> State | None:
        """What is known of a task now. Raises AttemptFailed where the backend does not answer."""
        return (await self._read([task_id])).get(task_id)

    async def until_ended(self, watched: Watched) -> State:
        """The state of a task as soon as it has ended. Raises Forgotten."""
        watched.ended = asyncio.get_running_loop().create_future()
        self._watched.add(watched)
        if self._asking is None or self._asking.done():
            self._asking = asyncio.create_task(self._ask())
        try:
            return await watched.ended
        finally:
            self._watched.discard(watched)

    async def close(self) -> None:
        if self._asking is not None:
            self._asking.cancel()
        await THREADS.run(self._results.close)

    async def _read(self, task_ids: list[str]) -> Mapping[str, State]:
        async with self._turn:
            try:
                found = await THREADS.run(self._results.read, task_ids)
            except AttemptFailed:
                await THREADS.run(self._results.close)  # the next question looks its address up anew
                raise
        self.trouble = ""
        return found

    async def _ask(self) -> None:
        """Ask for all that are waited for, again and again, while there are any."""
        while self._watched:
            pause = POLL_SECONDS
            wanted = list(self._watched)
            for start in range(0, len(wanted), MOST_TASKS):
                group = wanted[start : start + MOST_TASKS]
                try:
                    found = await self._read([watched.task_id for watched in group])
                except AttemptFailed as error:
                    if not self.trouble:
                        logger.warning("%d tasks are waited for, but %s", len(wanted), error.failed.message)
                    self.trouble, pause = error.failed.message, AWAY_SECONDS
                    break
                for watched in group:
                    _tell(watched, found.get(watched.task_id))
            await asyncio.sleep(pause)


def _tell(watched: Watched, state: State | None) -> None:
    if watched.ended is None or watched.ended.done():
        return
    if state is None:
        if watched.seen:
            watched.ended.set_exception(Forgotten(f"its last state was {watched.seen}"))
    elif state.ended:
        watched.ended.set_result(state)
    else:
        watched.seen = state.name
