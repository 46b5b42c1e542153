"""WHAT runs, WHEN, and its history. Rows only: every change of a status is in `jobs.lifecycle`.

`Job` is what the caller sees, `Execution` one run of it, `Worker` a process that claims runs,
`JobEvent` the outbox and audit trail. The constraints hold for any writer, also a shell.
"""

from jobs.models.counted import RunSlot, RunTally, TallyPosition
from jobs.models.definition import JobDefinition
from jobs.models.execution import Execution
from jobs.models.hold import Hold
from jobs.models.job import RARE_STATUSES, Job
from jobs.models.outbox import INTERVENTIONS, JobEvent, Listener
from jobs.models.processes import Chore, Scheduler, Worker
from jobs.models.requests import IdempotencyKey, Operation

__all__ = [
    "INTERVENTIONS",
    "RARE_STATUSES",
    "Chore",
    "Execution",
    "Hold",
    "IdempotencyKey",
    "Job",
    "JobDefinition",
    "JobEvent",
    "Listener",
    "Operation",
    "RunSlot",
    "RunTally",
    "Scheduler",
    "TallyPosition",
    "Worker",
]
