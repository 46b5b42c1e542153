"""Times at the edge."""

from __future__ import annotations

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.times import MAX_MILLISECONDS, from_ms, parse_time, to_ms


@given(st.integers(0, MAX_MILLISECONDS))
def test_milliseconds_are_read_back(value: int) -> None:
    assert to_ms(from_ms(value)) == value


@pytest.mark.parametrize(
    ("given_time", "zone", "expected"),
    [
        (0, UTC, datetime(1970, 1, 1, tzinfo=UTC)),
        (1_700_000_000_000.0, UTC, datetime(2023, 11, 14, 22, 13, 20, tzinfo=UTC)),
        ("2025-01-15T10:00:00Z", UTC, datetime(2025, 1, 15, 10, tzinfo=UTC)),
        ("2025-07-15T10:00:00", ZoneInfo("Europe/Berlin"), datetime(2025, 7, 15, 8, tzinfo=UTC)),
        ("2025-07-15T10:00:00+01:00", ZoneInfo("Europe/Berlin"), datetime(2025, 7, 15, 9, tzinfo=UTC)),
        ("2025-07-15", UTC, datetime(2025, 7, 15, tzinfo=UTC)),
    ],
)
def test_a_time_is_milliseconds_or_iso(given_time: object, zone: ZoneInfo, expected: datetime) -> None:
    assert parse_time(given_time, zone) == expected


@pytest.mark.parametrize(
    "wrong",
    [True, None, [], {}, "", "tomorrow", -1, 1.5, MAX_MILLISECONDS + 1, "1969-12-31T23:59:59Z", "2025-13-01",
     float("inf"), float("nan"), 10**400, "9999-12-31T23:59:59-12:00", "0001-01-01T00:00:00+12:00"],
)  # fmt: skip
def test_anything_else_is_a_value_error(wrong: object) -> None:
    with pytest.raises(ValueError):
        parse_time(wrong)
