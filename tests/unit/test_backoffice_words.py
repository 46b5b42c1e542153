"""Times, durations and JSON as the admin words them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from core.backoffice.words import badge, clock_time, moment, pretty, relative, span, span_ms

NOW = datetime(2027, 3, 28, 0, 30, tzinfo=UTC)


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0.04, "40 ms"), (1, "1 s"), (1.25, "1.25 s"), (59.6, "1 min"), (61, "1 min 1 s"), (3600, "1 h"),
        (7500, "2 h 5 min"), (86_400, "1 d"), (90_061, "1 d 1 h"), (86_405, "1 d"),
    ],
)  # fmt: skip
def test_a_length_of_time_is_told_in_its_two_largest_units(seconds: float, words: str) -> None:
    assert span(seconds) == words


def test_no_length_is_a_dash() -> None:
    assert span_ms(None) == "–"


@pytest.mark.parametrize(
    ("after", "words"),
    [(timedelta(hours=2), "in 2 h"), (timedelta(minutes=-3), "3 min ago"), (timedelta(seconds=0.4), "now")],
)
def test_a_moment_is_told_from_now(after: timedelta, words: str) -> None:
    assert relative(NOW + after, NOW) == words


def test_a_clock_is_read_in_its_zone_before_and_after_a_change() -> None:
    assert clock_time(NOW, "Europe/Berlin", now=NOW) == "28 Mar 01:30:00 CET"
    assert clock_time(NOW + timedelta(hours=1), "Europe/Berlin", now=NOW) == "28 Mar 03:30:00 CEST"
    assert clock_time(NOW, "No/Where", now=NOW) == "28 Mar 00:30:00 UTC"


def test_a_year_far_from_now_is_told() -> None:
    assert clock_time(NOW + timedelta(days=400), now=NOW) == "1 May 00:30:00 2028 UTC"


def test_a_moment_is_hypertext_with_utc_in_its_title() -> None:
    shown = str(moment(NOW, now=NOW, zone_name="Asia/Tokyo"))
    assert 'title="2027-03-28 00:30:00 UTC"' in shown
    assert "<small>28 Mar 09:30:00 JST</small>" in shown
    assert moment(None, now=NOW) == "–"


def test_words_from_outside_are_escaped() -> None:
    assert "<script>" not in str(badge("<script>"))


def test_a_long_value_is_cut_and_says_so() -> None:
    text = pretty({"a": "x" * 30_000})
    assert len(text) < 20_200
    assert text.endswith("more characters: the API has all of them")
    assert pretty({"a": [1]}) == '{\n  "a": [\n    1\n  ]\n}'
