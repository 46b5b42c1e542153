"""The clock of the process moved forward, and what schedulers and workers do meanwhile."""

from __future__ import annotations

from contextlib import ExitStack
from datetime import datetime, timedelta
from typing import Any

from core.clock import database_now, shift
from jobs.lifecycle.claim import claim
from jobs.lifecycle.promote import SEQUENCE_LOOK, promote_due
from jobs.lifecycle.settle import Finished, settle
from jobs.models import Job
from tests.conformance.world import claim_one, complete, new_job, runs_of, worker

MINUTE, HOUR, DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)
LOOK = SEQUENCE_LOOK + timedelta(milliseconds=50)


class Time:
    """The clock of this process, moved forward only."""

    def __init__(self, stack: ExitStack) -> None:
        self._stack = stack

    def pass_(self, by: timedelta) -> None:
        self._stack.enter_context(shift(by))

    def to(self, moment: datetime) -> None:
        self.pass_(moment - database_now())


def promote_all() -> None:
    while promote_due().full:
        pass


def history(job: Job) -> list[tuple[str, int]]:
    return [(run.status, run.count) for run in runs_of(job)]


def run_through(time: Time, limit: int = 10_000) -> int:
    """Claim and complete whatever is queued, promoting in between, until nothing is."""
    done, owner = 0, worker()
    while done < limit:
        taken = claim(owner, "default", 100)
        if not taken:
            time.pass_(LOOK)  # `misfire: all` looks again a moment later
            promote_all()
            taken = claim(owner, "default", 100)
            if not taken:
                return done
        settle([Finished.completed(one.run_id, one.job_id, one.fence, "{}") for one in taken])
        done += len(taken)
    return done


def down_for(time: Time, by: timedelta, **schedule: Any) -> Job:
    """A job every minute whose scheduler was away: its first run is done, then `by` passes."""
    job = new_job({"every": 60_000, **schedule})
    complete(claim_one(job))
    time.pass_(by)
    return job
