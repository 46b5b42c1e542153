"""Promote: what the scheduler does with what came due, in bounded batches.

scheduled → queued: an occurrence becomes a run (exactly one row per occurrence), a back-off
that is over becomes claimable. Any number of schedulers at once: each takes other jobs.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import NamedTuple
from uuid import UUID

from django.db import InterfaceError, OperationalError, connection, transaction
from django.db.models import F

from core import failpoints
from core.clock import database_now
from core.ids import encode
from core.times import MICROSECOND, to_ms
from jobs.lifecycle.create import build_run, schedule_of
from jobs.lifecycle.rows import move_job, move_run, open_runs, record_event, tell
from jobs.lifecycle.sql import dialect
from jobs.lifecycle.sql.inserts import RUN_COLUMNS, insert_runs
from jobs.listening import Ears
from jobs.models import Execution, Hold, Job
from jobs.schedule import Schedule, Span, due_at, next_occurrence, past_span, plan_promotion
from jobs.states import EventType, JobStatus, RunStatus, Trigger

logger = logging.getLogger(__name__)

BATCH = 200  # jobs in one transaction: short enough that nobody waits for it
PUT_OFF = timedelta(minutes=1)  # how long a job rests that could not be promoted
SEQUENCE_LOOK = timedelta(milliseconds=200)  # `misfire: all` looks so often whether its run has ended, at first
LONGEST_SEQUENCE_LOOK = timedelta(seconds=10)

STILL_RUNNING = "previous run still running"
PREVIOUS_LOST = "previous run lost"
HELD = "held for maintenance"
MISSED = "no scheduler was there in time"


class Moved(NamedTuple):
    """What a promotion writes of a job: its id, the status it was read with, and the moved columns."""

    job_id: UUID
    found: str
    status: str
    scheduled_at: datetime
    completed_at: datetime | None
    next_run_at: datetime | None
    next_due_at: datetime | None
    occurrences_opened: int
    retry_count: int
    behind: str


@dataclass(slots=True)
class Promoted:
    """What one batch did: the queues that have new work, and whether there may be more."""

    queues: set[str] = field(default_factory=set)
    runs: int = 0
    full: bool = False

    def add(self, other: Promoted) -> None:
        self.queues |= other.queues
        self.runs += other.runs
        self.full = self.full or other.full


class Due(NamedTuple):
    """When the next occurrence and the end of the next back-off come due; None when none ever will."""

    occurrence: datetime | None
    backoff: datetime | None

    @property
    def first(self) -> datetime | None:
        return min((at for at in self if at is not None), default=None)


def promote_due(due: Due | None = None, limit: int = BATCH) -> Promoted:
    """One batch of everything that is due: occurrences, then back-offs.

    With `due`, which `next_due` gave, only that is looked for whose time has come.
    """
    promoted = Promoted()
    if due is None or _is_past(due.occurrence):
        promoted.add(open_due_runs(limit))
    if due is None or _is_past(due.backoff):
        promoted.add(end_backoffs(limit))
    return promoted


def _is_past(at: datetime | None) -> bool:
    return at is not None and at <= database_now()


def next_due() -> Due:
    """When the next things come due: one statement, two index probes."""
    return Due(*dialect(connection).next_due(connection))


def open_due_runs(limit: int = BATCH) -> Promoted:
    """Open a run for each occurrence that came due, record those that were missed or skipped,
    and move each job to its next occurrence: one transaction, rows taken with SKIP LOCKED.

    A job that cannot be promoted keeps no other from it: where a batch is refused, each of its jobs
    goes alone, and the one that is refused again is put off.
    """
    try:
        return _open_due_runs(limit)
    except (OperationalError, InterfaceError):  # the database is away
        raise
    except Exception:
        logger.exception("a batch of due jobs cannot be promoted: each goes alone")
    promoted = Promoted()
    for job_id in _due_ids(limit):
        try:
            promoted.add(_open_due_runs(1, only=job_id))
        except (OperationalError, InterfaceError):
            raise
        except Exception:
            logger.exception("%s cannot be promoted: tried again in %s", encode("job", job_id), PUT_OFF)
            _put_off(job_id)
    promoted.full = True  # look again at once: these were the first that are due, not all
    return promoted


def _due_ids(limit: int) -> list[UUID]:
    due = Job.objects.filter(next_due_at__lte=database_now()).order_by("next_due_at")
    return list(due.values_list("pk", flat=True)[:limit])


def _put_off(job_id: UUID) -> None:
    """Let the scheduler look at the job later. Its next occurrence stays what it is."""
    now = database_now()
    Job.objects.filter(pk=job_id, next_due_at__lte=now).update(next_due_at=now + PUT_OFF)


def _open_due_runs(limit: int, *, only: UUID | None = None) -> Promoted:
    promoted = Promoted()
    with transaction.atomic():
        now = database_now()
        jobs, queues = dialect(connection).take_due(connection, now, limit, only)
        if not jobs and not queues:
            return promoted
        promoted.full = len(jobs) + len(queues) == limit
        runs = open_runs([job.pk for job in jobs]) if jobs else {}
        holds = list(Hold.objects.all()) if jobs else []
        opened: list[Execution] = []
        found, ears = [job.status for job in jobs], Ears()
        for job in jobs:
            opened += _open_runs_of(job, runs.setdefault(job.pk, []), holds, ears, now)
        failpoints.reach("promote:before_insert")
        _store(opened)
        failpoints.reach("promote:inserted")
        if jobs:
            _advance(jobs, found, now)
        failpoints.reach("promote:before_commit")
    queues += [run.queue for run in opened if run.status == RunStatus.QUEUED]
    promoted.queues.update(queues)
    promoted.runs += len(queues)
    failpoints.reach("promote:committed")
    return promoted


def promote_locked(job: Job, runs: list[Execution], *, now: datetime, jittered: bool = True) -> None:
    """Leave a locked job as the scheduler would, were it here just now: what was due before an intervention is
    opened, skipped or missed as the job's policies say, and lost by no means.

    Not `jittered`: also what only waits for its jitter. `runs` are the open runs as they were; read them again.
    """
    found = job.status
    _store(_open_runs_of(job, runs, list(Hold.objects.all()), Ears(), now, jittered=jittered))
    _advance([job], [found], now)


def give_up(job: Job, reason: str, *, now: datetime) -> None:
    """Tell what of a locked job is past and has not been opened: it is missed, for that reason."""
    if job.next_run_at is None:
        return
    span = past_span(schedule_of(job), next_run_at=job.next_run_at, until=now)
    if span is not None:
        Execution.objects.bulk_create(_never_ran(job, RunStatus.MISSED, reason, span, Ears(), now))


def _open_runs_of(
    job: Job, open_now: list[Execution], holds: Sequence[Hold], ears: Ears, now: datetime, *, jittered: bool = True
) -> list[Execution]:
    """The rows that this job's due occurrences become; the job's own columns are moved along.

    With `misfire: all` the oldest missed occurrence is opened and the job stays due: the rest
    follow one after the other, each when the one before has ended. Under a hold, which lets none end, they
    collapse into the one that waits, all of them in one look.
    """
    assert job.next_run_at is not None  # next_due_at is only set together with it
    schedule = schedule_of(job)
    plan = plan_promotion(
        schedule,
        next_run_at=job.next_run_at,
        now=now,
        job_id=job.pk if jittered else None,
        at_once=job.misfire == "all" and _covered(job, holds),
    )
    rows: list[Execution] = []
    if plan.missed is not None:
        rows += _never_ran(job, RunStatus.MISSED, MISSED, plan.missed, ears, now)
    upcoming, look_at, crowded = plan.next_run_at, None, plan.rest
    for index, occurrence in enumerate(plan.run):
        if not has_room(job):
            break
        if not open_now or (len(open_now) == 1 and _may_wait(job, holds)):
            rows.append(_open_run(job, schedule, occurrence, open_now, now))
        elif index < plan.late and job.misfire == "all" and not _covered(job, holds):
            upcoming, look_at, crowded = occurrence, now + _look_again_in(open_now[0], now), None
            break
        else:
            crowded = _joined(plan.run[index:], plan.rest)
            break
    if crowded is not None and has_room(job):
        rows += _never_ran(job, RunStatus.SKIPPED, _why(job, open_now, holds), crowded, ears, now)
    job.next_run_at = upcoming if job.recurring and has_room(job) else None
    job.next_due_at = None
    if job.next_run_at is not None:
        job.next_due_at = look_at or due_at(schedule, job.pk, job.next_run_at)
    if not open_now:
        if job.next_run_at is None:
            _end(job, now)
        else:
            job.scheduled_at = job.next_run_at  # what was told is past: it waits for the next
    return rows


def _may_wait(job: Job, holds: Sequence[Hold]) -> bool:
    """Whether one occurrence may wait behind the open run. That of a one-off does: it has no other."""
    return not job.recurring or (job.overlap == "queue" and not _covered(job, holds))


def _look_again_in(open_run: Execution, now: datetime) -> timedelta:
    """A run that takes long is asked after less and less often."""
    return min(max(SEQUENCE_LOOK, (now - open_run.created_at) / 4), LONGEST_SEQUENCE_LOOK)


def _open_run(
    job: Job, schedule: Schedule, occurrence: datetime, open_now: list[Execution], now: datetime
) -> Execution:
    """A run for the occurrence: the job's turn, or behind the run that is open."""
    due = due_at(schedule, job.pk, occurrence)
    run = build_run(job, scheduled_at=occurrence, due=due, trigger=Trigger.SCHEDULE, now=now)
    open_now.append(run)
    job.occurrences_opened += int(job.recurring)
    if len(open_now) == 1:
        job.status, job.scheduled_at, job.retry_count = JobStatus.QUEUED, occurrence, 0
    else:
        job.behind = RunStatus.QUEUED
    return run


