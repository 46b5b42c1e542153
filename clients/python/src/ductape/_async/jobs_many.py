"""`ductape.jobs.cancel_many` and its siblings: a verb for all jobs that a filter finds."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Unpack

from ductape import filters, options
from ductape._async.resource import AsyncResource
from ductape.arguments import Check, Duration, flag, given, milliseconds, text
from ductape.arguments import note as a_note
from ductape.call import Call
from ductape.errors import InvalidArgument
from ductape.filters import Filter
from ductape.options import Schedule
from ductape.reading import read
from ductape.results.many import ManyResult


class AsyncJobsMany(AsyncResource):
    """Each needs a filter with at least one field; `dry_run` only counts."""

    async def cancel_many(
        self, *, reason: str | None = None, dry_run: bool = False, **filter: Unpack[Filter]
    ) -> ManyResult:
        return await self._ask_many("cancel", filter, dry_run, {"reason": a_note}, {"reason": reason})

    async def pause_many(
        self, *, note: str | None = None, dry_run: bool = False, **filter: Unpack[Filter]
    ) -> ManyResult:
        """Recurring jobs; the answer's `pause_id` is what `resume_many` takes back just this pause by."""
        return await self._ask_many("pause", filter, dry_run, {"note": a_note}, {"note": note})

    async def resume_many(
        self,
        *,
        note: str | None = None,
        pause_id: str | None = None,
        dry_run: bool = False,
        **filter: Unpack[Filter],
    ) -> ManyResult:
        """With `pause_id` those that this `pause_many` paused."""
        checks: dict[str, Check] = {"note": a_note, "pause_id": text}
        return await self._ask_many("resume", filter, dry_run, checks, {"note": note, "pause_id": pause_id})

    async def retry_many(
        self, *, delay: Duration | None = None, dry_run: bool = False, **filter: Unpack[Filter]
    ) -> ManyResult:
        """By default all that is failed, recurring jobs whose last run failed too; `from_` and `to` are of that run's end."""
        return await self._ask_many("retry", filter, dry_run, {"delay": milliseconds(0)}, {"delay": delay})

    async def reschedule_many(
        self, *, schedule: Schedule, dry_run: bool = False, **filter: Unpack[Filter]
    ) -> ManyResult:
        if not schedule:
            raise InvalidArgument("schedule", "must say something, such as {'cron': '0 9 * * *'}")
        return await self._ask_many(
            "reschedule", filter, dry_run, {"schedule": options.schedule}, {"schedule": schedule}
        )

    async def delete_many(self, *, force: bool = False, dry_run: bool = False, **filter: Unpack[Filter]) -> ManyResult:
        """Also their history; those that run are skipped unless `force` cancels them."""
        return await self._ask_many("delete", filter, dry_run, {"force": flag}, {"force": force or None})

    async def _ask_many(
        self,
        verb: str,
        filter: Mapping[str, Any],
        dry_run: bool,
        checks: Mapping[str, Check],
        values: Mapping[str, Any],
    ) -> ManyResult:
        which = filters.in_body(filter)
        more = given(checks, values)
        if not which and "pause_id" not in more:
            raise InvalidArgument("filter", f"is empty: name which jobs are to {verb}, by at least one field")
        body = {**which, **more, **({"dry_run": True} if flag("dry_run", dry_run) else {})}
        return await self._transport.send(
            Call(
                method="POST",
                path=f"/v1/jobs/{verb}-many",
                body=body,
                repeatable=dry_run,
                read=lambda answer: read(ManyResult, answer.json()),
            )
        )
