"""The steps that a run has recorded, as its history shows them. Reads what is there, queries nothing."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from core.backoffice.words import NOTHING, moment, pretty, span_ms
from core.times import from_ms
from jobs.lifecycle.steps import CACHED
from jobs.models import Execution

LONGEST_OUTPUT = 2_000  # characters of a step's output; a run may have hundreds of steps
_COLUMNS = frozenset({"step", "status", "attempts", "started_at", "completed_at", "code", "error", "output"})


@dataclass(frozen=True, slots=True)
class ShownStep:
    """One step. What an executor keeps besides what the columns show stands with its output."""

    name: str  # `outer/inner` of a feature within a feature
    status: str
    attempts: str
    started: Any
    took: str
    code: str
    error: str
    output: str


def steps_of(run: Execution, *, now: datetime, zone_name: str) -> list[ShownStep]:
    """In the order in which each was first recorded."""
    return [_shown(entry, now, zone_name) for entry in run.steps or () if entry["step"] != CACHED]


def summary(steps: list[ShownStep]) -> str:
    """`3 steps: 2 completed, 1 failed`."""
    counted = Counter(step.status for step in steps if step.status)
    said = ", ".join(f"{count} {status}" for status, count in counted.items())
    return f"{len(steps)} step{'s' if len(steps) != 1 else ''}" + (f": {said}" if said else "")


def _shown(entry: dict[str, Any], now: datetime, zone_name: str) -> ShownStep:
    began, ended = entry.get("started_at"), entry.get("completed_at")
    kept = entry.get("output", {name: value for name, value in entry.items() if name not in _COLUMNS} or None)
    return ShownStep(
        name=str(entry["step"]),
        status=str(entry.get("status", "")),
        attempts=str(entry.get("attempts", "")),
        started=moment(from_ms(began), now=now, zone_name=zone_name) if began is not None else NOTHING,
        took=span_ms(max(0, ended - began)) if began is not None and ended is not None else NOTHING,
        code=str(entry.get("code") or ""),
        error=str(entry.get("error") or ""),
        output=pretty(kept, longest=LONGEST_OUTPUT) if kept is not None else "",
    )
