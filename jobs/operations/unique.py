"""Unique keys: while a job of a key has not ended, a second dispatch with it makes no second job.

The constraint `job_one_unfinished_per_unique_key` decides who is first; here is what the others get.
"""

from __future__ import annotations

from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from django.db import transaction

from core.errors import Conflict, FieldError, NotFound
from core.ids import encode
from jobs import notices
from jobs.lifecycle import intervene
from jobs.lifecycle.create import Draft, store
from jobs.lifecycle.errors import IllegalTransition
from jobs.models import Job
from jobs.operations.request import DispatchRequest

MOST_TRIES = 20  # each means that another dispatch, or an end, came in between
RETRY_AFTER_SECONDS = 1  # no crowd is that quick for so long


class Holder(NamedTuple):
    """The unfinished job that has the key."""

    job_id: UUID
    status: str
    scheduled_at: datetime
    recurring: bool
    next_run_at: datetime | None


def claim(new: Draft, request: DispatchRequest, *, actor: str) -> Holder | None:
    """Store the job: None. Where another one has its unique key: that one (`return`), Conflict
    (`reject`), or that one is cancelled, also while running, and this one stored (`replace`).

    Conflict (`conflict`, to be tried again) under any of them where others are first MOST_TRIES times.
    Inside the caller's transaction: else an old job could be cancelled and no new one stored.
    """
    for _ in range(MOST_TRIES):
        if store(new):
            return None
        holder = _holder(new, request)
        if holder is None:
            continue  # it ended a moment ago
        if request.on_conflict == "reject":
            raise _conflict(holder)
        if request.on_conflict != "replace":
            return holder
        _replace(holder, by=new, actor=actor)
    raise Conflict(
        f"the unique key {request.unique_key!r} is changing hands all the time: try again",
        retry_after=RETRY_AFTER_SECONDS,
    )


def _holder(new: Draft, request: DispatchRequest) -> Holder | None:
    row = (
        Job.objects.filter(
            product_id=new.product_id, environment_id=new.environment_id, open_unique_key=request.unique_key
        )
        .values_list("id", "status", "scheduled_at", "recurring", "next_run_at")
        .first()
    )
    return None if row is None else Holder(*row)


def _replace(holder: Holder, *, by: Draft, actor: str) -> None:
    reason = f"replaced by {encode('job', by.job_id)}"
    try:
        cancelled = intervene.cancel(holder.job_id, reason=reason, actor=actor)
    except (IllegalTransition, NotFound):
        return  # it ended, or is gone: the key is free
    if cancelled.stopped_runs:
        transaction.on_commit(lambda: notices.tell_stopped(cancelled.stopped_runs))


def _conflict(holder: Holder) -> Conflict:
    job_id = encode("job", holder.job_id)
    detail = f"the unique key has been given to {job_id}, which is {holder.status}"
    return Conflict(
        detail,
        code="unique_conflict",
        errors=[FieldError("unique_key", "unique_conflict", detail)],
        extra={"job_id": job_id, "status_found": holder.status},
    )
