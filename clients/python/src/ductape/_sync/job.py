# Written by clients/python/generate.py from ductape/_async/job.py: change that one.
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
    from ductape._sync.jobs import Jobs


@dataclass(frozen=True, kw_only=True)
class Job(JobData):
    """A job as it was when it was read; each call answers a new one."""

    _jobs: Any = field(default=None, repr=False, compare=False)

    def refresh(self) -> Job:
        """The job as it is now."""
        return self._calls.get(self.id)

    def wait(self, timeout: float | None = None) -> Job:
        """As soon as it is final or paused; a recurring one: as soon as another run of it has ended since it was read.

        `timeout` is seconds, None for ever. Raises WaitTimeout.
        """
        if self.is_final:
            return self
        return self._calls.wait(self.id, timeout=timeout, runs_ended=self.runs_ended)

    def cancel(self, *, reason: str | None = None) -> Job:
        return self._calls.cancel(self.id, reason=reason)

    def pause(self, *, note: str | None = None) -> Job:
        return self._calls.pause(self.id, note=note)

    def resume(self, *, note: str | None = None) -> Job:
        return self._calls.resume(self.id, note=note)

    def retry(self, *, delay: Duration | None = None) -> Job:
        return self._calls.retry(self.id, delay=delay)

    def trigger(self) -> Job:
        return self._calls.trigger(self.id)

    def delete(self, *, force: bool = False) -> None:
        self._calls.delete(self.id, force=force)

    def history(self, *, limit: int | None = None) -> JobHistory:
        return self._calls.get_history(self.id, limit=limit)

    def explain(self, *, at: Time | None = None) -> Explanation:
        return self._calls.explain(self.id, at=at)

    @property
    def _calls(self) -> Jobs:
        jobs: Jobs = self._jobs
        return jobs


@dataclass(frozen=True, kw_only=True)
class Dispatched(DispatchData):
    """What a dispatch answers."""

    _jobs: Any = field(default=None, repr=False, compare=False)

    def job(self) -> Job:
        """The job as it is now."""
        return self._calls.get(self.job_id)

    def wait(self, timeout: float | None = None) -> Job:
        """As soon as the job is final or paused; a recurring one: as soon as its first run has ended.

        `timeout` is seconds, None for ever. Raises WaitTimeout.
        """
        return self._calls.wait(self.job_id, timeout=timeout)

    def cancel(self, *, reason: str | None = None) -> Job:
        return self._calls.cancel(self.job_id, reason=reason)

    @property
    def _calls(self) -> Jobs:
        jobs: Jobs = self._jobs
        return jobs


@dataclass(frozen=True, kw_only=True)
class JobPage(Result):
    """A page of a list; iterating it gives its jobs. `total` is None on pages by cursor."""

    jobs: tuple[Job, ...]
    limit: int
    next_cursor: str | None = None
    total: int | None = None
    total_is_lower_bound: bool | None = None
    offset: int | None = None

    def __iter__(self) -> Iterator[Job]:
        return iter(self.jobs)

    def __len__(self) -> int:
        return len(self.jobs)
