"""What an explanation is made of: the reasons there are, the facts that decide, the answer.

Owns the names of reasons; `docs/explain.md` says what each means. Decides nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from core.times import later
from jobs.models import Execution, Hold, Job

MILLISECOND = timedelta(milliseconds=1)  # what the API can ask for: everything within it is that moment


class Reason(StrEnum):
    """Why a job ran, waits or did not run at a moment."""

    # A run.
    RAN = "ran"
    RUNNING = "running"
    BETWEEN_ATTEMPTS = "between_attempts"
    WAITED_TO_BEGIN = "waited_to_begin"

    # A run that waits now.
    HELD = "held"
    PREVIOUS_RUN = "previous_run_open"
    CONCURRENCY = "concurrency_limit"
    NO_WORKER = "no_worker"
    WORKER = "waits_for_worker"
    BACKOFF = "backoff"
    DELAYED = "delayed"

    # An occurrence that is to come, or is due and no run yet.
    SCHEDULED = "scheduled"
    JITTER = "jitter"
    NO_SCHEDULER = "no_scheduler"
    NOT_OPENED = "not_opened_yet"

    # One that never ran.
    SKIPPED_RUNNING = "skipped_previous_running"
    SKIPPED_LOST = "skipped_previous_lost"
    SKIPPED_HELD = "skipped_held"
    MISSED = "missed"
    MISSED_PAUSED = "missed_paused"
    MISSED_RESCHEDULED = "missed_rescheduled"
    PAUSED = "paused"
    CANCELLED = "cancelled"
    LIMIT = "limit_reached"
    AFTER_END = "after_end_date"
    DST_GAP = "dst_gap"
    DST_OVERLAP = "dst_overlap"

    # No occurrence at all.
    BEFORE_CREATION = "before_creation"
    BEFORE_START = "before_start"
    ENDED = "ended"
    NOT_AN_OCCURRENCE = "not_an_occurrence"

    NOT_KNOWN = "not_known"


@dataclass(frozen=True, kw_only=True, slots=True)
class Intervention:
    """A pause, resume, reschedule or cancel that the outbox still tells of."""

    type: str
    at: datetime
    actor: str
    note: str
    paused: bool  # the job, after it


@dataclass(frozen=True, kw_only=True, slots=True)
class Load:
    """What keeps queued runs from beginning, and occurrences from becoming runs, now."""

    hold: Hold | None  # that covers the job
    key_in_use: int  # running runs of its concurrency key
    served: bool  # a worker takes from its queue
    scheduler: bool  # one was seen lately


@dataclass(frozen=True, kw_only=True, slots=True)
class Facts:
    """All that is known of a job and a moment; rows as they are stored.

    The moment is `[at, at + 1 ms)`; `current`: none was asked for, `at` is now.
    """

    job: Job
    at: datetime
    now: datetime
    current: bool
    row: Execution | None  # of the very moment
    latest: Execution | None  # of the schedule, the latest at or before the moment: its span may cover it
    begun: Execution | None  # the latest run that had begun
    following: Execution | None  # the run after that
    runs_complete: bool  # no run that could have been there is gone
    open: Sequence[Execution]  # now, oldest first
    dropped: Sequence[Execution]  # cancelled before they began
    opened_last: Execution | None  # the latest occurrence that became a run
    events_since: datetime  # from here on every event of the job is there
    paused_before: bool  # whether it was paused when these begin
    interventions: Sequence[Intervention]  # oldest first
    load: Load

    @property
    def until(self) -> datetime:
        return later(self.at, MILLISECOND)


@dataclass(frozen=True, kw_only=True, slots=True)
class Explanation:
    """The answer. What has no meaning for its reason is None."""

    reason: Reason
    sentence: str
    occurrence: datetime | None = None  # that it speaks of
    run: Execution | None = None
    since: datetime | None = None  # from when the reason holds
    until: datetime | None = None  # till when
    note: str = ""  # what the person said who paused, held or cancelled
    by: str = ""  # who that was
    hold: Hold | None = None
    previous: datetime | None = None  # occurrences around the moment
    next: datetime | None = None
    instead: datetime | None = None  # the moment that ran in its place