def _store(rows: Sequence[Execution]) -> None:
    """Insert the new rows, of each job in the order of its occurrences: what was missed, what runs, what was
    skipped. Runs go the fast way of a dispatch."""
    if not rows:
        return
    Execution.objects.bulk_create([row for row in rows if row.status == RunStatus.MISSED])
    insert_runs(
        connection,
        [tuple(getattr(run, column) for column in RUN_COLUMNS) for run in rows if run.status == RunStatus.QUEUED],
    )
    Execution.objects.bulk_create([row for row in rows if row.status == RunStatus.SKIPPED])


def _joined(occurrences: Sequence[datetime], rest: Span | None) -> Span:
    last, more = (rest.last, rest.count) if rest is not None else (occurrences[-1], 0)
    return Span(occurrences[0], last, len(occurrences) + more)


def has_room(job: Job) -> bool:
    """Whether the job's limit leaves it another occurrence."""
    return job.limit is None or job.occurrences_opened < job.limit


def _end(job: Job, now: datetime) -> None:
    """The schedule ended without another run: how the last one ended decides."""
    job.status = JobStatus.FAILED if job.last_run_status == RunStatus.FAILED else JobStatus.COMPLETED
    job.completed_at = job.completed_at or now
    tell_end(job, now=now)


def tell_end(job: Job, *, now: datetime) -> None:
    """The event of a job that ended with its schedule."""
    type = EventType.FAILED if job.status == JobStatus.FAILED else EventType.COMPLETED
    record_event(job, type, now=now, data={"reason": "the schedule ended"})


