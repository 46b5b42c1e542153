"""Which jobs a …-many call takes: a list's filter, and what its verb makes of it. Pure.

Owns the states that are taken where none is named, and how a filter is kept in a row of `Operation`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, replace
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.db.models import Q

from core.times import later
from jobs.queries import JobFilter
from jobs.states import ALLOWED, JobStatus, RunStatus, Verb

_EVERY_STATE = frozenset(JobStatus)
_RETRIED = ALLOWED[Verb.RETRY]
_MILLISECOND = timedelta(milliseconds=1)


def select(verb: Verb, wanted: JobFilter, *, pause_id: UUID | None = None) -> tuple[JobFilter, Q]:
    """The filter as a list would take it, and a condition besides. Where no state is named: every one that the
    verb allows."""
    also = Q() if pause_id is None else Q(pause_id=pause_id)
    if verb is Verb.RETRY:
        return _of_failed_runs(wanted, also)
    statuses = wanted.statuses or ALLOWED[verb]
    return replace(wanted, statuses=statuses if statuses != _EVERY_STATE else frozenset()), also


def _of_failed_runs(wanted: JobFilter, also: Q) -> tuple[JobFilter, Q]:
    """`failed` also means recurring jobs whose last run failed; a window is of the end of that run."""
    statuses = wanted.statuses or frozenset({JobStatus.FAILED})
    if JobStatus.FAILED in statuses:
        also &= Q(status__in=sorted(statuses)) | Q(recurring=True, last_run_status=RunStatus.FAILED)
        statuses |= _RETRIED
        if wanted.since is not None:
            also &= Q(completed_at__gte=wanted.since)
        if wanted.until is not None:
            also &= Q(completed_at__lt=later(wanted.until, _MILLISECOND))
        wanted = replace(wanted, since=None, until=None)
    return replace(wanted, statuses=statuses), also


def kept(wanted: JobFilter, pause_id: UUID | None) -> dict[str, Any]:
    """As JSON, for `read_kept`."""
    values = {name: _as_json(value) for name, value in asdict(wanted).items() if value is not None}
    return values if pause_id is None else {**values, "pause_id": str(pause_id)}


def read_kept(stored: Mapping[str, Any]) -> tuple[JobFilter, UUID | None]:
    values = dict(stored)
    pause_id = values.pop("pause_id", None)
    environments, job_ids = values.pop("environment_ids", None), values.pop("job_ids", None)
    for name in ("since", "until"):
        if name in values:
            values[name] = datetime.fromisoformat(values[name])
    wanted = JobFilter(
        **{
            **values,
            "environment_ids": None if environments is None else frozenset(environments),
            "job_ids": None if job_ids is None else tuple(map(UUID, job_ids)),
            "statuses": frozenset(map(JobStatus, values["statuses"])),
            "labels": tuple((key, value) for key, value in values["labels"]),
        }
    )
    return wanted, None if pause_id is None else UUID(pause_id)


def _as_json(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, tuple) and value and isinstance(value[0], UUID):
        return [str(each) for each in value]
    return sorted(value) if isinstance(value, frozenset) else value
