"""One verb for all jobs that a filter finds: chunk after chunk, each in one transaction, by the same transitions as
the call for one job. What a job's state forbids is passed over.

A few thousand are done before the call is answered; more, or what takes too long, by whichever scheduler takes
it (`go_on_with_one`). Progress is written in the transaction of its chunk, under the lock of the operation's row:
whoever dies leaves it where it was, and of two who took the same one goes on alone.
"""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any
from uuid import UUID

from django.db import InterfaceError, OperationalError, connection, transaction
from django.db.models import Q

from core import failpoints
from core.clock import database_now
from core.errors import ApiError, Conflict, NotFound
from core.ids import encode
from core.tenancy import audit
from jobs import notices, queries, wakeup
from jobs.lifecycle import intervene, together
from jobs.lifecycle.intervene import Intervened
from jobs.lifecycle.together import Together
from jobs.models import Operation
from jobs.operations import reschedule
from jobs.operations.selection import kept, read_kept, select
from jobs.queries import JobFilter
from jobs.states import FINAL, Verb

logger = logging.getLogger(__name__)

MOST_AT_ONCE = 10_000  # jobs that are done before the call is answered
PATIENCE_SECONDS = 50.0  # a caller that waits for longer may have gone
CHUNK = 50  # jobs of one transaction: outcomes of their runs wait for it
MOST_TRIED = 500  # jobs that are asked what they would do while somebody waits for a page
TURN_SECONDS = 5.0  # in the background, until the next operation has its turn
GIVE_WAY_SECONDS = 0.1  # SQLite has one writer, and no queue for it: who waits looks again that often
TAKEN = timedelta(seconds=30)  # after the last chunk of whoever took it, it is another's
MOST_ERRORS = 20
KEPT = timedelta(days=30)  # after its end
CHANGED = "changed meanwhile"  # between being found and being asked
RUNNING, COMPLETED, ABORTED = "running", "completed", "aborted"
_EVERY = 1_000_000_000_000


@dataclass(frozen=True, kw_only=True, slots=True)
class Asked:
    """What is to be done, to which jobs, and whose key asks."""

    verb: Verb
    wanted: JobFilter
    pause_id: UUID | None = None
    arguments: Mapping[str, Any] = field(default_factory=dict)
    dry_run: bool = False
    actor: str
    product_id: int | None
    environment_ids: frozenset[int] | None


class OperationEnded(Conflict):
    """It cannot be aborted any more."""

    code = "operation_ended"


def start(asked: Asked, *, patience: float | None = None) -> Operation:
    """Do it, or begin to: the operation as it is after at most `patience` (PATIENCE_SECONDS) seconds. Raises TooSlow."""
    wanted, also = select(asked.verb, asked.wanted, pause_id=asked.pause_id)
    with queries.bounded_reading():
        newest = queries.ids_of(wanted, also, limit=1, oldest_first=False)
        total = queries.count_jobs(wanted, also=also, most=MOST_AT_ONCE)
    operation = _record(asked, until=newest[0] if newest else None, total=total if total <= MOST_AT_ONCE else None)
    if operation.total is not None:
        operation = _go_on(operation, seconds=PATIENCE_SECONDS if patience is None else patience, pause=0)
    return operation


def try_out(asked: Asked) -> Operation | None:
    """What it would do now; nothing is kept of it. None: there are more jobs than MOST_TRIED. Raises TooSlow."""
    if found(asked, most=MOST_TRIED) > MOST_TRIED:
        return None
    tried = start(replace(asked, dry_run=True))
    Operation.objects.filter(pk=tried.pk).delete()
    return tried


def found(asked: Asked, *, most: int = MOST_AT_ONCE) -> int:
    """How many jobs it would ask, at most `most` and one. Raises TooSlow."""
    wanted, also = select(asked.verb, asked.wanted, pause_id=asked.pause_id)
    with queries.bounded_reading():
        return queries.count_jobs(wanted, also=also, most=most)


def _record(asked: Asked, *, until: UUID | None, total: int | None) -> Operation:
    now = database_now()
    with transaction.atomic():
        operation = Operation.objects.create(
            verb=asked.verb,
            filter=kept(asked.wanted, asked.pause_id),
            arguments=dict(asked.arguments),
            dry_run=asked.dry_run,
            actor=asked.actor[:200],
            product_id=asked.product_id,
            environment_ids=None if asked.environment_ids is None else sorted(asked.environment_ids),
            until=until,
            total=total,
            free_at=now if total is None else now + TAKEN,
            created_at=now,
        )
        if not asked.dry_run:
            audit.record(asked.actor, f"jobs.{asked.verb}_many", str(operation))
    return operation