def _covered(job: Job, holds: Sequence[Hold]) -> bool:
    return any(
        hold.product_id == job.product_id
        and hold.environment_id in {None, job.environment_id}
        and hold.namespace in {"", job.namespace}
        for hold in holds
    )


def _why(job: Job, open_now: Sequence[Execution], holds: Sequence[Hold]) -> str:
    """Why an occurrence found no place."""
    first = open_now[0]
    if first.status == RunStatus.QUEUED and _covered(job, holds):
        return HELD
    if first.status == RunStatus.QUEUED and first.losses:
        return PREVIOUS_LOST
    return STILL_RUNNING


def _never_ran(job: Job, status: RunStatus, reason: str, span: Span, ears: Ears, now: datetime) -> list[Execution]:
    """The row for occurrences that do not run, and who listens is told. Consecutive skips for one reason share one
    row; each is told."""
    first, last = to_ms(span.first), to_ms(span.last)
    data = {"run_status": str(status), "reason": reason, "scheduled_at": first, "count": span.count}
    tell(ears, job, EventType.SKIPPED, now=now, data=data | ({"last_scheduled_at": last} if span.count > 1 else {}))
    if status is RunStatus.SKIPPED:
        latest = Execution.objects.filter(job=job).order_by("-id").first()
        if (
            latest is not None
            and (latest.status, latest.skip_reason) == (status, reason)
            and _follows(schedule_of(job), latest.last_scheduled_at or latest.scheduled_at, span.first)
        ):
            Execution.objects.filter(pk=latest.pk).update(
                count=F("count") + span.count, last_scheduled_at=span.last, finished_at=now
            )
            return []
    row = build_run(job, scheduled_at=span.first, due=span.first, trigger=Trigger.SCHEDULE, now=now, status=status)
    row.skip_reason, row.count, row.last_scheduled_at, row.finished_at = reason, span.count, span.last, now
    return [row]


