"""The outbox read onward: every event once, also one that commits after events with higher ids.

Owns what "everything up to here" means while ids are given before the commit, and what is known of the
job that an event is about. Never writes, and never decides who may see an event.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from core.clock import database_now
from core.tenancy.models import Environment
from core.times import to_ms
from jobs.ended import ORDER_SLACK, first_event_at, last_event
from jobs.models import Execution, Job, JobEvent
from jobs.states import EventType

PAGE = 500  # events read at once
MOST_MISSING = 10_000  # ids before one event that are looked for: more than all transactions under way have taken


class Tail:
    """A place in the outbox from which it is read onward."""

    def __init__(self, after: int) -> None:
        self._last = after
        self._missing: dict[int, datetime] = {}  # ids that were passed over, and until when they may still come

    @classmethod
    def at_end(cls) -> Tail:
        """What comes from now on, and what was written just before and is not committed yet."""
        now = database_now()
        tail = cls(first_event_at(now - ORDER_SLACK) - 1)
        for event_id, at in JobEvent.objects.filter(pk__gt=tail._last).order_by("pk").values_list("pk", "at"):
            tail._pass_to(event_id, at, now)
        return tail

    @classmethod
    def resumed(cls, after: int) -> Tail:
        """What comes after `upto` of an earlier tail; no later than the end, where a database was put back."""
        return cls(min(after, last_event()))

    @property
    def upto(self) -> int:
        """Every event up to this id has been read."""
        return min(self._missing, default=self._last + 1) - 1

    def read(self) -> list[JobEvent]:
        """The next events by their ids, at most PAGE and those that came late; none: there are none now."""
        now = database_now()
        late = [event for some in _in_pages(sorted(self._missing)) for event in JobEvent.objects.filter(pk__in=some)]
        for event in late:
            del self._missing[event.pk]
        self._missing = {event_id: until for event_id, until in self._missing.items() if until > now}
        new = list(JobEvent.objects.filter(pk__gt=self._last).order_by("pk")[:PAGE])
        for event in new:
            self._pass_to(event.pk, event.at, now)
        return sorted(late, key=lambda event: event.pk) + new

    def _pass_to(self, event_id: int, at: datetime, now: datetime) -> None:
        """Go on to an event; ids left out before a young one may belong to transactions under way, or to none."""
        if at > now - ORDER_SLACK:
            first = max(self._last + 1, event_id - MOST_MISSING)
            self._missing.update(dict.fromkeys(range(first, event_id), now + ORDER_SLACK))
        self._last = event_id


@dataclass(frozen=True, kw_only=True, slots=True)
class Subject:
    """The job that an event is about, as far as it decides who is told."""

    product_id: int
    product: str
    environment_id: int
    env: str
    namespace: str
    target: dict[str, Any]
    labels: dict[str, str]


@dataclass(frozen=True, kw_only=True, slots=True)
class Account:
    """The job of an event that was wanted, as it was when the event was written: enough to tell of it when the job
    has moved on or is gone."""

    product_id: int
    product: str  # tag
    environment_id: int
    env: str  # slug
    namespace: str
    labels: dict[str, str]
    scheduled_at: int  # ms
    execution_count: int
    error: str | None  # why the run that the event is about failed


def accounts(events: Sequence[JobEvent]) -> dict[int, Account]:
    """The accounts of these wanted events by their ids, without those whose environment is gone. One query."""
    told = {event.pk: event.about for event in events if event.about is not None}
    places = _places({about["environment_id"] for about in told.values()})
    return {
        event_id: Account(
            product_id=place.product_id,
            product=place.product.tag,
            environment_id=place.pk,
            env=place.slug,
            namespace=about["namespace"],
            labels=about["labels"],
            scheduled_at=about["scheduled_at"],
            execution_count=about["execution_count"],
            error=about["error"],
        )
        for event_id, about in told.items()
        if (place := places.get(about["environment_id"])) is not None
    }


def recalled(events: Sequence[JobEvent]) -> dict[int, Account]:
    """Accounts of events that nobody wanted when they were written, by their ids: from the rows of their jobs and runs
    as they are now. What a deleted job has not kept is told as of the event. Four queries at most."""
    about = subjects(events)
    jobs = Job.objects.in_bulk({event.job_id for event in events})
    numbered = {(event.job_id, event.number) for event in events if event.number is not None}
    runs = Execution.objects.filter(
        job_id__in={job_id for job_id, _ in numbered}, number__in={number for _, number in numbered}
    ).only("job_id", "number", "scheduled_at", "error")
    by_number = {(run.job_id, run.number): run for run in runs}
    told = {}
    for event in events:
        subject, job, run = about.get(event.job_id), jobs.get(event.job_id), by_number.get((event.job_id, event.number))
        if subject is None:
            continue
        scheduled_at = run.scheduled_at if run is not None else job.scheduled_at if job is not None else event.at
        told[event.pk] = Account(
            product_id=subject.product_id,
            product=subject.product,
            environment_id=subject.environment_id,
            env=subject.env,
            namespace=subject.namespace,
            labels=subject.labels,
            scheduled_at=to_ms(scheduled_at),
            execution_count=event.number or (job.execution_count if job is not None else 0),
            error=run.error if run is not None and event.type == EventType.FAILED else None,
        )
    return told


def what_it_was(job: Job) -> dict[str, Any]:
    """What the last event of a job that is deleted keeps of it, for those who are told of its events later."""
    return {
        "environment_id": job.environment_id,
        "namespace": job.namespace,
        "target": job.target,
        "labels": job.labels,
    }


def subjects(events: Sequence[JobEvent]) -> dict[UUID, Subject]:
    """The jobs of these events; of those that are gone what their last event kept. Three queries at most."""
    wanted = {event.job_id for event in events}
    fields = ("environment_id", "namespace", "target", "labels")
    found: dict[UUID, dict[str, Any]] = {
        row.pop("pk"): row for row in Job.objects.filter(pk__in=wanted).values("pk", *fields)
    }
    if gone := wanted - found.keys():
        last = JobEvent.objects.filter(job_id__in=gone, type=EventType.DELETED, data__isnull=False)
        found.update({event.job_id: event.data for event in last if event.data is not None})
    places = _places({about["environment_id"] for about in found.values()})
    return {
        job_id: Subject(
            product_id=place.product_id,
            product=place.product.tag,
            env=place.slug,
            **about,
        )
        for job_id, about in found.items()
        if (place := places.get(about["environment_id"])) is not None
    }


def _places(ids: Collection[int]) -> dict[int, Environment]:
    places: dict[int, Environment] = Environment.objects.select_related("product").in_bulk(ids)
    return places


def _in_pages(ids: Sequence[int]) -> Iterator[Sequence[int]]:
    for start in range(0, len(ids), PAGE):
        yield ids[start : start + PAGE]
