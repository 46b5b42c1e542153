"""A new time or grid for a job that exists: what is given changes, the rest of its schedule stays.

`start_at`, `cron` (with `tz`) or `every` say when; a recurring job that is given only a `start_at`
keeps its recurrence from then on, and one that is given `cron: null` or `every: null` becomes a
one-off. A new `every` begins one interval from now unless `start_at` says otherwise.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.db import transaction

from core.clock import database_now
from core.errors import Invalid
from core.fields import reject_unknown
from core.times import to_ms, to_ms_or_none
from core.zones import localize
from executors import registry
from jobs.lifecycle.intervene import Intervened
from jobs.lifecycle.reschedule import reschedule as transition
from jobs.lifecycle.rows import lock_job
from jobs.models import Job
from jobs.operations.interventions import told
from jobs.schedule import Schedule, parse_schedule
from jobs.schedule.parsing import FIELDS

_ALIASES = {"end_date": "endDate", "timezone": "tz"}
_RECURRENCE = ("cron", "every")
_A_YEAR = 366 * 86_400_000  # ms
_ONLY_RECURRING = ("tz", "limit", "endDate", "jitter")


def reschedule(job_id: UUID, changes: Mapping[str, Any], *, actor: str = "") -> Job:
    """Change when a job runs. Raises Invalid (the changes, a limit already reached), IllegalTransition."""
    with transaction.atomic():
        return told(move(job_id, changes, actor=actor))


@transaction.atomic
def move(job_id: UUID, changes: Mapping[str, Any], *, actor: str = "") -> Intervened:
    """The same, and the caller tells of it."""
    given = _given(changes)
    job = lock_job(job_id)
    now = database_now()
    schedule, as_given = _changed(job, given, now)
    was_recurring = job.recurring
    moved = transition(job_id, schedule, as_given=as_given, actor=actor)
    if schedule.recurring and not was_recurring:
        _check_recurring(job)
    return moved


def check_changes(changes: Mapping[str, Any]) -> None:
    """Raise Invalid for what is wrong whatever job it is asked of: some job that recurs could take the rest."""
    given = {name: value for name, value in _given(changes).items() if value is not None}
    if not any(name in given for name in _RECURRENCE) and given.keys() - {"start_at"}:
        given["every"] = _A_YEAR
    if given:
        parse_schedule(given, now=database_now(), path="")


def _given(changes: Mapping[str, Any]) -> dict[str, Any]:
    reject_unknown(changes, FIELDS)
    given: dict[str, Any] = {}
    spelled: dict[str, str] = {}  # what is given → the name that the caller used
    for name, value in changes.items():
        known = _ALIASES.get(name, name)
        if known in given and value is None:  # its other name says more
            continue
        if given.get(known) is not None:
            raise Invalid.field(name, f"is given twice, as {spelled[known]!r} and {name!r}: leave one out")
        given[known], spelled[known] = value, name
    if not given:
        raise Invalid("give a new start_at, cron (with tz) or every", code="nothing_to_change")
    return given


def _check_recurring(job: Job) -> None:
    """Whether what was right for one run is so for many. Raises core.errors.ApiError."""
    registry.get(job.namespace).check(
        product_id=job.product_id,
        environment_id=job.environment_id,
        target=job.target,
        input=job.input,
        recurring=True,
    )


def _changed(job: Job, given: dict[str, Any], now: datetime) -> tuple[Schedule, dict[str, Any]]:
    """The schedule after the changes, and how it reads when written out."""
    merged = {**_as_it_is(job, given), **given}
    if not any(merged.get(name) is not None for name in _RECURRENCE):
        merged = {name: value for name, value in merged.items() if name in given or name not in _ONLY_RECURRING}
        merged |= _on_the_job_s_clock(job, given.get("start_at"))
    merged = {name: value for name, value in merged.items() if value is not None}
    schedule = parse_schedule(merged, now=now, path="")
    if schedule.every is not None:
        schedule = replace(schedule, anchor_at=_anchor(job, schedule, given, now))
    if not schedule.recurring and schedule.start_at is None and job.recurring:
        raise Invalid.field("start_at", "say when the job is to run, now that it no longer recurs")
    return schedule, merged


def _as_it_is(job: Job, given: Mapping[str, Any]) -> dict[str, Any]:
    """The job's schedule in the API's words, without what the changes replace."""
    kept: dict[str, Any] = {"overlap": job.overlap, "misfire": job.misfire, "misfire_grace": job.misfire_grace}
    kept |= {"dst_gap": job.dst_gap, "dst_overlap": job.dst_overlap, "jitter": job.jitter or None}
    kept |= {"limit": job.limit, "endDate": to_ms_or_none(job.end_date), "tz": job.tz if job.recurring else None}
    if given.get("cron") is None and given.get("every") is None:
        kept |= {"cron": job.cron or None, "every": job.every, "start_at": to_ms_or_none(job.start_at)}
    return kept


def _on_the_job_s_clock(job: Job, start_at: Any) -> dict[str, Any]:
    """The start of what recurs no more: without an offset a reading of the clock that the job went by."""
    if not isinstance(start_at, str):
        return {}
    try:
        local = datetime.fromisoformat(start_at)
        return {"start_at": to_ms(localize(local, job.tz))} if local.tzinfo is None else {}
    except (ValueError, OverflowError):
        return {}  # it is told with all else that is wrong


def _anchor(job: Job, schedule: Schedule, given: Mapping[str, Any], now: datetime) -> datetime:
    """Occurrence 0 of an interval: the new start, one interval from now, or the grid as it was."""
    assert schedule.every is not None
    if given.get("start_at") is not None and schedule.start_at is not None:
        return schedule.start_at
    if given.get("every") is not None or job.anchor_at is None:
        return now.replace(microsecond=now.microsecond // 1000 * 1000) + timedelta(milliseconds=schedule.every)
    return job.anchor_at