def _follows(schedule: Schedule, occurrence: datetime, other: datetime) -> bool:
    """Whether both are on the grid, one right after the other: no pause and no other grid was in between."""
    on_grid = next_occurrence(schedule, after=occurrence - MICROSECOND) == occurrence
    return on_grid and next_occurrence(schedule, after=occurrence) == other


def _advance(jobs: Sequence[Job], found: Sequence[str], now: datetime) -> None:
    """Write the moved columns of locked jobs, each under the status it was read with.

    What was computed of a cron was computed with this process's time-zone data, and says so.
    """
    moved = [
        Moved(
            job.pk, before, str(job.status), job.scheduled_at, job.completed_at, job.next_run_at, job.next_due_at,
            job.occurrences_opened, job.retry_count, str(job.behind),
        )
        for job, before in zip(jobs, found, strict=True)
    ]  # fmt: skip
    matched = dialect(connection).advance(connection, moved, now)
    if matched != len(jobs):
        raise RuntimeError(f"{len(jobs) - matched} of {len(jobs)} jobs changed under their lock")


def end_backoffs(limit: int = BATCH) -> Promoted:
    """waiting → queued for runs whose back-off (or delay) is over."""
    promoted = Promoted()
    with transaction.atomic():
        now = database_now()
        ids = list(
            Execution.objects.filter(status=RunStatus.WAITING, due_at__lte=now)
            .order_by("due_at")
            .values_list("job_id", flat=True)[:limit]
        )
        if not ids:
            return promoted
        promoted.full = len(ids) == limit
        locked = Job.objects.select_for_update(skip_locked=True, no_key=True).filter(pk__in=set(ids))
        jobs = {job.pk: job for job in locked}
        for job_id, runs in open_runs(list(jobs)).items():
            due = [run for run in runs if run.status == RunStatus.WAITING and run.due_at <= now]
            for run in due:
                move_run(run, RunStatus.QUEUED)
                promoted.queues.add(run.queue)
                promoted.runs += 1
            if due:
                move_job(jobs[job_id], "go on", runs, now=now, next_attempt_at=None)
    return promoted
