"""What becomes of the occurrences that are due: which run, which were missed, when the next is.

Owns the misfire policies. Never looks at runs: whether an occurrence finds its place taken
(`overlap`) is seen by `jobs.lifecycle.promote`, under the job's lock.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import NamedTuple
from uuid import UUID

from jobs.schedule.model import Schedule
from jobs.schedule.occurrences import (
    MICROSECOND,
    count_occurrences,
    due_at,
    latest_occurrence,
    next_occurrence,
)

MOST_CAUGHT_UP = 1_000  # `misfire: all` runs no more than that many missed occurrences; older ones are missed
MOST_OPENED = 2  # a job has at most one run that is open and one that waits behind it


class Span(NamedTuple):
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
) -> Plan:
    """Divide what is due at `now`, from `next_run_at` on. With `room`, no more runs than that.

    An occurrence is missed when it is `misfire_grace` late or more; less is simply late. Costs the same
    however much was missed.
    """
    most = MOST_OPENED if room is None else min(room, MOST_OPENED)
    if not schedule.recurring:
        return Plan(run=(next_run_at,)[:most])
    grace = timedelta(milliseconds=schedule.misfire_grace)
    if now - next_run_at < grace:  # the usual case: nothing is late
        late_until = next_run_at - MICROSECOND
    else:
        late_until = _last_due(schedule, next_run_at, now - grace, job_id)
    due_until = _last_due(schedule, next_run_at, now, job_id)
    before = next_run_at - MICROSECOND
    late = count_occurrences(schedule, after=before, until=late_until) if late_until > before else 0
    kept = min({"once": 1, "skip": 0, "all": MOST_CAUGHT_UP}[schedule.misfire], late)
    missed: Span | None = None
    start = before
    if late > kept:
        last = latest_occurrence(schedule, after=before, until=late_until, nth=kept + 1)
        assert last is not None  # there are more than `kept`
        missed, start = Span(next_run_at, last, late - kept), last
    run: list[datetime] = []
    upcoming = next_occurrence(schedule, after=start)
    while upcoming is not None and upcoming <= due_until and len(run) < most:
        run.append(upcoming)
        upcoming = next_occurrence(schedule, after=upcoming)
    if upcoming is None or upcoming > due_until or (schedule.misfire == "all" and upcoming <= late_until):
        return Plan(missed=missed, run=tuple(run), late=min(kept, len(run)), next_run_at=upcoming)
    last = latest_occurrence(schedule, after=upcoming - MICROSECOND, until=due_until)
    assert last is not None  # `upcoming` at least
    rest = Span(upcoming, last, count_occurrences(schedule, after=upcoming - MICROSECOND, until=last))
    return Plan(
        missed=missed,
        run=tuple(run),
        late=min(kept, len(run)),
        rest=rest,
        next_run_at=next_occurrence(schedule, after=last),
    )


def _last_due(schedule: Schedule, first: datetime, until: datetime, job_id: UUID | None) -> datetime:
    """The time up to which (inclusive) occurrences from `first` on were due at `until`.

    Jitter is at most half an interval: of what is nominally before `until`, only the latest can be
    due later.
    """
    if not schedule.jitter or job_id is None:
        return until
    last = latest_occurrence(schedule, after=first - MICROSECOND, until=until)
    if last is not None and due_at(schedule, job_id, last) > until:
        return last - MICROSECOND
    return until
