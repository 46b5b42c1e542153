"""What a cron is told to mean is what it does: a table of the hard ones, and every sentence about days read back."""

from __future__ import annotations

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jobs.cron import Cron, parse_cron
from jobs.schedule.sentence import asked_expression, describe_cron

SENTENCES = {
    # Both day fields restrict: either is enough.
    "0 0 13 * FRI": "At 00:00, on day 13 of the month or on every Friday",
    "0 0 1,15 * MON-FRI": "At 00:00, on day 1 and 15 of the month or on Monday through Friday",
    "0 0 13,L * FRI#2,5L": (
        "At 00:00, on day 13 and the last day of the month or on the second Friday and the last Friday of the month"
    ),
    "0 0 13 * 1-7": "At 00:00",
    "0 0 5,* * MON": "At 00:00",
    # A day field that begins with * narrows the other one.
    "0 0 */2 * MON": "At 00:00, on every 2nd day from day 1 through 31 of the month, only on Monday",
    "0 0 1 * */2": "At 00:00, on day 1 of the month, only on Tuesday, Thursday, Saturday, and Sunday",
    "0 0 *,5 * FRI": "At 00:00, only on Friday",
    # Lists with L, W, #.
    "0 0 * * FRI#2,MON#1": "At 00:00, on the first Monday and the second Friday of the month",
    "0 0 * * TUE,5L": "At 00:00, on every Tuesday and the last Friday of the month",
    "0 0 1W,15W,LW * *": (
        "At 00:00, on the first weekday, the weekday nearest day 15, and the last weekday of the month"
    ),
    "0 0 1-7,L * *": "At 00:00, on day 1 through 7 and the last day of the month",
    # The same day, named twice or by its other number; a week that goes round.
    "0 0 * * 0,7": "At 00:00, only on Sunday",
    "0 0 * * FRI-MON": "At 00:00, Friday through Monday",
    "0 0 * * 1-5/2": "At 00:00, only on Monday, Wednesday, and Friday",
    "0 0 * * 0,6": "At 00:00, only on Saturday and Sunday",
    "0 0 1 NOV-FEB *": "At 00:00, on day 1 of the month, only in January, February, November, and December",
    "0 0 1 */3 *": "At 00:00, on day 1 of the month, only in January, April, July, and October",
    # The time of day.
    "5,10-20/3,40 0 0 1 JAN ?": (
        "At 5, 10, 13, 16, 19, and 40 seconds past the minute, at 0 minutes past the hour, "
        "between 00:00 and 00:59, on day 1 of the month, only in January"
    ),
    "*/7 * * * *": "Every 7 minutes, minutes 0 through 56 past the hour",
    "0/59 * * * *": "At 0 and 59 minutes past the hour",
    "0 9-17 * * *": "Every hour, between 09:00 and 17:59",
    "0 */5 * * *": "At 00:00, 05:00, 10:00, 15:00 and 20:00",
    "*/5 22-2 * * *": "Every 5 minutes, between 00:00 and 02:59 and between 22:00 and 23:59",
    "* 9,17 * * *": "Every minute, between 09:00 and 09:59 and between 17:00 and 17:59",
    "50-10 9 * * *": "At 0 through 10 and 50 through 59 minutes past the hour, between 09:00 and 09:59",
    "*/15 */2 * * *": "Every 15 minutes, in every 2nd hour from 00:00",
    "30 1/2 * * *": "At 30 minutes past the hour, every 2 hours, starting at 01:00",
    "30 0 9,17 * * *": "At 30 seconds past the minute, at 0 minutes past the hour, between 09:00 and 09:59 and between 17:00 and 17:59",
    "0 0-23 * * *": "Every hour",
}


@pytest.mark.parametrize(("cron", "sentence"), SENTENCES.items())
def test_the_hard_ones_are_told_as_they_run(cron: str, sentence: str) -> None:
    assert describe_cron(cron) == sentence


def _items(low: int, high: int, *special: str) -> st.SearchStrategy[str]:
    """A list of numbers, ranges (also past the end), steps, and what else the field knows."""
    number = st.integers(low, high)
    item = st.one_of(
        number.map(str),
        st.builds("{}-{}".format, number, number),
        st.builds("{}/{}".format, st.just("*") | number.map(str), st.integers(1, high)),
        st.builds("{}-{}/{}".format, number, number, st.integers(1, high)),
        *([st.sampled_from(special)] if special else []),
    )
    return st.just("*") | st.lists(item, min_size=1, max_size=4).map(",".join)


CRONS = st.builds(
    " ".join,
    st.tuples(
        st.just("0") | _items(0, 59),
        _items(0, 59),
        _items(0, 23),
        _items(1, 31, "L", "LW", "1W", "15W", "31W"),
        _items(1, 12),
        _items(0, 7, "5L", "0L", "1#1", "5#2", "7#5", "SAT"),
    ),
)
NUMBER = r"\d{1,2}"
SPAN = rf"{NUMBER}(?:-{NUMBER})?"
STEPS = rf"(?:\*|{NUMBER})/{NUMBER}|{NUMBER}-{NUMBER}/{NUMBER}"
KNOWN_FIELD = rf"(?:\*|{SPAN}(?:,{SPAN})*|{STEPS})"
ONE = NUMBER
# What cron-descriptor says rightly: seconds and minutes alone; a moment beside hours in a list or in whole steps.
KINDS = [
    re.compile(rf"(?:{KNOWN_FIELD} )?{KNOWN_FIELD} \* \* \* \*"),
    re.compile(rf"{ONE} {ONE}(?:,{ONE})* \* \* \*"),
    re.compile(rf"(?:{ONE} )?{ONE} (?:{ONE}|(?:\*|{ONE})/{ONE}) \* \* \*"),
]


