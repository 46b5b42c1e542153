"""A schedule as it is given: what each spelling means, and that every contradiction is told at once."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from core.errors import Invalid
from jobs.schedule import Schedule, first_occurrence, parse_schedule

NOW = datetime(2027, 1, 1, 12, tzinfo=UTC)


def wrong(schedule: dict[str, Any]) -> list[str]:
    with pytest.raises(Invalid) as refused:
        parse_schedule(schedule, now=NOW)
    return [error.field for error in refused.value.errors]


@pytest.mark.parametrize("given", [None, {}, {"cron": None, "every": None, "limit": None, "tz": None}])
def test_no_schedule_and_one_of_nulls_run_now(given: dict[str, Any] | None) -> None:
    schedule = parse_schedule(given, now=NOW)
    assert schedule == Schedule()
    assert first_occurrence(schedule, now=NOW) == NOW


@pytest.mark.parametrize("start_at", [0, 1_000, "2026-12-31T00:00:00Z", "2027-01-01T12:00:00Z"])
def test_a_start_that_is_now_or_past_runs_now(start_at: Any) -> None:
    assert first_occurrence(parse_schedule({"start_at": start_at}, now=NOW), now=NOW) == NOW


def test_a_naive_time_is_one_of_the_zone() -> None:
    given = {"cron": "0 9 * * *", "tz": "Asia/Tokyo", "start_at": "2027-02-01T00:00", "endDate": "2027-02-02T09:00"}
    schedule = parse_schedule(given, now=NOW)
    assert schedule.start_at == datetime(2027, 1, 31, 15, tzinfo=UTC)
    assert schedule.end_date == datetime(2027, 2, 2, tzinfo=UTC)


def test_both_spellings_of_a_name_mean_the_same() -> None:
    end = "2028-01-01T00:00:00Z"
    one = parse_schedule({"cron": "0 9 * * *", "timezone": "Europe/Berlin", "end_date": end}, now=NOW)
    assert one == parse_schedule({"cron": "0 9 * * *", "tz": "Europe/Berlin", "endDate": end}, now=NOW)


def test_an_interval_is_anchored_at_its_start_or_at_the_dispatch_to_the_millisecond() -> None:
    later = NOW + timedelta(hours=1, microseconds=1_999)
    assert parse_schedule({"every": 60_000}, now=later).anchor_at == NOW + timedelta(hours=1, milliseconds=1)
    start = NOW + timedelta(days=1)
    assert parse_schedule({"every": 60_000, "start_at": start.isoformat()}, now=NOW).anchor_at == start


def test_a_cron_begins_at_its_first_match_at_or_after_the_start() -> None:
    schedule = parse_schedule({"cron": "0 9 * * *", "start_at": "2027-03-01T09:00:00Z"}, now=NOW)
    assert first_occurrence(schedule, now=NOW) == datetime(2027, 3, 1, 9, tzinfo=UTC)


def test_every_contradiction_is_told_not_only_the_first() -> None:
    given = {"cron": "0 9 * *", "every": 5, "limit": 0, "tz": "Mars/Base", "jitter": -1, "overlap": "allow"}
    assert set(wrong(given)) == {
        "schedule.cron",
        "schedule.every",
        "schedule.limit",
        "schedule.tz",
        "schedule.jitter",
        "schedule.overlap",
    }


@pytest.mark.parametrize("cron", ["0 0 30 2 *", "0 0 31 2,4,6,9,11 *", "0 0 */28 2 MON#5"])
def test_a_cron_with_nothing_in_eight_years_is_refused(cron: str) -> None:
    assert wrong({"cron": cron}) == ["schedule.cron"]


def test_the_next_leap_day_is_near_enough() -> None:
    schedule = parse_schedule({"cron": "0 0 29 2 *"}, now=NOW)
    assert first_occurrence(schedule, now=NOW) == datetime(2028, 2, 29, tzinfo=UTC)


def test_an_end_at_exactly_the_first_occurrence_is_accepted_and_a_millisecond_before_is_not() -> None:
    parse_schedule({"cron": "0 9 * * *", "endDate": "2027-01-02T09:00:00Z"}, now=NOW)
    assert wrong({"cron": "0 9 * * *", "endDate": "2027-01-02T08:59:59.999Z"}) == ["schedule.endDate"]


@pytest.mark.parametrize(
    ("name", "value"),
    [("every", True), ("every", 100.5), ("limit", "3"), ("limit", 1.5), ("misfire_grace", -1), ("cron", ["0 9 * * *"]),
     ("tz", 5), ("start_at", {}), ("overlap", None.__class__), ("dst_gap", ["skip"]), ("misfire", {})],
)  # fmt: skip
def test_a_value_of_another_type_is_told_by_its_field(name: str, value: Any) -> None:
    assert wrong({"cron": "0 9 * * *", name: value} if name != "every" else {name: value}) == [f"schedule.{name}"]


@pytest.mark.parametrize("given", [[], "0 9 * * *", 5, True])
def test_what_is_no_object_is_refused(given: Any) -> None:
    assert wrong(given) == ["schedule"]
