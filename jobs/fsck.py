"""The invariants, as queries: what must hold of a live database at any moment. Reads only.

Each check is one statement over one snapshot, so that a system at work does not look broken,
and reports at most `limit` rows. The names I1 … I11 are those of docs/reliability.md.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from uuid import UUID

from django.db import connection
from django.db.models import Count, Exists, F, OuterRef, Q, QuerySet, Subquery
from django.db.models.functions import Coalesce

from core.clock import database_now
from core.ids import encode
from jobs import extensions
from jobs.models import Execution, Hold, Job, JobEvent, Worker
from jobs.states import ENDED_RUN, FINAL, NEVER_RAN, OPEN_RUN, RunStatus, Trigger

LIMIT = 20  # rows reported by one check
# Times are read when a statement begins, some milliseconds before it holds its locks: two writes
# that were in order may carry times that are not.
TOLERANCE_MS = 100
WAITS_TOO_LONG = timedelta(seconds=60)
TAKES_TOO_LONG = timedelta(seconds=10)  # from the end of a lease to the last of its runs taken back
SETTLED_IN = timedelta(seconds=10)  # a worker that has just begun is not idle yet
LOOK_AGAIN_SECONDS = 3.0

_FINAL, _OPEN, _ENDED = sorted(FINAL), sorted(OPEN_RUN), sorted(ENDED_RUN | NEVER_RAN)


@dataclass(frozen=True, slots=True)
class Check:
    """An invariant and the query for the rows that break it. `find(limit)` says which, one text a row."""

    name: str
    says: str
    find: Callable[[int], list[str]]


def one_run_per_occurrence(limit: int) -> list[str]:
    rows = (
        Execution.objects.filter(trigger=Trigger.SCHEDULE)
        .values("job_id", "scheduled_at")
        .annotate(times=Count("id"))
        .filter(times__gt=1)
        .order_by("job_id")
    )
    return [
        f"{_job(row['job_id'])}: the occurrence of {row['scheduled_at']:%Y-%m-%dT%H:%M:%S.%fZ} has {row['times']} runs"
        for row in rows[:limit]
    ]


def running_has_an_owner(limit: int) -> list[str]:
    owner = Worker.objects.filter(pk=OuterRef("owner_id"))
    rows = Execution.objects.filter(Q(fence__lte=0) | ~Exists(owner), status=RunStatus.RUNNING)
    return [
        f"{_run(run)}: running under fence {run.fence}, owned by worker {run.owner_id}, which there is not"
        if run.fence > 0
        else f"{_run(run)}: running under fence {run.fence}"
        for run in rows.order_by("id")[:limit]
    ]


def final_is_finished(limit: int) -> list[str]:
    still_open = Execution.objects.filter(job_id=OuterRef("pk"), status__in=_OPEN)
    jobs: QuerySet[Job] = Job.objects.filter(Q(completed_at__isnull=True) | Exists(still_open), status__in=_FINAL)
    runs = Execution.objects.filter(
        Q(status__in=_ENDED, finished_at__isnull=True) | Q(status__in=_OPEN, finished_at__isnull=False)
    )
    found = [
        f"{_job(job.pk)}: {job.status}, but without a time" if job.completed_at is None
        else f"{_job(job.pk)}: {job.status}, but a run of it is open"
        for job in jobs.order_by("id")[:limit]
    ]  # fmt: skip
    found += [
        f"{_run(run)}: {run.status}, and {'finished' if run.finished_at else 'not finished'}"
        for run in runs.order_by("id")[:limit]
    ]
    return found[:limit]


def fence_grows(limit: int) -> list[str]:
    """Every claim raises the fence and so does every loss: it is never below their number."""
    rows = _query(
        """
        SELECT e.job_id, e.number, e.fence, e.attempt, e.losses FROM jobs_execution e
        WHERE e.attempt > 0 AND e.fence < e.attempt + (
          SELECT count(*) FROM {attempts} WHERE a.value ->> 'status' = 'lost')
        ORDER BY e.id LIMIT %(limit)s
        """,
        limit=limit,
    )
    return [
        f"{_job(job)} run {number}: fence {fence} after {attempt} claims and {losses} losses"
        for job, number, fence, attempt, losses in rows
    ]


def schedule_is_kept(limit: int) -> list[str]:
    started = {"trigger": Trigger.SCHEDULE, "number__isnull": False}
    over = (
        Job.objects.filter(limit__isnull=False)
        .annotate(
            begun=Count("executions", filter=Q(executions__trigger=Trigger.SCHEDULE, executions__number__isnull=False))
        )
        .filter(Q(begun__gt=F("limit")) | Q(occurrences_opened__gt=F("limit")))
    )
    late = Execution.objects.filter(job__end_date__isnull=False, scheduled_at__gt=F("job__end_date"), **started)
    found = [
        f"{_job(job.pk)}: limit {job.limit}, {job.occurrences_opened} opened, {job.begun} begun"
        for job in over.order_by("id")[:limit]
    ]
    found += [f"{_run(run)}: its time is after the endDate" for run in late.order_by("id")[:limit]]
    return found[:limit]


def events_are_gapless(limit: int) -> list[str]:
    """`seq` counts on by one; the last event of a job that is final or paused says so."""
    rows = _query(
        """
        SELECT j.id, j.status, j.event_seq, v.count, v.first, v.last,
               (SELECT status FROM jobs_jobevent x WHERE x.job_id = j.id AND x.seq = v.last) AS said
        FROM jobs_job j LEFT JOIN (
          SELECT job_id, count(*) AS count, min(seq) AS first, max(seq) AS last FROM jobs_jobevent GROUP BY job_id
        ) v ON v.job_id = j.id
        WHERE j.event_seq <> coalesce(v.last, 0) OR v.count <> v.last - v.first + 1
           OR (j.status IN ('completed', 'failed', 'cancelled', 'paused') AND j.status <> coalesce(
                 (SELECT status FROM jobs_jobevent x WHERE x.job_id = j.id AND x.seq = v.last), ''))
        ORDER BY j.id LIMIT %(limit)s
        """,
        limit=limit,
    )
    return [
        f"{_job(job)}: {status}, counts {seq} events, has {count or 0} (seq {first}–{last}), the last says {said}"
        for job, status, seq, count, first, last, said in rows
    ]


def wanted_says_of_what(limit: int) -> list[str]:
    """An event that waits to be told carries what is told of its job, which may be gone by then; no other does."""
    at_odds = JobEvent.objects.filter(
        Q(wanted=True, about__isnull=True) | Q(wanted=False, about__isnull=False)
    ).order_by("id")
    return [
        f"{_job(event.job_id)}: {event.type} (seq {event.seq}) is "
        + ("wanted, but says nothing of its job" if event.wanted else "not wanted, but tells of its job")
        for event in at_odds[:limit]
    ]


# Every attempt with its time in ms: the earlier ones from `attempts`, the current one from the row,
# unless it has ended and is in `attempts` already.
_ATTEMPTS = """
attempt AS (
  SELECT e.id AS run_id, e.job_id, e.number, e.created_at,
         CAST(a.value ->> 'started_at' AS bigint) AS began, CAST(a.value ->> 'completed_at' AS bigint) AS ended
  FROM jobs_execution e, {attempts} WHERE e.attempts IS NOT NULL
  UNION ALL
  SELECT e.id, e.job_id, e.number, e.created_at, {started_at}, {finished_at}
  FROM jobs_execution e
  WHERE e.started_at IS NOT NULL AND e.attempt > {count}
)
"""


def attempts_do_not_overlap(limit: int) -> list[str]:
    rows = _query(
        f"""
        WITH {_ATTEMPTS}, next AS (
          SELECT job_id, number, began, ended,
                 lead(began) OVER (PARTITION BY job_id ORDER BY began, run_id) AS next_began
          FROM attempt
        )
        SELECT job_id, number, began, ended, next_began FROM next
        WHERE next_began IS NOT NULL AND (ended IS NULL OR ended > next_began + %(tolerance)s)
        ORDER BY job_id, began LIMIT %(limit)s
        """,  # noqa: S608 - our own fragment
        limit=limit,
    )
    return [
        f"{_job(job)} run {number}: an attempt from {began} to {ended or 'now'}, the next one began at {next_began}"
        for job, number, began, ended, next_began in rows
    ]


def nothing_claimed_after_a_stop(limit: int) -> list[str]:
    """No attempt began after its job was cancelled, nor, for runs older than a pause, during it."""
    rows = _query(
        f"""
        WITH {_ATTEMPTS}, stop AS (
          SELECT v.job_id, v.type, v.at,
                 (SELECT min(x.at) FROM jobs_jobevent x
                  WHERE x.job_id = v.job_id AND x.seq > v.seq AND x.status <> 'paused') AS until
          FROM jobs_jobevent v WHERE v.type IN ('job.cancelled', 'job.paused')
        )
        SELECT attempt.job_id, attempt.number, attempt.began, stop.type FROM attempt JOIN stop
          ON stop.job_id = attempt.job_id AND attempt.began > {{at}} + %(tolerance)s
          AND (stop.type = 'job.cancelled'
               OR (attempt.created_at <= stop.at
                   AND (stop.until IS NULL OR attempt.began < {{until}} - %(tolerance)s)))
        ORDER BY attempt.job_id, attempt.began LIMIT %(limit)s
        """,  # noqa: S608 - our own fragment
        limit=limit,
    )
    return [f"{_job(job)} run {number}: claimed at {began}, after {type}" for job, number, began, type in rows]


def nothing_is_forgotten(limit: int) -> list[str]:
    """Looks twice: what a release or a restart has just set free is on its way."""
    if not _forgotten(limit):
        return []
    time.sleep(LOOK_AGAIN_SECONDS)
    return _forgotten(limit)


def _forgotten(limit: int) -> list[str]:
    now = database_now()
    idle = Worker.objects.filter(
        stopped_at__isnull=True, lease_until__gt=now, draining=False, running=0, started_at__lt=now - SETTLED_IN
    )
    served = {queue for queues in idle.values_list("queues", flat=True) for queue in queues}
    held = Hold.objects.filter(
        Q(environment_id__isnull=True) | Q(environment_id=OuterRef("environment_id")),
        Q(namespace="") | Q(namespace=OuterRef("namespace")),
        product_id=OuterRef("product_id"),
    )
    same_job = Execution.objects.filter(job_id=OuterRef("job_id"))
    in_use = (
        Execution.objects.filter(status=RunStatus.RUNNING, concurrency_key=OuterRef("concurrency_key"))
        .order_by()
        .values("concurrency_key")
        .annotate(count=Count("id"))
        .values("count")
    )
    waiting = Execution.objects.annotate(in_use=Coalesce(Subquery(in_use), 0)).filter(
        ~Exists(held),
        ~Exists(same_job.filter(status=RunStatus.RUNNING)),
        ~Exists(same_job.filter(status__in=_OPEN, id__lt=OuterRef("id"))),
        in_use__lt=F("concurrency_limit"),
        status=RunStatus.QUEUED,
        queue__in=served,
        due_at__lt=now - WAITS_TOO_LONG,
    )
    expired = Worker.objects.filter(pk=OuterRef("owner_id"), lease_until__lt=now - TAKES_TOO_LONG)
    orphans = Execution.objects.filter(Exists(expired), status=RunStatus.RUNNING)
    found = [
        f"{_run(run)}: queued since {run.due_at:%H:%M:%SZ} in {run.queue!r}, whose worker is idle"
        for run in waiting.order_by("due_at")[:limit]
    ]
    found += [
        f"{_run(run)}: running, but the lease of worker {run.owner_id} ran out long ago"
        for run in orphans.order_by("id")[:limit]
    ]
    return found[:limit]


CHECKS = (
    Check("I1", "one execution per (job, occurrence)", one_run_per_occurrence),
    Check("I2", "running ⇒ an owner whose row exists, fence > 0", running_has_an_owner),
    Check("I3", "final ⇒ finished time, no open run", final_is_finished),
    Check("I4", "the fence only grows", fence_grows),
    Check("I5", "runs counted ≤ limit, none after endDate", schedule_is_kept),
    Check("I6", "events of a job are gapless, and the last one agrees with its status", events_are_gapless),
    Check("I7", "no two attempts of one job overlap in time", attempts_do_not_overlap),
    Check("I9", "nothing was claimed after a cancel or a pause", nothing_claimed_after_a_stop),
    Check("I10", "no due run is forgotten, no expired lease still owns runs", nothing_is_forgotten),
    Check("I11", "an event is wanted ⇔ it carries what is told of its job", wanted_says_of_what),
)


def check_all(limit: int = LIMIT) -> Iterable[tuple[Check, list[str]]]:
    """Each check with the rows that break it, as texts; empty where it holds."""
    for check in every_check():
        yield check, check.find(limit)


def every_check() -> tuple[Check, ...]:
    """Ours, and those of other apps."""
    return (*CHECKS, *(check for checks in extensions.loaded("checks") for check in checks))


def _query(sql: str, *, limit: int) -> list[tuple[Any, ...]]:
    """Run a statement whose {fragments} are this database's words for an attempt's times."""
    postgresql = connection.vendor == "postgresql"

    def ms(column: str) -> str:
        if postgresql:
            return f"CAST(extract(epoch FROM {column}) * 1000 AS bigint)"
        return f"CAST((julianday({column}) - 2440587.5) * 86400000.0 AS integer)"

    if postgresql:
        each = "jsonb_array_elements(coalesce(e.attempts, '[]'::jsonb)) AS a(value)"
        count = "jsonb_array_length(coalesce(e.attempts, '[]'::jsonb))"
    else:
        each = "json_each(coalesce(e.attempts, '[]')) AS a"
        count = "json_array_length(coalesce(e.attempts, '[]'))"
    text = sql.format(
        attempts=each,
        count=count,
        started_at=ms("e.started_at"),
        finished_at=ms("e.finished_at"),
        at=ms("stop.at"),
        until=ms("stop.until"),
    )
    with connection.cursor() as cursor:
        cursor.execute(text, {"limit": limit, "tolerance": TOLERANCE_MS})
        rows: list[tuple[Any, ...]] = cursor.fetchall()
    return rows


def _job(value: UUID | str) -> str:
    return encode("job", value if isinstance(value, UUID) else UUID(value))


def _run(run: Execution) -> str:
    return f"{_job(run.job_id)} run {run.number or '–'}"
