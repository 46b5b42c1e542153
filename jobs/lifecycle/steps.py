"""What a run has done already, kept on its row under the fence of the attempt that did it."""

from __future__ import annotations

import json
from typing import Any

from jobs.models import Execution
from jobs.states import RunStatus

CACHED = "$cache"  # no step of a feature is named so: the run was answered from a cache
MOST_BYTES = 8 * 1024 * 1024  # of all steps of one run


class TooMuch(Exception):
    """The steps of one run would be longer than MOST_BYTES together."""


def read_steps(run_id: int) -> dict[str, Any]:
    """The recorded steps of a run by name, in the order in which each was first recorded."""
    found = Execution.objects.filter(pk=run_id).values_list("steps", flat=True).first() or []
    return {entry["step"]: {name: value for name, value in entry.items() if name != "step"} for entry in found}


def was_cancelled(run_id: int) -> bool:
    """Whether the run is over because somebody cancelled it."""
    return Execution.objects.filter(pk=run_id, status=RunStatus.CANCELLED).exists()


def record_step(run_id: int, fence: int, name: str, value: str) -> bool:
    """Keep a step (`value`: a JSON object as text), in place of one of that name. False: the run is not held
    under that fence any more. Raises TooMuch.

    A run is recorded by one attempt at a time, which its fence makes sure of: what was read is still so.
    """
    held = Execution.objects.filter(pk=run_id, fence=fence, status=RunStatus.RUNNING)
    found = held.values_list("steps", flat=True).first()
    if found is None and not held.exists():
        return False
    entry = {"step": name, **json.loads(value)}
    steps = list(found or [])
    at = next((position for position, each in enumerate(steps) if each["step"] == name), None)
    if at is None:
        steps.append(entry)
    else:
        steps[at] = entry
    if len(json.dumps(steps)) > MOST_BYTES:
        raise TooMuch(f"the steps of one run may hold {MOST_BYTES} bytes together")
    return bool(held.update(steps=steps))
