"""A job and a dispatch as they are handed out: what the API answered, and what can be asked of it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from ductape.arguments import Duration, Time
from ductape.reading import Result
from ductape.results.explanation import Explanation
from ductape.results.job import DispatchData, JobData, JobHistory

if TYPE_CHECKING:
    from ductape._async.jobs import AsyncJobs


@dataclass(frozen=True, kw_only=True)
class AsyncJob(JobData):
    """A job as it was when it was read; each call answers a new one."""

    _jobs: Any = field(default=None, repr=False, compare=False)

    async def refresh(self) -> AsyncJob:
        """The job as it is now."""
        return await self._calls.get(self.id)

    async def wait(self, timeout: float | None = None) -> AsyncJob:
        """As soon as it is final or paused; a recurring one: as soon as another run of it has ended since it was read.

        `timeout` is seconds, None for ever. Raises WaitTimeout.
        """
        if self.is_final:
            return self
        return await self._calls.wait(self.id, timeout=timeout, runs_ended=self.runs_ended)

    async def cancel(self, *, reason: str | None = None) -> AsyncJob:
        return await self._calls.cancel(self.id, reason=reason)

    async def pause(self, *, note: str | None = None) -> AsyncJob:
        return await self._calls.pause(self.id, note=note)

    async def resume(self, *, note: str | None = None) -> AsyncJob:
        return await self._calls.resume(self.id, note=note)

    async def retry(self, *, delay: Duration | None = None) -> AsyncJob:
        return await self._calls.retry(self.id, delay=delay)

    async def trigger(self) -> AsyncJob:
        return await self._calls.trigger(self.id)

    async def delete(self, *, force: bool = False) -> None:
        await self._calls.delete(self.id, force=force)

    async def history(self, *, limit: int | None = None) -> JobHistory:
        return await self._calls.get_history(self.id, limit=limit)

    async def explain(self, *, at: Time | None = None) -> Explanation:
        return await self._calls.explain(self.id, at=at)

    @property
    def _calls(self) -> AsyncJobs:
        jobs: AsyncJobs = self._jobs
        return jobs


@dataclass(frozen=True, kw_only=True)
class AsyncDispatched(DispatchData):
    """What a dispatch answers."""

    _jobs: Any = field(default=None, repr=False, compare=False)

    async def job(self) -> AsyncJob:
        """The job as it is now."""
        return await self._calls.get(self.job_id)

    async def wait(self, timeout: float | None = None) -> AsyncJob:
        """As soon as the job is final or paused; a recurring one: as soon as its first run has ended.

        `timeout` is seconds, None for ever. Raises WaitTimeout.
        """
        return await self._calls.wait(self.job_id, timeout=timeout)

    async def cancel(self, *, reason: str | None = None) -> AsyncJob:
        return await self._calls.cancel(self.job_id, reason=reason)

    @property
    def _calls(self) -> AsyncJobs:
        jobs: AsyncJobs = self._jobs
        return jobs


@dataclass(frozen=True, kw_only=True)
class AsyncJobPage(Result):
    """A page of a list; iterating it gives its jobs. `total` is None on pages by cursor."""

    jobs: tuple[AsyncJob, ...]
    limit: int
    next_cursor: str | None = None
    total: int | None = None
    total_is_lower_bound: bool | None = None
    offset: int | None = None

    def __iter__(self) -> Iterator[AsyncJob]:
        return iter(self.jobs)

    def __len__(self) -> int:
        return len(self.jobs)
