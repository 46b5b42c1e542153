"""What `run_due` tells of each attempt that it made."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal


@dataclass(frozen=True, kw_only=True, slots=True)
class Ran:
    """One attempt of a run. `retrying`: it failed, and the run waits for its next attempt; `cancelled`: its outcome
    does not count, since the job was cancelled while it was made."""

    job_id: str  # "job_…"
    namespace: str
    target: Mapping[str, str]
    number: int  # of the run
    attempt: int
    scheduled_at: datetime  # the occurrence; aware UTC, to the millisecond
    at: datetime  # when it was made, by the moved clock
    status: Literal["completed", "failed", "retrying", "cancelled"]
    result: Any = None  # of what completed
    code: str = ""  # of what did not
    error: str = ""
