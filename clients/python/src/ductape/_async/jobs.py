"""`ductape.jobs`: jobs by their id, lists, and what can be asked of one."""

from __future__ import annotations

import time
from asyncio import sleep
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any, Literal, Unpack

from ductape import filters, options
from ductape._async.dispatch_many import AsyncDispatchMany
from ductape._async.job import AsyncJob, AsyncJobPage
from ductape._async.jobs_many import AsyncJobsMany
from ductape.answers import Answer
from ductape.arguments import (
    Duration,
    Time,
    choice,
    flag,
    given,
    milliseconds,
    moment,
    path,
    several,
    whole,
)  # fmt: skip
from ductape.arguments import (
    note as a_note,
)
from ductape.call import Call, nothing
from ductape.errors import InvalidArgument, TooManyWaiting, WaitTimeout
from ductape.options import Misfire, Overlap
from ductape.reading import read, read_list
from ductape.results.event import EventName, Webhook
from ductape.results.explanation import Explanation
from ductape.results.job import JobHistory, RunStatus
from ductape.results.stats import JobSeries, JobStats
from ductape.unset import UNSET, Unset
from ductape.webhook_fields import set_webhook

LONGEST_WAIT = 60_000  # ms that the server takes in one request
_ONE_WAIT = 20_000  # ms; so short that no proxy on the way hangs up
_LEAST_BETWEEN = 0.2  # seconds between two looks, whatever the server answers
_WITHOUT_PLACE = 1.0  # seconds between two, where the server has no place for one who waits
_PAGE = 200  # jobs of a page where all are wanted
_AT_REST = {"completed", "failed", "cancelled", "paused"}