def abort(operation_id: UUID, *, actor: str) -> None:
    """Begin no further chunk; what was done stays done. Twice is no error. Raises OperationEnded."""
    unfinished = Operation.objects.filter(pk=operation_id, finished_at__isnull=True)
    with transaction.atomic():
        if unfinished.update(status=ABORTED, finished_at=database_now()):
            audit.record(actor, "operation.aborted", encode("op", operation_id))
            return
    ended = Operation.objects.filter(pk=operation_id).first()
    if ended is not None and ended.status != ABORTED:
        raise OperationEnded(f"{ended} is {ended.status}: nothing is left to abort")


def go_on_with_one() -> bool:
    """Go on for a while with the operation that has waited longest. False: none is to be had."""
    operation = _take()
    if operation is None:
        return False
    if operation.total is None:
        operation.total = _counted(operation)
        Operation.objects.filter(pk=operation.pk).update(total=operation.total)
    _go_on(operation, seconds=TURN_SECONDS, pause=0.02)
    return True


def prune() -> int:
    """Forget those that ended long ago."""
    return Operation.objects.filter(finished_at__lt=database_now() - KEPT).delete()[0]


def _take() -> Operation | None:
    now = database_now()
    free = Operation.objects.filter(finished_at__isnull=True, free_at__lte=now)
    for operation in free.order_by("free_at")[:10]:
        if free.filter(pk=operation.pk, free_at=operation.free_at).update(free_at=now + TAKEN):
            return operation
    return None


def _counted(operation: Operation) -> int:
    wanted, also = _selection(operation)
    return queries.count_jobs(wanted, also=also, most=_EVERY)


def _go_on(operation: Operation, *, seconds: float, pause: float) -> Operation:
    """Chunk after chunk until it has ended or the time is over; then it is anybody's."""
    until = time.monotonic() + seconds
    while (began := time.monotonic()) < until:
        moved = _chunk(operation)
        if moved is None:  # aborted, or gone on with by another
            break
        operation = moved
        if operation.finished_at is not None:
            return operation
        time.sleep(max(pause, _owed(time.monotonic() - began)))
    else:
        Operation.objects.filter(pk=operation.pk, cursor=operation.cursor).update(free_at=database_now())
    return Operation.objects.get(pk=operation.pk)


def _owed(seconds: float) -> float:
    """For how long other writers have their turn after a chunk that took so long."""
    return min(seconds, GIVE_WAY_SECONDS) if connection.vendor == "sqlite" else 0.0


def _chunk(operation: Operation) -> Operation | None:
    """The next jobs, and how far it came, in one commit; None where it is not the caller's any more."""
    wanted, also = _selection(operation)
    after = also if operation.cursor is None else also & Q(pk__gt=operation.cursor)
    ids = [] if operation.until is None else queries.ids_of(wanted, after, limit=CHUNK)
    with transaction.atomic():
        mine = Operation.objects.select_for_update().filter(pk=operation.pk, finished_at__isnull=True)
        found = mine.first()
        if found is None or found.cursor != operation.cursor:
            return None
        done = _Done()
        with transaction.atomic():
            still = _still(wanted, also, ids)
            _each(found, still, done)
            if found.dry_run:
                transaction.set_rollback(True)
        now = database_now()
        found.count += done.count
        found.skipped += len(ids) - done.count
        done.passed_over[CHANGED] += len(ids) - len(still)
        found.passed_over = +(Counter(found.passed_over) + done.passed_over)
        found.errors = [*found.errors, *done.errors][:MOST_ERRORS]
        found.cursor = ids[-1] if ids else found.cursor
        found.free_at = now + TAKEN
        if len(ids) < CHUNK:
            found.status, found.finished_at = COMPLETED, now
        failpoints.reach("many:before_commit")
        found.save()
        if not found.dry_run:
            transaction.on_commit(done.tell)
    return found


def _selection(operation: Operation) -> tuple[JobFilter, Q]:
    wanted, pause_id = read_kept(operation.filter)
    wanted, also = select(Verb(operation.verb), wanted, pause_id=pause_id)
    return wanted, also if operation.until is None else also & Q(pk__lte=operation.until)


def _still(wanted: JobFilter, also: Q, ids: Sequence[UUID]) -> list[UUID]:
    """Those that match under their lock, which is taken in the order that everybody takes it in."""
    jobs = queries.matching(wanted).filter(also, pk__in=ids)
    return list(jobs.select_for_update(no_key=True).order_by("pk").values_list("pk", flat=True))


