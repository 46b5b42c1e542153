"""A cron as a sentence that says what runs.

The words for days and months are ours: cron-descriptor says "on day 13, only on Friday" where either
is enough, and loses parts of lists with `L`, `W` and `#`. The time of day is cron-descriptor's, which is
asked only for expressions of the kinds that it says rightly, written anew from the parsed cron: what
means the same is told the same. Pure.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from functools import lru_cache
from itertools import pairwise

from cron_descriptor import CasingTypeEnum, ExpressionDescriptor, Options

from jobs.cron import Cron, parse_cron

_MONTHS = (
    "January", "February", "March", "April", "May", "June", "July", "August", "September", "October",
    "November", "December",
)  # fmt: skip
_WEEKDAYS = ("Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday")
_WHICH = ("", "first", "second", "third", "fourth", "fifth")
_SHORTEST_RUN = 3  # numbers in a row that are told as "1 through 3"
_SHORTEST_STEPS = 4  # numbers at one distance that are told as "every 7 minutes"
_MOST_HOURS_IN_A_ROW = 3  # told one by one: "At 09:00, 10:00, and 11:00"


@lru_cache(maxsize=4096)
def describe_cron(expression: str) -> str:
    """The cron as a sentence: "At 00:00, on day 13 of the month or on every Friday, only in January"."""
    cron = parse_cron(expression)
    return f"{_time_of_day(cron)}{_days(cron)}{_months(cron)}"


def asked_expression(cron: Cron) -> str:
    """What cron-descriptor is asked to say: seconds (where there are any), minutes and, where it says these
    rightly beside them, hours; every day."""
    seconds, minutes = _written(cron.seconds, 60), _written(cron.minutes, 60)
    hours = _asked_hours(cron)
    return " ".join([*([seconds] if seconds != "0" else []), minutes, hours, "* * *"])


def _time_of_day(cron: Cron) -> str:
    options = Options()
    options.use_24hour_time_format = True
    options.casing_type = CasingTypeEnum.Sentence
    options.throw_exception_on_parse_error = True
    sentence = str(ExpressionDescriptor(asked_expression(cron), options).get_description())
    if len(cron.hours) == 24 or _asked_hours(cron) != "*":
        return sentence
    step = _whole_step(cron.hours, 24)
    if step is not None:
        return f"{sentence}, in every {_ordinal(step)} hour from {cron.hours[0]:02}:00"
    return f"{sentence}, {_and([f'between {first:02}:00 and {last:02}:59' for first, last in _runs(cron.hours)])}"


def _asked_hours(cron: Cron) -> str:
    """`*` where the hours are told by us, or are no restriction."""
    if len(cron.minutes) > 1 or len(cron.seconds) > 1:
        return "*"
    if _whole_step(cron.hours, 24) is not None:
        return _written(cron.hours, 24)
    several = len(cron.hours) > 1
    if (several and cron.seconds != (0,)) or any(
        last - first >= _MOST_HOURS_IN_A_ROW for first, last in _runs(cron.hours)
    ):
        return "*"
    return ",".join(map(str, cron.hours))


def _days(cron: Cron) -> str:
    """Both day fields: `, on day 1 of the month`; nothing where every day matches."""
    dates = None if len(cron.days) == 31 else _dates(cron)
    weekdays = None if len(cron.weekdays) == 7 else _weekdays(cron, either=dates is not None and cron.either_day)
    if cron.either_day:
        return f", {dates} or {weekdays}" if dates and weekdays else ""
    return "".join(f", {told}" for told in (dates, weekdays) if told)


def _dates(cron: Cron) -> str:
    days = sorted(cron.days)
    special = [
        *(
            "the first weekday" if day == 1 else f"the weekday nearest day {day}"
            for day in sorted(cron.nearest_weekdays)
        ),
        *(["the last weekday"] if cron.last_weekday else []),
        *(["the last day"] if cron.last_day else []),
    ]
    if (step := _step(days)) is not None:
        told = [f"every {_ordinal(step)} day from day {days[0]} through {days[-1]}"]
    elif special:
        told = [f"day {span}" for span in _spans(days, list(map(str, range(32))))]
    else:
        told = [f"day {_and(_spans(days, list(map(str, range(32)))))}"]
    return f"on {_and([*told, *special])} of the month"


def _weekdays(cron: Cron, *, either: bool) -> str:
    special = [
        *(f"the {_WHICH[which]} {_WEEKDAYS[day]}" for day, which in sorted(cron.nth_weekdays, key=lambda nth: nth[::-1])),
        *(f"the last {_WEEKDAYS[day]}" for day in sorted(cron.last_weekdays)),
    ]  # fmt: skip
    plain = _week_spans(cron.weekdays)
    if special:
        return f"on {_and([*(f'every {span}' for span in plain), *special])} of the month"
    one_span = len(plain) == 1 and "through" in plain[0]
    if either:
        return f"on {plain[0]}" if one_span else f"on every {_and(plain)}"
    return plain[0] if one_span else f"only on {_and(plain)}"


def _week_spans(days: Collection[int]) -> list[str]:
    """A week goes round, and is told from Monday; a weekend that runs into Monday stays in one piece."""
    start = next((day for day in (1, 2, 3, 4, 5, 6, 0) if day in days and (day - 1) % 7 not in days), 1)
    if not (1 in days and 0 in days):
        start = 1
    turned = sorted((day - start) % 7 for day in days)
    return _spans(turned, [_WEEKDAYS[(day + start) % 7] for day in range(7)])


def _months(cron: Cron) -> str:
    if len(cron.months) == 12:
        return ""
    spans = _spans(sorted(cron.months), ["", *_MONTHS])
    return f", {spans[0]}" if len(spans) == 1 and "through" in spans[0] else f", only in {_and(spans)}"


def _written(numbers: Sequence[int], size: int) -> str:
    """The numbers of a field as the cron that cron-descriptor says rightly."""
    if len(numbers) == size:
        return "*"
    if len(numbers) == 1:
        return str(numbers[0])
    if (step := _whole_step(numbers, size)) is not None:
        return f"{numbers[0] or '*'}/{step}"
    if (step := _step(numbers)) is not None:
        return f"{numbers[0]}-{numbers[-1]}/{step}"
    return ",".join(
        f"{first}-{last}" if last - first >= _SHORTEST_RUN - 1 else ",".join(map(str, range(first, last + 1)))
        for first, last in _runs(numbers)
    )


def _whole_step(numbers: Sequence[int], size: int) -> int | None:
    """The distance of numbers that go all round the field without a seam: 5, 20, 35, 50 of 60."""
    if len(numbers) < 2 or size % len(numbers) or len(numbers) == size:
        return None
    step = size // len(numbers)
    if any(right - left != step for left, right in pairwise(numbers)):
        return None
    return step if numbers[0] == 0 or len(numbers) > 2 else None


def _step(numbers: Sequence[int]) -> int | None:
    """The distance of at least four numbers that all have the same, longer than one."""
    distances = {right - left for left, right in pairwise(numbers)}
    return distances.pop() if len(numbers) >= _SHORTEST_STEPS and len(distances) == 1 and 1 not in distances else None


def _runs(numbers: Sequence[int]) -> list[tuple[int, int]]:
    """First and last of each stretch without a gap."""
    runs: list[tuple[int, int]] = []
    for number in numbers:
        if runs and runs[-1][1] == number - 1:
            runs[-1] = (runs[-1][0], number)
        else:
            runs.append((number, number))
    return runs


def _spans(numbers: Sequence[int], names: Sequence[str]) -> list[str]:
    """1, 2, 3, 5 → "1 through 3", "5"."""
    told: list[str] = []
    for first, last in _runs(numbers):
        if last - first >= _SHORTEST_RUN - 1:
            told.append(f"{names[first]} through {names[last]}")
        else:
            told += names[first : last + 1]
    return told


def _and(items: Sequence[str]) -> str:
    """With the comma before the last "and", as cron-descriptor has it."""
    if len(items) < 3:
        return " and ".join(items)
    return f"{', '.join(items[:-1])}, and {items[-1]}"


def _ordinal(step: int) -> str:
    """Of a step: at least 2, and at most 12."""
    return f"{step}{ {2: 'nd', 3: 'rd'}.get(step, 'th') }"
