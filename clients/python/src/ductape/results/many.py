"""What the …-many calls answer."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from ductape.reading import Result


@dataclass(frozen=True, kw_only=True)
class Skipped(Result):
    """A job that was passed over for another reason than its state."""

    job_id: str
    code: str
    detail: str


@dataclass(frozen=True, kw_only=True)
class ManyResult(Result):
    """How many jobs did it. Of a call that goes on in the background `operation_id`, and no counts yet."""

    count: int | None = None
    skipped: int | None = None
    errors: tuple[Skipped, ...] = ()
    pause_id: str | None = None
    operation_id: str | None = None


@dataclass(frozen=True, kw_only=True)
class Operation(Result):
    """A call over many jobs in the background, and how far it is. `total` is None until they are counted."""

    id: str
    verb: str
    dry_run: bool
    status: Literal["running", "completed", "aborted"]
    total: int | None
    done: int
    count: int
    skipped: int
    errors: tuple[Skipped, ...]
    created_at: datetime
    finished_at: datetime | None = None
    pause_id: str | None = None
