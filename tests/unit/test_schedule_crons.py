"""The cron dialect: what each form means, day by day, and that no expression costs more than it may."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

import pytest

from core.times import EPOCH
from jobs import cron as dialect
from jobs.cron import ALIASES, LONGEST_EXPRESSION, LONGEST_GAP_YEARS, BadCron, parse_cron

BEGIN = datetime(2027, 1, 1, tzinfo=UTC)


def readings(expression: str, count: int, begin: datetime = BEGIN) -> list[str]:
    """The first matching clock readings at or after `begin`."""
    cron, at, found = parse_cron(expression), int((begin - EPOCH).total_seconds()), []
    for _ in range(count):
        reading = cron.next_reading(at)
        assert reading is not None
        found.append(f"{EPOCH + timedelta(seconds=reading):%Y-%m-%d %H:%M:%S}")
        at = reading + 1
    return found


def days(expression: str, count: int, begin: datetime = BEGIN) -> list[str]:
    return [reading[:10] for reading in readings(expression, count, begin)]


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("0 23 L * *", ["2027-01-31", "2027-02-28", "2027-03-31"]),
        ("0 23 L 2 *", ["2027-02-28", "2028-02-29", "2029-02-28"]),
        ("0 0 LW * *", ["2027-01-29", "2027-02-26", "2027-03-31"]),  # 31 January and 28 February are Sundays
        ("0 0 15W 5,8 *", ["2027-05-14", "2027-08-16", "2028-05-15"]),  # a Saturday, a Sunday, a Monday
        ("0 0 1W 5 *", ["2027-05-03", "2028-05-01"]),  # Saturday the 1st: never into April
        ("0 0 31W 10 *", ["2027-10-29", "2028-10-31"]),  # Sunday the 31st: never into November
        ("0 9 * * 1#1", ["2027-01-04", "2027-02-01", "2027-03-01"]),
        ("0 9 * * MON#5", ["2027-03-29", "2027-05-31", "2027-08-30"]),
        ("0 9 * * 5L", ["2027-01-29", "2027-02-26", "2027-03-26"]),
        ("0 9 * * 7", ["2027-01-03", "2027-01-10"]),
        ("0 9 * JAN MON-FRI", ["2027-01-01", "2027-01-04", "2027-01-05"]),
        ("0 9 * * FRI-MON", ["2027-01-01", "2027-01-02", "2027-01-03", "2027-01-04", "2027-01-08"]),
        ("0 9 ? * TUE", ["2027-01-05", "2027-01-12"]),
    ],
)
def test_days_of_a_form(expression: str, expected: list[str]) -> None:
    assert days(expression, len(expected)) == expected


def test_two_restricted_day_fields_mean_either() -> None:
    assert days("0 0 13 * FRI", 4) == ["2027-01-01", "2027-01-08", "2027-01-13", "2027-01-15"]


def test_a_day_field_that_starts_with_a_star_narrows_the_other_as_debian_has_it() -> None:
    """*/2 are the odd days: Fridays on them only."""
    assert days("0 0 */2 * FRI", 4) == ["2027-01-01", "2027-01-15", "2027-01-29", "2027-02-05"]


def test_six_fields_begin_with_the_seconds() -> None:
    assert readings("*/30 59 23 31 12 *", 2) == ["2027-12-31 23:59:00", "2027-12-31 23:59:30"]


@pytest.mark.parametrize("alias", sorted(ALIASES))
def test_an_alias_is_what_it_stands_for(alias: str) -> None:
    assert readings(alias.upper(), 3) == readings(ALIASES[alias], 3)


@pytest.mark.parametrize(
    ("expression", "wildcard"),
    [("* 2 * * *", True), ("0 */2 * * *", True), ("0-59 0-23 * * *", False), ("30 2 * * *", False),
     ("* 30 2 * * *", False), ("0 * 2 * * *", True)],
)  # fmt: skip
def test_a_wildcard_is_a_star_at_the_head_of_minute_or_hour(expression: str, wildcard: bool) -> None:
    assert parse_cron(expression).wildcard is wildcard


@pytest.mark.parametrize(
    ("expression", "told"),
    [
        ("", "0 fields"),
        ("0 9 * *", "use five"),
        ("0 9 * * * * *", "7 fields"),
        ("@fortnightly", "@daily"),
        ("60 * * * *", "minute"),
        ("0 24 * * *", "hour"),
        ("0 0 0 * *", "day-of-month"),
        ("0 0 * 13 *", "JAN-DEC"),
        ("0 0 * * 8", "SUN-SAT"),
        ("0 0 * * 1#6", "1 to 5"),
        ("0 0 * * L", "5L"),
        ("0 0 L-3 * *", "LW"),
        ("0 0 32W * *", "day-of-month"),
        ("*/0 * * * *", "from 1"),
        ("*/90 * * * *", "`every`"),
        ("1,,2 * * * *", "empty"),
        ("٣ * * * *", "minute"),  # a digit, but not one of ours
        ("-1 * * * *", "minute"),
        ("0 9 * * MOO", "day-of-week"),
    ],
)
def test_what_is_outside_the_dialect_is_told_with_the_way_out(expression: str, told: str) -> None:
    with pytest.raises(BadCron, match=re.escape(told)):
        parse_cron(expression)


@pytest.mark.parametrize(
    "expression", ["* " * 5_000, ",".join(["*"] * 5_000) + " * * * *", "9" * 10_000 + " * * * *", "@" + "y" * 10_000]
)
def test_ten_kilobytes_are_refused_for_their_length(expression: str) -> None:
    with pytest.raises(BadCron, match=f"at most {LONGEST_EXPRESSION}"):
        parse_cron(expression)


def test_a_star_is_read_however_often_it_is_repeated_within_the_length() -> None:
    assert parse_cron(",".join(["*"] * 100) + " * * * *").minutes == tuple(range(60))


@pytest.mark.parametrize("expression", ["0 0 30 2 *", "0 0 31 2,4,6,9,11 *", "59 59 23 */28 2 7#5"])
def test_looking_for_an_occurrence_ends_after_a_number_of_months(
    expression: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    looked_at = 0

    def length(year: int, month: int) -> int:
        nonlocal looked_at
        looked_at += 1
        return real(year, month)

    real = dialect._length
    monkeypatch.setattr(dialect, "_length", length)
    parse_cron(expression).next_reading(int((BEGIN - EPOCH).total_seconds()), horizon_years=LONGEST_GAP_YEARS)
    assert 0 < looked_at <= 12 * (LONGEST_GAP_YEARS + 1)


def test_what_never_matches_is_none() -> None:
    assert parse_cron("0 0 30 2 *").next_reading(0) is None


def test_the_rarest_day_there_is_is_found() -> None:
    """A 29 February that is the fifth Sunday of its month."""
    assert days("0 0 */28 2 SUN#5", 1) == ["2032-02-29"]


def test_the_end_of_the_calendar_is_the_end_of_a_schedule() -> None:
    last = int((datetime(9998, 12, 31, 23, 59, tzinfo=UTC) - EPOCH).total_seconds())
    assert parse_cron("0 0 * * *").next_reading(last) is None
