"""What people ask of a job that exists: the intervention itself, then the notices after its commit.

`jobs.lifecycle.intervene` changes the rows; here workers are told to stop what was taken from
them, schedulers that something is due earlier, queues that they have work. All callers (API,
admin, command line) come through here or through `reschedule`.
"""

from __future__ import annotations

from datetime import timedelta
from uuid import UUID

from django.db import transaction

from core.ids import encode
from core.tenancy import audit
from jobs import notices, wakeup
from jobs.lifecycle import intervene
from jobs.lifecycle.intervene import Intervened
from jobs.models import Job


def cancel(job_id: UUID, *, reason: str = "", actor: str = "") -> Job:
    return told(intervene.cancel(job_id, reason=reason, actor=actor))


def pause(job_id: UUID, *, note: str = "", actor: str = "") -> Job:
    return told(intervene.pause(job_id, note=note, actor=actor))


def resume(job_id: UUID, *, note: str = "", actor: str = "") -> Job:
    return told(intervene.resume(job_id, note=note, actor=actor))


def retry(job_id: UUID, *, delay: timedelta = timedelta(0), actor: str = "") -> Job:
    return told(intervene.retry(job_id, delay=delay, actor=actor))


def trigger(job_id: UUID, *, actor: str = "") -> Job:
    with transaction.atomic():
        done = intervene.trigger(job_id, actor=actor)
        if actor:  # the outbox has no event for it: its run tells of itself, but not who asked
            audit.record(actor, "job.triggered", encode("job", job_id))
    return told(done)


def delete(job_id: UUID, *, force: bool = False, actor: str = "") -> None:
    stopped = intervene.delete(job_id, force=force, actor=actor)
    transaction.on_commit(lambda: notices.tell_stopped(stopped))


def told(done: Intervened) -> Job:
    """Send the notices once it is committed. Best effort: losing them costs latency only."""

    def send() -> None:
        if done.stopped_runs:
            notices.tell_stopped(done.stopped_runs)
        if done.woken:
            wakeup.wake([done.job.queue])
            notices.tell_due()

    transaction.on_commit(send)
    return done.job
