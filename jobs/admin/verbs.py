"""What can be asked of a job here, when it is offered, and the operation that does it.

`jobs.states.ALLOWED` says where a verb is legal; the operation has the last word, also against a
page that was opened a while ago. Never writes by itself.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from jobs.lifecycle.rows import open_among
from jobs.models import Execution, Job
from jobs.operations import interventions
from jobs.states import ALLOWED, JobStatus, RunStatus, Verb


@dataclass(frozen=True, kw_only=True, slots=True)
class Described:
    """A verb as buttons and sentences show it."""

    verb: Verb
    label: str
    done: str  # as in "12 cancelled"
    icon: str
    explained: str
    confirmed: bool = False  # asked again before it is done
    reason: str = ""  # the label of a text that may be given with it
    dangerous: bool = False


_DESCRIBED = {
    Verb.RETRY: Described(
        verb=Verb.RETRY, label="Retry", done="queued again", icon="replay", explained="The failed run once more, now."
    ),
    Verb.TRIGGER: Described(
        verb=Verb.TRIGGER,
        label="Trigger",
        done="triggered",
        icon="bolt",
        explained="One extra run now; the schedule is untouched.",
    ),
    Verb.RESUME: Described(
        verb=Verb.RESUME,
        label="Resume",
        done="resumed",
        icon="play_arrow",
        explained="Runs again from the next occurrence on.",
    ),
    Verb.PAUSE: Described(
        verb=Verb.PAUSE,
        label="Pause",
        done="paused",
        icon="pause",
        explained="No occurrence runs until it is resumed; a run that is going on finishes.",
    ),
    Verb.CANCEL: Described(
        verb=Verb.CANCEL,
        label="Cancel",
        done="cancelled",
        icon="cancel",
        explained="Stopped for good: a run that is going on is told to stop, and what it returns is discarded.",
        confirmed=True,
        reason="Reason (kept with the job)",
        dangerous=True,
    ),
    Verb.DELETE: Described(
        verb=Verb.DELETE,
        label="Delete",
        done="deleted",
        icon="delete",
        explained="The job and its history are gone. Its audit trail stays.",
        confirmed=True,
        dangerous=True,
    ),
}
OFFERED = tuple(_DESCRIBED)


def described(verb: Verb) -> Described:
    return _DESCRIBED[verb]


def label(verb: Verb) -> str:
    return _DESCRIBED[verb].label


def done(verb: Verb) -> str:
    return _DESCRIBED[verb].done


def offered(job: Job) -> list[Described]:
    """The verbs that make sense for the job as it is."""
    has_open_run = open_among(Execution.objects.filter(job_id=job.pk)).exists()
    return [described for verb, described in _DESCRIBED.items() if _makes_sense(verb, job, has_open_run)]


def _makes_sense(verb: Verb, job: Job, has_open_run: bool) -> bool:
    if JobStatus(job.status) not in ALLOWED[verb]:
        return False
    match verb:
        case Verb.PAUSE:
            return job.recurring
        case Verb.TRIGGER:
            return job.recurring and not has_open_run
        case Verb.RETRY:
            return job.last_run_status == RunStatus.FAILED and not has_open_run
    return True


def ask(verb: Verb, job_id: UUID, *, actor: str, reason: str = "") -> Any:
    """Do it, by the operation that the API calls too. Raises core.errors.ApiError."""
    return _OPERATIONS[verb](job_id, actor, reason)


_OPERATIONS: dict[Verb, Callable[[UUID, str, str], Any]] = {
    Verb.CANCEL: lambda job_id, actor, reason: interventions.cancel(job_id, reason=reason, actor=actor),
    Verb.PAUSE: lambda job_id, actor, reason: interventions.pause(job_id, actor=actor),
    Verb.RESUME: lambda job_id, actor, reason: interventions.resume(job_id, actor=actor),
    Verb.RETRY: lambda job_id, actor, reason: interventions.retry(job_id, actor=actor),
    Verb.TRIGGER: lambda job_id, actor, reason: interventions.trigger(job_id, actor=actor),
    Verb.DELETE: lambda job_id, actor, reason: interventions.delete(job_id, force=True, actor=actor),
}