@settings(max_examples=500, deadline=None)
@given(CRONS)
def test_the_library_is_asked_only_for_what_it_says_rightly(expression: str) -> None:
    cron = parse_cron(expression)
    asked = asked_expression(cron)
    assert any(kind.fullmatch(asked) for kind in KINDS), asked
    means = parse_cron(asked)
    assert (means.seconds, means.minutes) == (cron.seconds, cron.minutes)
    assert means.hours in (cron.hours, tuple(range(24)))
    for part, size in zip(asked.split()[-6:-3], (60, 60, 24), strict=False):
        if re.fullmatch(rf"(?:\*|{ONE})/{ONE}", part):  # "every 7 minutes" would not hold across the hour
            assert size % int(part.partition("/")[2]) == 0
    for first, last in re.findall(r"(\d+)-(\d+)", asked):
        assert int(first) < int(last)


@settings(max_examples=500, deadline=None)
@given(CRONS)
def test_days_and_hours_read_back_are_those_that_run(expression: str) -> None:
    cron = parse_cron(expression)
    sentence = describe_cron(expression)
    for length in (28, 29, 30, 31):
        for first in range(7):
            assert read_days(sentence, first, length) == set(cron.days_of(first, length)), sentence
    assert read_months(sentence) == cron.months, sentence
    between = re.findall(r"between (\d\d):00 and (\d\d):59", sentence)
    if between:
        assert {hour for begin, end in between for hour in range(int(begin), int(end) + 1)} == set(cron.hours)


WEEKDAYS = ["Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"]
MONTHS = ["January", "February", "March", "April", "May", "June", "July", "August", "September", "October",
          "November", "December"]  # fmt: skip
NTH = {"first": 1, "second": 2, "third": 3, "fourth": 4, "fifth": 5}
DAY = "(?:" + "|".join(WEEKDAYS) + ")"


def read_months(sentence: str) -> set[int]:
    named = _through(sentence, MONTHS)
    return {index + 1 for index in named} if named else set(range(1, 13))


def read_days(sentence: str, first_weekday: int, length: int) -> set[int]:
    """The days of a month that begins on that weekday (0 is Monday) that the sentence means."""
    every = set(range(1, length + 1))
    weekday = {day: (first_weekday + day) % 7 for day in every}  # 0 is Sunday

    def nearest(day: int) -> int:
        workdays = [each for each in every if weekday[each] not in {0, 6}]
        return min(workdays, key=lambda each: (abs(each - day), each))

    dates: set[int] | None = None
    rest = sentence
    told = re.search(r", on ([^:]*?) of the month(?= or |, |$)", sentence)
    if told is not None and re.search(r"\bday\b|weekday", told[1]):
        dates, text = set(), told[1]
        rest = sentence[: told.start()] + "," + sentence[told.end() :]
        if match := re.search(r"every (\d+)\w\w day from day (\d+) through (\d+)", text):
            dates |= set(range(int(match[2]), int(match[3]) + 1, int(match[1])))
            text = text.replace(match[0], "")
        for match in re.finditer(r"weekday nearest day (\d+)", text):
            dates |= {nearest(int(match[1]))} if int(match[1]) <= length else set()
        text = re.sub(r"the weekday nearest day \d+", "", text)
        dates |= {nearest(1)} if "first weekday" in text else set()
        dates |= {nearest(length)} if "last weekday" in text else set()
        dates |= {length} if "last day" in text else set()
        for match in re.finditer(r"(\d+) through (\d+)", text):
            dates |= set(range(int(match[1]), int(match[2]) + 1))
        dates |= {int(number) for number in re.findall(r"\d+", text)}
        dates &= every
    days: set[int] | None = None
    if re.search(DAY, rest):
        days = set()
        for match in re.finditer(rf"the (first|second|third|fourth|fifth|last) ({DAY})", rest):
            that = [day for day in sorted(every) if weekday[day] == WEEKDAYS.index(match[2])]
            which = len(that) if match[1] == "last" else NTH[match[1]]
            days |= set(that[which - 1 : which])
        rest = re.sub(rf"the (?:first|second|third|fourth|fifth|last) {DAY}", "", rest)
        named = _through(rest, WEEKDAYS)
        days |= {day for day in every if weekday[day] in named}
    if dates is None or days is None:
        return every if dates is None and days is None else dates or days or set()
    return dates | days if " of the month or on " in sentence else dates & days


def _through(text: str, names: list[str]) -> set[int]:
    """The positions of names in a text, those of "Friday through Monday" with all between."""
    named = "(" + "|".join(names) + ")"
    found = {names.index(name) for name in re.findall(named, text)}
    for begin, end in re.findall(f"{named} through {named}", text):
        first = names.index(begin)
        found |= {(first + step) % len(names) for step in range((names.index(end) - first) % len(names) + 1)}
    return found


def test_each_sentence_of_the_oracle_s_crons_can_be_told() -> None:
    from tests.oracle.crons import CRONS as told

    sentences = {cron: describe_cron(cron) for cron in told}
    assert all(re.fullmatch(r"[A-Z][^*/#]*", sentence) for sentence in sentences.values())
    meanings: dict[str, Cron] = {}
    for expression, sentence in sentences.items():  # two sentences that are the same are of the same cron
        cron = parse_cron(expression)
        same = meanings.setdefault(sentence, cron)
        assert (same.seconds, same.minutes, same.hours, same.months) == (
            cron.seconds,
            cron.minutes,
            cron.hours,
            cron.months,
        )
