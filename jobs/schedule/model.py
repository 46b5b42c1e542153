"""The schedule of a job, as a value. Never validates: `parsing` does, before one is made."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

OVERLAPS = ("skip", "queue")
MISFIRES = ("once", "skip", "all")
DST_GAPS = ("shift", "skip")
DST_OVERLAPS = ("first", "both", "last")


@dataclass(frozen=True, kw_only=True, slots=True)
class Schedule:
    """When a job runs; `Schedule()` is "now". Times aware UTC, `every`, `misfire_grace`, `jitter` in ms.

    `anchor_at` is occurrence 0 of an `every`; None only without one.
    """

    start_at: datetime | None = None
    cron: str = ""
    every: int | None = None
    tz: str = "UTC"
    anchor_at: datetime | None = None
    limit: int | None = None
    end_date: datetime | None = None
    overlap: str = "skip"
    misfire: str = "once"
    misfire_grace: int = 60_000
    dst_gap: str = "shift"
    dst_overlap: str = "first"
    jitter: int = 0

    @property
    def recurring(self) -> bool:
        return bool(self.cron) or self.every is not None
