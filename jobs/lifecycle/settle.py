"""Settle: how attempts ended, written under the fence they were claimed with.

running → completed | failed (the run ends) or → waiting (a back-off; frozen under a pause).
An outcome whose run was cancelled, lost or settled before matches no row and is dropped.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import NamedTuple
from uuid import UUID

from django.db import connection, transaction

from core import failpoints
from core.clock import database_now
from core.times import to_ms
from jobs.lifecycle.rows import ATTEMPT_ERROR_CHARACTERS, ended_attempt, lock_jobs, move_job, move_run, open_runs, tell
from jobs.lifecycle.sql import dialect
from jobs.listening import Ears, ring
from jobs.models import Execution, Job
from jobs.states import EventType, RunStatus

_COMPLETED, _FAILED = str(RunStatus.COMPLETED), str(RunStatus.FAILED)
# In a JSON text: a backslash that is itself escaped, a whole surrogate pair, and what cannot be stored.
_ESCAPES = re.compile(r"\\\\|\\ud[89ab]..\\ud[c-f]..|(?P<unstorable>\\u0000|\\ud[89a-f]..)")
_UNSTORABLE = re.compile("[\0\ud800-\udfff]")
_ENCODER = json.JSONEncoder(default=str, allow_nan=False, separators=(",", ":"))


class Finished(NamedTuple):
    """The run ends with this attempt. `status` is completed or failed, `result` a JSON text.

    A tuple, as `Claim` is: one is made for every run, and a frozen dataclass costs ten times as much.
    """

    run_id: int
    job_id: UUID
    fence: int
    status: str
    result: str | None = None
    code: str = ""
    error: str = ""
    retryable: bool | None = None

    @property
    def key(self) -> int:
        return self.run_id

    def __str__(self) -> str:
        return f"run {self.run_id}"

    @classmethod
    def completed(cls, run_id: int, job_id: UUID, fence: int, result: str) -> Finished:
        return cls(run_id, job_id, fence, _COMPLETED, result)

    @classmethod
    def failed(
        cls,
        run_id: int,
        job_id: UUID,
        fence: int,
        *,
        code: str,
        error: str,
        retryable: bool,
        result: str | None = None,
    ) -> Finished:
        return cls(run_id, job_id, fence, _FAILED, result, code, error[:ATTEMPT_ERROR_CHARACTERS], retryable)


@dataclass(frozen=True, slots=True)
class Postponed:
    """The attempt failed and the run is tried again in `delay_ms`."""

    run_id: int
    job_id: UUID
    fence: int
    delay_ms: float
    code: str
    error: str

    @property
    def key(self) -> int:
        return self.run_id

    def __str__(self) -> str:
        return f"run {self.run_id}"


Settlement = Finished | Postponed


def settle(outcomes: Sequence[Settlement]) -> set[int]:
    """Record a batch of outcomes; the ids of the runs that were still held under their fence.

    Safe to repeat when a commit's answer was lost: a second time matches no row.
    Raises django.db.OperationalError when the database is away; nothing is recorded then.
    """
    finished = [outcome for outcome in outcomes if isinstance(outcome, Finished)]
    postponed = [outcome for outcome in outcomes if isinstance(outcome, Postponed)]
    failpoints.reach("settle:before")
    matched: set[int] = set()
    if finished:
        matched |= dialect(connection).finish(connection, finished)
        transaction.on_commit(ring)
    if postponed:
        matched |= _postpone(postponed)
    return matched


def _postpone(outcomes: Sequence[Postponed]) -> set[int]:
    """running → waiting with the time of the next attempt; the ended one goes into `attempts`."""
    matched: set[int] = set()
    with transaction.atomic():
        jobs = lock_jobs({outcome.job_id for outcome in outcomes})
        runs = open_runs(list(jobs))
        now, ears = database_now(), Ears()
        for outcome in outcomes:
            job = jobs.get(outcome.job_id)
            run = _held(runs.get(outcome.job_id, ()), outcome)
            if job is None or run is None or run.started_at is None:
                continue
            due = now + timedelta(milliseconds=outcome.delay_ms)
            move_run(
                run,
                held_back(job, run),
                due_at=due,
                owner_id=None,
                deadline_at=None,
                retry_count=run.retry_count + 1,
                code=outcome.code,
                error=outcome.error[:ATTEMPT_ERROR_CHARACTERS],
                retryable=True,
                attempts=[
                    *(run.attempts or ()),
                    {
                        **ended_attempt(
                            run,
                            "failed",
                            now_ms=to_ms(now),
                            started_ms=to_ms(run.started_at),
                            code=outcome.code,
                            error=outcome.error,
                        ),
                        "retryable": True,
                    },
                ],
            )
            move_job(
                job,
                "retry later",
                runs[job.pk],
                now=now,
                next_attempt_at=due,
                retry_count=run.retry_count,
                last_error=outcome.error[:ATTEMPT_ERROR_CHARACTERS],
            )
            again_at = None if run.status == RunStatus.FROZEN else due
            tell_retrying(ears, job, run, now=now, code=outcome.code, next_attempt_at=again_at)
            matched.add(run.pk)
    return matched


def held_back(job: Job, run: Execution) -> RunStatus:
    """Where a run goes that needs another attempt at a later time: a pause that came after the
    run was made freezes it; a run that was triggered during the pause goes on."""
    if job.paused_at is not None and run.created_at <= job.paused_at:
        return RunStatus.FROZEN
    return RunStatus.WAITING


def tell_retrying(
    ears: Ears, job: Job, run: Execution, *, now: datetime, code: str, next_attempt_at: datetime | None
) -> None:
    """An attempt ended and the run goes on with another one; at no time yet, where a pause holds it back."""
    again = {} if next_attempt_at is None else {"next_attempt_at": to_ms(next_attempt_at)}
    data = {"attempt": run.attempt, "code": code, **again}
    tell(ears, job, EventType.RETRYING, now=now, number=run.number, data=data)


def _held(runs: Sequence[Execution], outcome: Postponed) -> Execution | None:
    for run in runs:
        if run.pk == outcome.run_id and run.fence == outcome.fence and run.status == RunStatus.RUNNING:
            return run
    return None


def result_text(result: object) -> str:
    """A result as the JSON text that is stored; what JSON cannot say becomes its text.

    NUL and half a surrogate pair, which a database's JSON cannot hold, are written as the replacement character.
    """
    text = _ENCODER.encode(result)
    return _ESCAPES.sub(_storable_escape, text) if "\\u0000" in text or "\\ud" in text else text


def _storable_escape(found: re.Match[str]) -> str:
    return "\\ufffd" if found["unstorable"] else found[0]


def storable(text: str) -> str:
    """A text without what a database's text cannot hold: NUL and halves of surrogate pairs."""
    return _UNSTORABLE.sub("\ufffd", text)
