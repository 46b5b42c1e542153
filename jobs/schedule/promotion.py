"""What becomes of the occurrences that are due: which run, which were missed, when the next is.

Owns the misfire policies. Never looks at runs: whether an occurrence finds its place taken
(`overlap`) is seen by `jobs.lifecycle.promote`, under the job's lock.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from core.times import MICROSECOND
from jobs.schedule.model import Schedule
from jobs.schedule.occurrences import count_occurrences, due_at, latest_occurrence, next_occurrence

MOST_CAUGHT_UP = 1_000  # `misfire: all` runs no more than that many missed occurrences; older ones are missed
LEAST_GRACE = timedelta(seconds=1)  # a scheduler looks once a second: what it comes to within that was not missed
MOST_OPENED = 2  # a job has at most one run that is open and one that waits behind it


@dataclass(frozen=True, slots=True)
class Span:
    """Consecutive occurrences, told by the first, the last and their number."""

    first: datetime
    last: datetime
    count: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Plan:
    """What to do with the occurrences that are due, in the order of time: `missed`, `run`, `rest`.

    `missed` never run. `run` are to be opened, at most two; the first `late` of them were missed and are
    made up for, the others are simply due. `rest` are due as well but find no place in any case. All of
    them are before `next_run_at`, which may be due itself (`misfire: all` goes on with it later).
    """

    missed: Span | None = None
    run: tuple[datetime, ...] = ()
    late: int = 0
    rest: Span | None = None
    next_run_at: datetime | None = None


def plan_promotion(
    schedule: Schedule,
    *,
    next_run_at: datetime,
    now: datetime,
    room: int | None = None,
    job_id: UUID | None = None,
    at_once: bool = False,
) -> Plan:
    """Divide what is due at `now`: `next_run_at`, taken as it stands, and what follows it on the grid.

    With `room`, no more runs than that. `at_once`: also of `misfire: all` nothing is left for later, `rest` has it. An occurrence is missed when it is `misfire_grace` late or more
    (at least LEAST_GRACE); less is simply late. Costs the same however much was missed.
    """
    most = MOST_OPENED if room is None else min(room, MOST_OPENED)
    if not schedule.recurring:
        return Plan(run=(next_run_at,)[:most])
    grace = max(timedelta(milliseconds=schedule.misfire_grace), LEAST_GRACE)
    due = _Due(schedule, next_run_at, job_id)
    due_until = due.last_due(now)
    late_until = due.last_due(now - grace)
    late = due.count(late_until)
    kept = min({"once": 1, "skip": 0, "all": MOST_CAUGHT_UP}[schedule.misfire], late)
    missed: Span | None = None
    upcoming: datetime | None = next_run_at
    if late > kept:
        last = due.latest(late_until, nth=kept + 1)
        missed = Span(next_run_at, last, late - kept)
        upcoming = next_occurrence(schedule, after=last)
    run: list[datetime] = []
    while upcoming is not None and upcoming <= due_until and len(run) < most:
        run.append(upcoming)
        upcoming = next_occurrence(schedule, after=upcoming)
    rest: Span | None = None
    goes_on = schedule.misfire == "all" and not at_once and upcoming is not None and upcoming <= late_until
    if upcoming is not None and upcoming <= due_until and not goes_on:
        more = _Due(schedule, upcoming, job_id)
        rest = Span(upcoming, more.latest(due_until), more.count(due_until))
        upcoming = next_occurrence(schedule, after=rest.last)
    return Plan(missed=missed, run=tuple(run), late=min(kept, len(run)), rest=rest, next_run_at=upcoming)


def past_span(schedule: Schedule, *, next_run_at: datetime, until: datetime) -> Span | None:
    """All occurrences up to `until`, from `next_run_at` on; None where there is none."""
    due = _Due(schedule, next_run_at, None)
    count = due.count(until)
    return Span(next_run_at, due.latest(until), count) if count else None


@dataclass(frozen=True, slots=True)
class _Due:
    """The occurrences from `first` on, which need not be on the grid."""

    schedule: Schedule
    first: datetime
    job_id: UUID | None

    def count(self, until: datetime) -> int:
        if until < self.first:
            return 0
        return 1 + count_occurrences(self.schedule, after=self.first, until=until)

    def latest(self, until: datetime, nth: int = 1) -> datetime:
        """The `nth` latest up to `until`, which are at least so many."""
        return latest_occurrence(self.schedule, after=self.first, until=until, nth=nth) or self.first

    def last_due(self, now: datetime) -> datetime:
        """The time up to which (inclusive) occurrences were due at `now`.

        Jitter is at most half an interval: of what is nominally past, only the latest can be due later.
        """
        if not self.schedule.jitter or self.job_id is None or now < self.first:
            return now
        last = self.latest(now)
        return last - MICROSECOND if due_at(self.schedule, self.job_id, last) > now else now
