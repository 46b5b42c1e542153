"""Pieces of the sentences of explanations: moments, durations, people."""

from __future__ import annotations

from datetime import datetime, timedelta

from core.times import to_ms
from core.zones import zone
from jobs.models import Execution, Job
from jobs.schedule.preview import describe_interval
from jobs.states import RunStatus

_ENDS = {RunStatus.COMPLETED: "completed", RunStatus.FAILED: "failed", RunStatus.CANCELLED: "was cancelled"}


def when(job: Job, moment: datetime) -> str:
    """2026-03-08 03:00:00 America/New_York, with milliseconds where there are any, and with its offset where the clock
    shows that reading twice."""
    local = moment.astimezone(zone(job.tz))
    milliseconds = to_ms(moment) % 1000
    twice = local.utcoffset() != local.replace(fold=1 - local.fold).utcoffset()
    offset = local.isoformat()[-6:] if twice else ""
    return f"{local:%Y-%m-%d %H:%M:%S}{f'.{milliseconds:03}' if milliseconds else ''}{offset} {job.tz}"


def named(run: Execution) -> str:
    """Run 3; what never began has no number."""
    return f"run {run.number}" if run.number is not None else "the run"


def capital(text: str) -> str:
    return text[:1].upper() + text[1:]


def ending(run: Execution) -> str:
    """completed | failed (TIMEOUT) | was cancelled"""
    told = _ENDS.get(RunStatus(run.status), "has not ended")
    return f"{told} ({run.code})" if run.status == RunStatus.FAILED and run.code else told


def lateness(by: timedelta) -> str:
    milliseconds = by // timedelta(milliseconds=1)
    if milliseconds >= 10_000:
        milliseconds -= milliseconds % 1000
    return describe_interval(milliseconds)


def noted(by: str, note: str) -> str:
    """by ann, with the note "maintenance" """
    return (f" by {by}" if by else "") + (f', with the note "{note}"' if note else "")


def because(by: str, reason: str) -> str:
    return (f" by {by}" if by else "") + (f': "{reason}"' if reason else "")
