"""Properties of every schedule: time goes forward, nothing is lost between two calls, counts agree."""

from __future__ import annotations

from bisect import bisect_right
from datetime import UTC, datetime, timedelta
from itertools import islice, pairwise

from croniter import croniter
from hypothesis import given, settings
from hypothesis import strategies as st

from core.times import EPOCH
from jobs.cron import parse_cron
from jobs.schedule import Schedule, next_occurrence, plan_promotion, preview
from jobs.schedule.occurrences import count_occurrences, latest_occurrence, occurrences

CRONS = [
    "30 2 * * *", "0,15,30,45 2 * * *", "59 1,2,3 * * *", "*/20 1-3 * * *", "0 0 * * *", "15 0,3 * * SUN",
    "59 59 1 * * *", "*/7 30 2 * * *", "0 12 L * *", "30 2 1-7 * MON",
]  # fmt: skip
ZONES = ["America/New_York", "Europe/Berlin", "Australia/Lord_Howe", "Africa/Casablanca", "Asia/Kolkata", "UTC"]
SCHEDULES = st.builds(
    Schedule,
    cron=st.sampled_from(CRONS),
    tz=st.sampled_from(ZONES),
    dst_gap=st.sampled_from(["shift", "skip"]),
    dst_overlap=st.sampled_from(["first", "both", "last"]),
)
# Around the changes of 2027 in those zones, to the second.
CHANGES = [
    datetime(2027, 3, 14, 7, tzinfo=UTC), datetime(2027, 11, 7, 6, tzinfo=UTC), datetime(2027, 3, 28, 1, tzinfo=UTC),
    datetime(2027, 10, 31, 1, tzinfo=UTC), datetime(2027, 4, 3, 15, tzinfo=UTC), datetime(2027, 10, 2, 15, 30, tzinfo=UTC),
    datetime(2027, 1, 1, tzinfo=UTC),
]  # fmt: skip
MOMENTS = st.builds(
    lambda change, seconds: change + timedelta(seconds=seconds),
    st.sampled_from(CHANGES),
    st.integers(-4000, 4000) | st.integers(-90_000, 90_000),
)


@settings(max_examples=300, deadline=None)
@given(schedule=SCHEDULES, change=st.sampled_from(CHANGES), after=MOMENTS)
def test_nothing_is_lost_between_two_calls(schedule: Schedule, change: datetime, after: datetime) -> None:
    """Wherever one begins to look, one sees the same grid."""
    begin = after - timedelta(days=9)
    grid = list(occurrences(schedule, after=begin, until=after + timedelta(days=9)))
    assert all(left < right for left, right in pairwise(grid))
    index = bisect_right(grid, after)
    if index < len(grid):
        assert next_occurrence(schedule, after=after) == grid[index]
    assert count_occurrences(schedule, after=begin, until=after) == index
    if index:
        assert latest_occurrence(schedule, after=begin, until=after) == grid[index - 1]


@settings(max_examples=200, deadline=None)
@given(
    every=st.integers(100, 10**9),
    start=MOMENTS,
    after=MOMENTS,
    length=st.integers(0, 50),
)
def test_an_interval_is_anchored_and_never_drifts(every: int, start: datetime, after: datetime, length: int) -> None:
    schedule = Schedule(every=every, anchor_at=start, start_at=start)
    step = timedelta(milliseconds=every)
    for found in islice(occurrences(schedule, after=after), length):
        assert found >= start
        assert (found - start) % step == timedelta(0)
    first = next_occurrence(schedule, after=after)
    assert first is not None
    assert first > after
    assert first == start or first - step <= after


@settings(max_examples=150, deadline=None)
@given(schedule=SCHEDULES, after=MOMENTS, count=st.integers(1, 20))
def test_the_preview_is_what_then_is_promoted(schedule: Schedule, after: datetime, count: int) -> None:
    told = preview(schedule, count=count, after=after).occurrences
    upcoming: datetime | None = told[0]
    ran: list[datetime] = []
    while upcoming is not None and len(ran) < count:
        plan = plan_promotion(schedule, next_run_at=upcoming, now=upcoming)
        assert plan.missed is None
        ran += plan.run
        upcoming = plan.next_run_at
    assert tuple(ran) == told


@settings(max_examples=200, deadline=None)
@given(schedule=SCHEDULES, after=MOMENTS, ends=st.integers(0, 40))
def test_the_end_date_is_inclusive_to_the_second(schedule: Schedule, after: datetime, ends: int) -> None:
    grid = list(islice(occurrences(schedule, after=after), ends + 1))
    last = grid[-1]
    ended = Schedule(
        cron=schedule.cron, tz=schedule.tz, dst_gap=schedule.dst_gap, dst_overlap=schedule.dst_overlap, end_date=last
    )
    assert list(occurrences(ended, after=after)) == grid
    before = Schedule(
        cron=schedule.cron,
        tz=schedule.tz,
        dst_gap=schedule.dst_gap,
        dst_overlap=schedule.dst_overlap,
        end_date=last - timedelta(seconds=1),
    )
    assert list(occurrences(before, after=after)) == grid[:-1]


@settings(max_examples=200, deadline=None)
@given(
    cron=st.sampled_from(
        ["30 2 * * *", "*/20 1-3 * * *", "15 0,3 * * SUN", "0 0 1,15 * *", "0 12 29 2 *", "7 */5 * 3,9 *"]
    ),
    at=st.datetimes(datetime(2020, 1, 1), datetime(2040, 1, 1)),
)
def test_clock_readings_are_those_of_croniter(cron: str, at: datetime) -> None:
    """croniter on naive datetimes: no zone, so nothing but the fields."""
    at = at.replace(microsecond=0)
    reading = parse_cron(cron).next_reading(int((at.replace(tzinfo=UTC) - EPOCH).total_seconds()) + 1)
    assert reading is not None
    assert (EPOCH + timedelta(seconds=reading)).replace(tzinfo=None) == croniter(cron, at).get_next(datetime)
