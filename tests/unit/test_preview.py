"""What a schedule is told to mean before it exists: occurrences, a sentence, notes where the clock changes."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from jobs.schedule import Preview, Schedule, describe, first_occurrence, next_occurrence, parse_schedule, preview

NOW = datetime(2027, 1, 1, tzinfo=UTC)
MICROSECOND = timedelta(microseconds=1)


def shown(data: dict[str, Any], *, count: int = 100, now: datetime = NOW) -> Preview:
    schedule = parse_schedule(data, now=now)
    first = first_occurrence(schedule, now=now)
    assert first is not None
    return preview(schedule, count=count, after=first - MICROSECOND)


def year(tz: str, cron: str, **policies: str) -> tuple[list[str], list[str]]:
    """(local times that are not as the cron reads, notes), over 2027."""
    schedule = parse_schedule({"cron": cron, "tz": tz, **policies}, now=NOW)
    end = datetime(2028, 1, 1, tzinfo=UTC)
    odd: list[str] = []
    notes: list[str] = []
    after = NOW
    wanted = "{1:0>2}:{0:0>2}".format(*cron.split()[:2])
    seen: set[str] = set()
    while after < end:
        told = preview(schedule, count=100, after=after)
        for at, local in zip(told.occurrences, told.local, strict=True):
            if at < end and (local[11:16] != wanted or local[:16] in seen):
                odd.append(local)
            seen.add(local[:16])
        notes += [note for note in told.notes if note not in notes]
        after = told.occurrences[-1]
    return odd, [note for note in notes if note.startswith("2027")]


def test_a_daily_half_past_two_in_new_york_runs_once_on_the_day_that_has_none() -> None:
    assert year("America/New_York", "30 2 * * *") == (
        ["2027-03-14T03:00:00-04:00"],
        ["2027-03-14 02:30 does not exist in America/New_York: runs at 03:00"],
    )


def test_with_dst_gap_skip_that_day_has_no_run() -> None:
    odd, notes = year("America/New_York", "30 2 * * *", dst_gap="skip")
    assert (odd, notes) == ([], ["2027-03-14 02:30 does not exist in America/New_York: it does not run"])


@pytest.mark.parametrize(
    ("policy", "odd", "note"),
    [
        ("first", [], "runs at the first"),
        ("last", [], "runs at the last"),
        ("both", ["2027-11-07T01:30:00-05:00"], "runs both times"),
    ],
)
def test_a_daily_half_past_one_meets_its_time_twice_in_autumn(policy: str, odd: list[str], note: str) -> None:
    assert year("America/New_York", "30 1 * * *", dst_overlap=policy) == (
        odd,
        [f"2027-11-07 01:30 happens twice in America/New_York: {note}"],
    )


def test_lord_howe_moves_its_clock_by_half_an_hour() -> None:
    assert year("Australia/Lord_Howe", "15 2 * * *") == (
        ["2027-10-03T02:30:00+11:00"],
        ["2027-10-03 02:15 does not exist in Australia/Lord_Howe: runs at 02:30"],
    )


def test_several_times_in_one_gap_are_one_run() -> None:
    told = shown({"cron": "0,15,30,45 2 * * *", "tz": "America/New_York", "start_at": "2027-03-14T00:00:00"}, count=2)
    assert told.local == ("2027-03-14T03:00:00-04:00", "2027-03-15T02:00:00-04:00")
    assert told.notes == (
        "2027-03-14 02:00, 02:15, 02:30 and more do not exist in America/New_York: run once at 03:00",
    )


def test_a_wildcard_runs_in_both_hours_of_an_overlap_and_only_on_times_that_exist() -> None:
    autumn = shown({"cron": "*/30 * * * *", "tz": "America/New_York", "start_at": "2027-11-07T01:00:00"}, count=5)
    assert autumn.local == (
        "2027-11-07T01:00:00-04:00",
        "2027-11-07T01:30:00-04:00",
        "2027-11-07T01:00:00-05:00",
        "2027-11-07T01:30:00-05:00",
        "2027-11-07T02:00:00-05:00",
    )
    spring = shown({"cron": "*/30 * * * *", "tz": "America/New_York", "start_at": "2027-03-14T01:30:00"}, count=2)
    assert spring.local == ("2027-03-14T01:30:00-05:00", "2027-03-14T03:00:00-04:00")


def test_a_day_that_a_zone_left_out_is_passed_over() -> None:
    """Apia went from 29 to 31 December 2011."""
    schedule = Schedule(cron="0 12 * * *", tz="Pacific/Apia")
    found = next_occurrence(schedule, after=datetime(2011, 12, 29, 22, 1, tzinfo=UTC))
    assert found == datetime(2011, 12, 30, 10, tzinfo=UTC)  # noon of the 30th fell into the gap: midnight of the 31st


@pytest.mark.parametrize(
    ("data", "sentence"),
    [
        ({"cron": "0 9 * * MON-FRI"}, "At 09:00, Monday through Friday"),
        ({"cron": "@daily", "tz": "Europe/Berlin"}, "At 00:00 (Europe/Berlin)"),
        ({"cron": "30 0 9 * * *"}, "At 09:00:30"),
        ({"cron": "0 0 L * *"}, "At 00:00, on the last day of the month"),
        ({"cron": "0 9 15W * *"}, "At 09:00, on the weekday nearest day 15 of the month"),
        ({"cron": "0 9 * * 5#2"}, "At 09:00, on the second Friday of the month"),
        ({"cron": "0 0 13 * FRI"}, "At 00:00, on day 13 of the month or on every Friday"),
        ({"every": 7_200_000}, "Every 2 hours"),
        ({"every": 90_000}, "Every 90 seconds"),
        ({"every": 86_400_000}, "Every day"),
        ({}, "Once"),
    ],
)
def test_a_schedule_is_told_as_a_sentence(data: dict[str, Any], sentence: str) -> None:
    assert describe(parse_schedule(data, now=NOW)) == sentence


def test_limit_and_end_date_end_the_preview_exactly() -> None:
    assert len(shown({"every": 60_000, "limit": 3}).occurrences) == 3
    ended = shown({"every": 60_000, "endDate": "2027-01-01T00:02:00Z"})
    assert ended.local == ("2027-01-01T00:00:00+00:00", "2027-01-01T00:01:00+00:00", "2027-01-01T00:02:00+00:00")
