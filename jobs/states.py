"""States, runs and the table of legal transitions: data, pure.

API, workers, scheduler, admin and documentation read this table; `jobs.lifecycle` is the
only code that acts on it.
"""

from __future__ import annotations

from enum import StrEnum


class JobStatus(StrEnum):
    """What a caller sees of a job (a projection, see `project`)."""

    SCHEDULED = "scheduled"  # waits for its time: a start, an occurrence, the next attempt
    QUEUED = "queued"  # due; no worker has claimed it yet
    RUNNING = "running"  # exactly one worker holds its claim
    COMPLETED = "completed"  # the last run succeeded and no occurrence is left
    FAILED = "failed"  # the last run failed after all attempts and no occurrence is left
    CANCELLED = "cancelled"  # stopped by a person or a service
    PAUSED = "paused"  # a recurring job held back


FINAL = frozenset({JobStatus.COMPLETED, JobStatus.FAILED, JobStatus.CANCELLED})


class RunStatus(StrEnum):
    """The state of one run (`Execution`)."""

    QUEUED = "queued"  # due; may be claimed
    WAITING = "waiting"  # its next attempt has a time: a back-off, or a retry with a delay
    FROZEN = "frozen"  # held back by a pause of its job
    RUNNING = "running"  # claimed
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"
    SKIPPED = "skipped"  # never ran: the previous run was still open
    MISSED = "missed"  # never ran: nobody promoted it in time


OPEN_RUN = frozenset({RunStatus.QUEUED, RunStatus.WAITING, RunStatus.FROZEN, RunStatus.RUNNING})
ENDED_RUN = frozenset({RunStatus.COMPLETED, RunStatus.FAILED, RunStatus.CANCELLED})
NEVER_RAN = frozenset({RunStatus.SKIPPED, RunStatus.MISSED})


class Trigger(StrEnum):
    """Why a run exists."""

    SCHEDULE = "schedule"
    RETRY = "retry"
    TRIGGER = "trigger"


class EventType(StrEnum):
    """What the outbox tells of a job: the documents' seven, and ours."""

    SCHEDULED = "job.scheduled"
    STARTED = "job.started"
    COMPLETED = "job.completed"
    FAILED = "job.failed"
    CANCELLED = "job.cancelled"
    PAUSED = "job.paused"
    RESUMED = "job.resumed"
    RETRYING = "job.retrying"
    SKIPPED = "job.skipped"
    RESCHEDULED = "job.rescheduled"
    DELETED = "job.deleted"


# state → the states it may go to, semantics §1. `recurring only` cells are in RECURRING_ONLY.
TRANSITIONS: dict[JobStatus, frozenset[JobStatus]] = {
    JobStatus.SCHEDULED: frozenset(
        {JobStatus.QUEUED, JobStatus.CANCELLED, JobStatus.PAUSED, JobStatus.COMPLETED, JobStatus.FAILED}
    ),
    JobStatus.QUEUED: frozenset({JobStatus.RUNNING, JobStatus.SCHEDULED, JobStatus.CANCELLED, JobStatus.PAUSED}),
    JobStatus.RUNNING: frozenset(
        {
            JobStatus.COMPLETED,
            JobStatus.FAILED,
            JobStatus.SCHEDULED,
            JobStatus.QUEUED,
            JobStatus.CANCELLED,
            JobStatus.PAUSED,
        }
    ),
    JobStatus.COMPLETED: frozenset({JobStatus.QUEUED}),  # trigger
    JobStatus.FAILED: frozenset({JobStatus.QUEUED, JobStatus.SCHEDULED}),  # retry, trigger
    JobStatus.CANCELLED: frozenset(),
    JobStatus.PAUSED: frozenset(
        {
            JobStatus.SCHEDULED,
            JobStatus.QUEUED,
            JobStatus.RUNNING,  # resumed while the run that the pause let go on is still running
            JobStatus.COMPLETED,
            JobStatus.FAILED,
            JobStatus.CANCELLED,
        }
    ),
}


class Verb(StrEnum):
    """An intervention: somebody asks for it through the API, the admin or the command line."""

    CANCEL = "cancel"
    PAUSE = "pause"
    RESUME = "resume"
    RESCHEDULE = "reschedule"
    RETRY = "retry"
    TRIGGER = "trigger"
    DELETE = "delete"


_ALL = frozenset(JobStatus)

# verb → the states of a job it is allowed in, semantics §4. A verb may look closer (RETRY and
# TRIGGER want no open run, PAUSE and TRIGGER a recurring job); outside these states it is refused.
ALLOWED: dict[Verb, frozenset[JobStatus]] = {
    Verb.CANCEL: _ALL - FINAL,
    Verb.PAUSE: frozenset({JobStatus.SCHEDULED, JobStatus.QUEUED, JobStatus.RUNNING}),
    Verb.RESUME: frozenset({JobStatus.PAUSED}),
    Verb.RESCHEDULE: frozenset({JobStatus.SCHEDULED, JobStatus.QUEUED, JobStatus.PAUSED, JobStatus.RUNNING}),
    Verb.RETRY: frozenset({JobStatus.FAILED, JobStatus.SCHEDULED, JobStatus.PAUSED}),
    Verb.TRIGGER: _ALL - {JobStatus.CANCELLED, JobStatus.QUEUED, JobStatus.RUNNING},
    Verb.DELETE: _ALL,
}


def project(
    *,
    cancelled: bool,
    paused: bool,
    open_run: RunStatus | None,
    schedule_left: bool,
    last_run: RunStatus | None,
) -> JobStatus:
    """The status of a job, from what is true of it: cancelled > paused > running > queued >
    scheduled > final.

    `open_run` is the run whose turn it is (the oldest that has not ended), `schedule_left` whether
    an occurrence is still to come, `last_run` how the last run ended. The statements of
    `jobs.lifecycle.sql` say the same in SQL; a test holds the two together.
    """
    if cancelled:
        return JobStatus.CANCELLED
    if paused:
        return JobStatus.PAUSED
    if open_run is RunStatus.RUNNING:
        return JobStatus.RUNNING
    if open_run is RunStatus.QUEUED:
        return JobStatus.QUEUED
    if open_run is not None or schedule_left:
        return JobStatus.SCHEDULED
    return JobStatus.FAILED if last_run is RunStatus.FAILED else JobStatus.COMPLETED
