"""`python -m benchmarks.schedule_speed`: µs for one next occurrence, ours and croniter's, in one run.

Warm: the expression is parsed, and the years of the zone are known.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime
from statistics import median
from zoneinfo import ZoneInfo

from croniter import croniter

from benchmarks.measure import number
from jobs.schedule import Schedule, next_occurrence

BEGIN = datetime(2027, 1, 1, tzinfo=UTC)
CALLS, REPETITIONS = 300, 5
PLAIN = ("0 9 * * *", "*/15 * * * *", "30 2 * * MON-FRI", "0 0 1 * *")
WORST = ("0 0 29 2 MON#5", "0 0 29 2 *", "59 59 23 31 12 *", "0 0 31 1,3,5 5L")


def main() -> None:
    print(f"{'cron':24}{'ours: UTC':>12}{'New York':>12}{'croniter':>12}   µs, median of {REPETITIONS}")
    for cron in (*PLAIN, *WORST):
        ours = [_ours(cron, tz) for tz in ("UTC", "America/New_York")]
        print(f"{cron:24}{number(ours[0]):>12}{number(ours[1]):>12}{_croniter(cron):>12}")


def _ours(cron: str, tz: str) -> float:
    schedule = Schedule(cron=cron, tz=tz)
    at = BEGIN

    def step() -> None:
        nonlocal at
        at = next_occurrence(schedule, after=at) or BEGIN
        if at.year > 2400:
            at = BEGIN

    for _ in range(REPETITIONS * CALLS + 1):  # a process learns a zone's year once, in about 3 ms
        step()
    at = BEGIN
    return _microseconds(step)


def _croniter(cron: str) -> str:
    if len(cron.split()) == 6 or "#5" in cron or "5L" in cron:
        return "other dialect"
    walk = croniter(cron, BEGIN.astimezone(ZoneInfo("America/New_York")))
    return number(_microseconds(lambda: walk.get_next(datetime)))


def _microseconds(step: Callable[[], object]) -> float:
    step()
    samples = []
    for _ in range(REPETITIONS):
        began = time.perf_counter()
        for _ in range(CALLS):
            step()
        samples.append((time.perf_counter() - began) * 1e6 / CALLS)
    return median(samples)


if __name__ == "__main__":
    main()