@dataclass(slots=True)
class _Done:
    """What a chunk has done, to be told after its commit: once, not for each job."""

    count: int = 0
    passed_over: Counter[str] = field(default_factory=Counter)
    errors: list[dict[str, str]] = field(default_factory=list)
    stopped: list[int] = field(default_factory=list)
    queues: set[str] = field(default_factory=set)

    def add(self, done: Intervened | tuple[int, ...]) -> None:
        self.count += 1
        self.stopped += done.stopped_runs if isinstance(done, Intervened) else done
        if isinstance(done, Intervened) and done.woken:
            self.queues.add(done.job.queue)

    def tell(self) -> None:
        if self.stopped:
            notices.tell_stopped(self.stopped)
        if self.queues:
            wakeup.wake(sorted(self.queues))
            notices.tell_due()


def _each(operation: Operation, ids: Sequence[UUID], done: _Done) -> None:
    act = _ACTS[Verb(operation.verb)]
    for job_id in _together(operation, ids, done):
        try:
            done.add(act(job_id, operation))
        except (Conflict, NotFound) as error:
            done.passed_over[_why(error)] += 1
        except ApiError as error:
            done.passed_over[error.code] += 1
            done.errors.append(_told(job_id, error.code, error.detail))
        except (OperationalError, InterfaceError):
            raise  # the database is away: the chunk is done again
        except Exception:
            logger.exception("%s cannot be asked to %s", encode("job", job_id), operation.verb)
            done.passed_over["internal_error"] += 1
            done.errors.append(_told(job_id, "internal_error", "a mistake of ours: the log knows it"))


def _together(operation: Operation, ids: Sequence[UUID], done: _Done) -> Sequence[UUID]:
    """Ask those jobs that can be asked together; the others, or all where that goes wrong, are left."""
    act = _TOGETHER.get(Verb(operation.verb))
    if act is None:
        return ids
    try:
        told = act(ids, operation)
    except (OperationalError, InterfaceError):
        raise  # the database is away: the chunk is done again
    except Exception:
        logger.exception("%d jobs cannot be asked to %s together: each goes alone", len(ids), operation.verb)
        return ids
    for each in told.done:
        done.add(each)
    done.count += told.gone
    done.passed_over.update(_why(error) for error in told.refused)
    return told.left


def _why(error: ApiError) -> str:
    """In a word or two: what it is already, what it is not."""
    if isinstance(error, NotFound):
        return "gone"
    found = error.extra.get("status_found")
    if found is None:
        return error.code.replace("_", " ")
    return f"already {found}" if found in FINAL else str(found)


def _told(job_id: UUID, code: str, detail: str) -> dict[str, str]:
    return {"job_id": encode("job", job_id), "code": code, "detail": detail[:500]}


def _delay(operation: Operation) -> timedelta:
    return timedelta(milliseconds=operation.arguments.get("delay", 0))


_ACTS: dict[Verb, Callable[[UUID, Operation], Intervened | tuple[int, ...]]] = {
    Verb.CANCEL: lambda job_id, op: intervene.cancel(
        job_id, reason=op.arguments.get("reason", ""), actor=op.actor
    ),
    Verb.PAUSE: lambda job_id, op: intervene.pause(
        job_id, note=op.arguments.get("note", ""), actor=op.actor, pause_id=op.pk
    ),
    Verb.RESUME: lambda job_id, op: intervene.resume(job_id, note=op.arguments.get("note", ""), actor=op.actor),
    Verb.TRIGGER: lambda job_id, op: intervene.trigger(job_id, actor=op.actor),
    Verb.RETRY: lambda job_id, op: intervene.retry(job_id, delay=_delay(op), actor=op.actor),
    Verb.RESCHEDULE: lambda job_id, op: reschedule.move(job_id, op.arguments["schedule"], actor=op.actor),
    Verb.DELETE: lambda job_id, op: intervene.delete(
        job_id, force=op.arguments.get("force", False), actor=op.actor
    ),
}  # fmt: skip

_TOGETHER: dict[Verb, Callable[[Sequence[UUID], Operation], Together]] = {
    Verb.CANCEL: lambda ids, op: together.cancel(ids, reason=op.arguments.get("reason", ""), actor=op.actor),
    Verb.PAUSE: lambda ids, op: together.pause(
        ids, note=op.arguments.get("note", ""), actor=op.actor, pause_id=op.pk
    ),
    Verb.RESUME: lambda ids, op: together.resume(ids, note=op.arguments.get("note", ""), actor=op.actor),
    Verb.DELETE: lambda ids, op: together.delete(ids, force=op.arguments.get("force", False), actor=op.actor),
}  # fmt: skip
