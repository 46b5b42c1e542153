"""A schedule as it is given → a `Schedule`, or every contradiction in it at once.

Each error names its field as a dotted path and says what would be right.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from core.errors import FieldError, Invalid
from core.fields import dotted, unknown_fields
from core.times import parse_time
from core.zones import UnknownZone, localize, zone
from jobs.cron import BadCron, parse_cron
from jobs.schedule.model import DST_GAPS, DST_OVERLAPS, MISFIRES, OVERLAPS, Schedule
from jobs.schedule.occurrences import first_occurrence, next_on_grid

SHORTEST_EVERY = 100  # ms
LONGEST_DURATION = 10 * 366 * 86_400_000  # ms; beyond that a number is a mistake
MOST_RUNS = 1_000_000_000_000
CRON_HORIZON_YEARS = 8  # 29 February can be that far away
FURTHEST = timedelta(days=366 * 100)
TOO_FAR = "is more than 100 years away: times are milliseconds since 1970, or ISO 8601"
JITTER_LOOK = 64  # occurrences whose distance is looked at

FIELDS = frozenset(
    {
        "start_at",
        "cron",
        "every",
        "limit",
        "endDate",
        "end_date",
        "tz",
        "timezone",
        "overlap",
        "misfire",
        "misfire_grace",
        "dst_gap",
        "dst_overlap",
        "jitter",
    }
)
_ALIASES = {"end_date": "endDate", "timezone": "tz"}


def parse_schedule(data: Mapping[str, Any] | None, *, now: datetime, path: str = "schedule") -> Schedule:
    """The schedule that `data` describes; none at all is "run now". `null` is the same as left out.

    Raises Invalid with a FieldError for each contradiction.
    """
    if data is None:
        return Schedule()
    if not isinstance(data, Mapping):
        raise Invalid.field(path, 'must be an object such as {"cron": "0 9 * * *", "tz": "Europe/Berlin"}')
    return _Reading(data, now, path).schedule()


class _Reading:
    """One pass over the fields; `errors` gathers what is wrong."""

    def __init__(self, data: Mapping[str, Any], now: datetime, path: str) -> None:
        self.now = now.replace(microsecond=now.microsecond // 1000 * 1000)  # what the API can say
        self.path = path
        self.errors: list[FieldError] = unknown_fields(data, FIELDS, path)
        self.given: dict[str, Any] = {}
        self.spelled: dict[str, str] = {}  # the name that the caller used
        for name, value in data.items():
            known = _ALIASES.get(name, name)
            if value is None or name not in FIELDS:
                continue
            if known in self.given:
                self.wrong(known, f"is given twice, as {self.spelled[known]!r} and {name!r}: leave one out")
                continue
            self.given[known], self.spelled[known] = value, name

    def wrong(self, name: str, detail: str, code: str = "invalid") -> None:
        self.errors.append(FieldError(dotted(self.path, self.spelled.get(name, name)), code, detail))

    def schedule(self) -> Schedule:
        tz = self._zone()
        every = self._duration("every", shortest=SHORTEST_EVERY)
        start_at = self._time("start_at", tz)
        schedule = Schedule(
            start_at=start_at,
            cron=self._cron(),
            every=every,
            tz=tz,
            anchor_at=(start_at or self.now) if every is not None else None,
            limit=self._count("limit"),
            end_date=self._time("endDate", tz),
            overlap=self._choice("overlap", OVERLAPS),
            misfire=self._choice("misfire", MISFIRES),
            misfire_grace=self._duration("misfire_grace", shortest=0, default=60_000) or 0,
            dst_gap=self._choice("dst_gap", DST_GAPS),
            dst_overlap=self._choice("dst_overlap", DST_OVERLAPS),
            jitter=self._duration("jitter", shortest=0, default=0) or 0,
        )
        self._contradictions()
        if not self.errors:
            self._occurrences(schedule)
        if self.errors:
            raise Invalid.fields(self.errors)
        return schedule

    def _zone(self) -> str:
        name = self.given.get("tz", "UTC")
        if not isinstance(name, str):
            self.wrong("tz", "must be an IANA time zone such as 'Europe/Berlin'")
            return "UTC"
        try:
            zone(name)
        except UnknownZone as error:
            self.wrong("tz", str(error), "unknown_time_zone")
            return "UTC"
        return name

    def _time(self, name: str, tz: str) -> datetime | None:
        value = self.given.get(name)
        if value is None:
            return None
        try:
            moment = parse_time(value)
            if isinstance(value, str) and (local := datetime.fromisoformat(value)).tzinfo is None:
                moment = localize(local, tz, later=name == "endDate")
        except (ValueError, OverflowError) as error:
            self.wrong(name, str(error))
            return None
        if moment - self.now > FURTHEST:
            self.wrong(name, TOO_FAR)
            return None
        return moment

    def _cron(self) -> str:
        value = self.given.get("cron")
        if value is None:
            return ""
        if not isinstance(value, str):
            self.wrong("cron", "must be a text such as '0 9 * * MON-FRI'")
            return ""
        try:
            parse_cron(value)
        except BadCron as error:
            self.wrong("cron", str(error), "invalid_cron")
            return ""
        return " ".join(value.split())

    def _duration(self, name: str, *, shortest: int, default: int | None = None) -> int | None:
        value = self.given.get(name)
        if value is None:
            return default
        whole = _whole(value)
        if whole is None or not shortest <= whole <= LONGEST_DURATION:
            self.wrong(
                name, f"must be a whole number of milliseconds from {shortest} to {LONGEST_DURATION} (ten years)"
            )
            return default
        return whole

    def _count(self, name: str) -> int | None:
        value = self.given.get(name)
        if value is None:
            return None
        whole = _whole(value)
        if whole is None or not 1 <= whole <= MOST_RUNS:
            self.wrong(name, "must be a whole number of runs from 1; leave it out to run without a limit")
            return None
        return whole

    def _choice(self, name: str, choices: Sequence[str]) -> str:
        value = self.given.get(name, choices[0] if name != "misfire" else "once")
        if value not in choices:
            self.wrong(name, f"must be one of {', '.join(choices)}")
            return choices[0]
        return str(value)

    def _contradictions(self) -> None:
        if "cron" in self.given and "every" in self.given:
            self.wrong("every", "a schedule has either `cron` or `every`: leave one out")
        if "cron" not in self.given and "every" not in self.given:
            for name in ("limit", "endDate", "tz", "jitter"):
                if name in self.given and not (name == "jitter" and self.given[name] == 0):
                    self.wrong(name, "has no meaning without a recurrence: add `cron` or `every`, or leave it out")

    def _occurrences(self, schedule: Schedule) -> None:
        """What can only be seen on the grid itself."""
        if not schedule.recurring:
            return
        unending = replace(schedule, end_date=None)
        start = max(schedule.start_at or self.now, self.now)
        first = first_occurrence(unending, now=self.now)
        if schedule.cron and (first is None or first.year - start.year > CRON_HORIZON_YEARS):
            self.wrong(
                "cron",
                f"{schedule.cron!r} has no occurrence within {CRON_HORIZON_YEARS} years after {start:%Y-%m-%d}: "
                "check day-of-month and month",
                "no_occurrence",
            )
            return
        if first is None:
            self.wrong("start_at", "no occurrence can be computed so far in the future")
        elif schedule.end_date is not None and first > schedule.end_date:
            self.wrong(
                "endDate",
                f"is before the first occurrence that is left ({first.isoformat()}): it must not be",
                "no_occurrence",
            )
        if schedule.jitter and first is not None:
            self._jitter(unending, first)

    def _jitter(self, schedule: Schedule, first: datetime) -> None:
        shortest: timedelta | None = None
        at: datetime | None = first
        for _ in range(JITTER_LOOK if schedule.cron else 1):
            if at is None or (following := next_on_grid(schedule, after=at)) is None:
                break
            shortest = following - at if shortest is None else min(shortest, following - at)
            at = following
        most = None if shortest is None else shortest // timedelta(milliseconds=2)
        if most is not None and schedule.jitter > most:
            self.wrong("jitter", f"must be at most half the interval, {most} ms")


def _whole(value: object) -> int | None:
    """A JSON number without a fraction; not true, not "5"."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    return int(value) if value == value and abs(value) != float("inf") and value == int(value) else None