class AsyncJobs(AsyncDispatchMany, AsyncJobsMany):
    """Jobs, whatever dispatched them."""

    async def get(self, job_id: str, *, wait: Duration | None = None) -> AsyncJob:
        """The job. With `wait` (ms, at most 60 000) as soon as its open or next run has ended, else as it then is."""
        asked = None if wait is None else milliseconds(0, LONGEST_WAIT)("wait", wait)
        return await self._transport.send(
            Call(
                method="GET",
                path=path("jobs", ("job_id", job_id)),
                query={"wait": asked},
                wait=(asked or 0) / 1000,
                read=self._job,
            )
        )

    async def list(
        self,
        *,
        limit: int | None = None,
        offset: int | None = None,
        cursor: str | None = None,
        order: Literal["-created_at", "created_at"] | None = None,
        **filter: Unpack[filters.Filter],
    ) -> AsyncJobPage:
        """A page of the jobs that a filter finds, the newest first. `cursor=""` is the first page of those by cursor."""
        paging = given(
            {"limit": whole(1, 1_000), "offset": whole(0), "order": choice("-created_at", "created_at")},
            {"limit": limit, "offset": offset, "order": order},
        )
        if cursor is not None and not isinstance(cursor, str):
            raise InvalidArgument("cursor", "must be the `next_cursor` of a page, or ''")
        query = {**filters.in_query(filter), **paging, "cursor": cursor}
        return await self._transport.send(Call(method="GET", path="/v1/jobs", query=query, read=self._page))

    async def list_all(
        self,
        *,
        order: Literal["-created_at", "created_at"] | None = None,
        **filter: Unpack[filters.Filter],
    ) -> AsyncIterator[AsyncJob]:
        """Every job that a filter finds, page after page."""
        cursor: str | None = ""
        while cursor is not None:
            page = await self.list(limit=_PAGE, cursor=cursor, order=order, **filter)
            for job in page.jobs:
                yield job
            cursor = page.next_cursor

    async def wait(self, job_id: str, *, timeout: float | None = None, runs_ended: int = 0) -> AsyncJob:
        """The job as soon as it is final or paused; a recurring one as soon as more than `runs_ended` runs have ended.

        `timeout` is seconds, None for ever. Raises WaitTimeout.
        """
        if timeout is not None and (isinstance(timeout, bool) or not isinstance(timeout, (int, float)) or timeout < 0):
            raise InvalidArgument("timeout", "must be a number of seconds, or None")
        deadline = None if timeout is None else time.monotonic() + timeout
        while True:
            began = time.monotonic()
            left = _ONE_WAIT if deadline is None else int((deadline - began) * 1000)
            try:
                job = await self.get(job_id, wait=max(0, min(left, _ONE_WAIT)))
            except TooManyWaiting:  # others wait in every place: look without one
                job = await self.get(job_id)
                began += _WITHOUT_PLACE - _LEAST_BETWEEN
            if job.status in _AT_REST or (job.recurring and job.runs_ended > runs_ended):
                return job
            if deadline is not None and time.monotonic() >= deadline:
                raise WaitTimeout(f"job {job_id} is {job.status} after {timeout} s – {WaitTimeout.advice}", job)
            await sleep(max(0.0, _LEAST_BETWEEN - (time.monotonic() - began)))

    async def cancel(self, job_id: str, *, reason: str | None = None) -> AsyncJob:
        """cancelled, at once and for good; what a running attempt still returns is discarded."""
        return await self._ask(job_id, "cancel", given({"reason": a_note}, {"reason": reason}))

    async def pause(self, job_id: str, *, note: str | None = None) -> AsyncJob:
        """A recurring job is held back until `resume`; a run that is running goes on."""
        return await self._ask(job_id, "pause", given({"note": a_note}, {"note": note}))

    async def resume(self, job_id: str, *, note: str | None = None) -> AsyncJob:
        """On with the next occurrence after now."""
        return await self._ask(job_id, "resume", given({"note": a_note}, {"note": note}))

    async def reschedule(
        self,
        job_id: str,
        *,
        start_at: Time | Unset | None = UNSET,
        cron: str | Unset | None = UNSET,
        every: Duration | Unset | None = UNSET,
        limit: int | Unset | None = UNSET,
        end_date: Time | Unset | None = UNSET,
        endDate: Time | Unset | None = UNSET,  # noqa: N803  # as the documents spell it
        tz: str | Unset | None = UNSET,
        overlap: Overlap | Unset = UNSET,
        misfire: Misfire | Unset = UNSET,
        misfire_grace: Duration | Unset = UNSET,
        dst_gap: options.DstGap | Unset = UNSET,
        dst_overlap: options.DstOverlap | Unset = UNSET,
        jitter: Duration | Unset = UNSET,
    ) -> AsyncJob:
        """A new time or grid; what is not given stays. `cron=None` or `every=None` with a `start_at` makes a one-off."""
        changes: dict[str, Any] = {
            "start_at": start_at, "cron": cron, "every": every, "limit": limit, "end_date": end_date,
            "endDate": endDate, "tz": tz, "overlap": overlap, "misfire": misfire, "misfire_grace": misfire_grace,
            "dst_gap": dst_gap, "dst_overlap": dst_overlap, "jitter": jitter,
        }  # fmt: skip
        asked = {name: value for name, value in changes.items() if value is not UNSET}
        nulls = {name: None for name, value in asked.items() if value is None}
        body = {**given(options.SCHEDULE, asked), **nulls}
        if not body:
            raise InvalidArgument("start_at", "or another part of the schedule must be given")
        return await self._ask(job_id, "reschedule", body)

    async def retry(self, job_id: str, *, delay: Duration | None = None) -> AsyncJob:
        """A new run of the occurrence that failed last, now or after `delay` (ms)."""
        return await self._ask(job_id, "retry", given({"delay": milliseconds(0)}, {"delay": delay}))

    async def trigger(self, job_id: str) -> AsyncJob:
        """One extra run of a recurring job, now."""
        return await self._ask(job_id, "trigger", {})

    async def delete(self, job_id: str, *, force: bool = False) -> None:
        """The job and its history are gone. `force` cancels it first where it runs."""
        query = {"force": flag("force", force) or None}
        job = path("jobs", ("job_id", job_id))
        await self._transport.send(Call(method="DELETE", path=job, query=query, read=nothing))

    async def get_history(
        self,
        job_id: str,
        *,
        limit: int | None = None,
        offset: int | None = None,
        status: RunStatus | Sequence[RunStatus] | None = None,
    ) -> JobHistory:
        """Its runs, the newest first, each with its attempts."""
        query = filters.in_query(
            {"limit": limit, "offset": offset, "status": status},
            {
                "limit": whole(1, 1_000),
                "offset": whole(0),
                "status": several(choice(*filters.RUN_STATUSES)),
            },
        )
        where = path("jobs", ("job_id", job_id), "history")
        return await self._transport.send(
            Call(method="GET", path=where, query=query, read=lambda answer: read(JobHistory, answer.json()))
        )

    async def explain(self, job_id: str, *, at: Time | None = None) -> Explanation:
        """Why it ran, waits or did not run, now or at a moment: in one sentence and as data."""
        query = given({"at": moment}, {"at": at})
        where = path("jobs", ("job_id", job_id), "explain")
        return await self._transport.send(
            Call(method="GET", path=where, query=query, read=lambda answer: read(Explanation, answer.json()))
        )

    async def get_stats(self, **window: Unpack[filters.Window]) -> JobStats:
        """Jobs by state, and the runs that ended in the window."""
        query = filters.in_query(window, filters.WINDOW)
        return await self._transport.send(
            Call(
                method="GET",
                path="/v1/jobs/stats",
                query=query,
                read=lambda answer: read(JobStats, answer.json()),
            )
        )

    async def get_stats_series(
        self, *, interval: Duration | None = None, **window: Unpack[filters.Window]
    ) -> JobSeries:
        """Runs over time, in buckets of `interval` ms."""
        query = {
            **filters.in_query(window, filters.WINDOW),
            **given({"interval": milliseconds(1)}, {"interval": interval}),
        }
        return await self._transport.send(
            Call(
                method="GET",
                path="/v1/jobs/stats/series",
                query=query,
                read=lambda answer: read(JobSeries, answer.json()),
            )
        )

    async def set_webhook(
        self,
        *,
        url: str,
        events: EventName | Sequence[EventName | Literal["*"]] | Literal["*"],
        secret: str | None = None,
        product: str | None = None,
        env: str | None = None,
        namespaces: Sequence[str] | None = None,
        labels: Mapping[str, str] | None = None,
        description: str | None = None,
    ) -> Webhook:
        """Tell `url` of these events; the same url again changes that webhook. Its `secret` is shown where it is new."""
        return await self._transport.send(
            set_webhook({
                "url": url, "events": events, "secret": secret, "product": product, "env": env,
                "namespaces": namespaces, "labels": labels, "description": description,
            })
        )  # fmt: skip

    async def _ask(self, job_id: str, verb: str, body: dict[str, Any]) -> AsyncJob:
        where = path("jobs", ("job_id", job_id), verb)
        return await self._transport.send(Call(method="POST", path=where, body=body, read=self._job))

    def _job(self, answer: Answer) -> AsyncJob:
        return read(AsyncJob, answer.json(), _jobs=self)

    def _page(self, answer: Answer) -> AsyncJobPage:
        data = answer.json()
        return read(AsyncJobPage, data, jobs=read_list(AsyncJob, data, "jobs", _jobs=self))
