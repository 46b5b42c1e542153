"""`python -m tests.oracle`: every offset change of every IANA zone from 1970 to 2037, a hundred crons each.

Prints how many cases were compared and each kind of difference with its number; ends with 1 if any
difference is not an intended one. `--sample N` takes N changes of each zone, by a fixed seed.
"""

from __future__ import annotations

import argparse
import os
import random
import sys
import time
from importlib import resources
from multiprocessing import Pool

from core.zones import NAMES, TZDATA_VERSION
from tests.oracle.compare import FIRST_YEAR, LAST_YEAR, Tally, changes, compare
from tests.oracle.crons import CRONS

MOST_TOLD = 40  # faults that are printed


def distinct_zones() -> dict[str, list[str]]:
    """One name for each content of a zone's file → the other names with the same content."""
    seen: dict[bytes, str] = {}
    zones: dict[str, list[str]] = {}
    for name in sorted(NAMES):
        content = resources.files("tzdata").joinpath("zoneinfo", *name.split("/")).read_bytes()
        first = seen.setdefault(content, name)
        zones.setdefault(first, [])
        if first != name:
            zones[first].append(name)
    return zones


def work(task: tuple[str, int | None]) -> tuple[int, Tally]:
    """Compare the changes of one zone (or so many of them); runs in a process of its own."""
    name, sample = task
    moments = changes(name)
    if sample is not None:
        moments = random.Random(f"1970 {name}").sample(moments, min(sample, len(moments)))
    tally = Tally()
    for moment in moments:
        compare(name, moment, CRONS, tally)
    return len(moments), tally


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.oracle", description=__doc__)
    parser.add_argument("--sample", type=int, help="changes of each zone; all without it")
    parser.add_argument("--processes", type=int, default=len(os.sched_getaffinity(0)))
    arguments = parser.parse_args()
    began = time.monotonic()
    zones = distinct_zones()
    total, count = Tally(), 0
    with Pool(arguments.processes) as pool:
        for done, (number, tally) in enumerate(
            pool.imap_unordered(work, [(name, arguments.sample) for name in zones]), 1
        ):
            total.add(tally)
            count += number
            if sys.stderr.isatty() and done % 10 == 0:
                print(f"\r{done} of {len(zones)} zones", end="", file=sys.stderr)
    print(
        f"tzdata {TZDATA_VERSION}: {len(NAMES)} zones, {len(zones)} of them different; {count} changes of offset "
        f"{FIRST_YEAR}–{LAST_YEAR}, each ± 1 day; {len(CRONS)} crons"
    )
    print(f"{total.cases} cases, {total.occurrences} occurrences, {time.monotonic() - began:.0f} s")
    for why, number in sorted(total.intended.items()):
        print(f"{number} intended: {why}")
    print(f"{len(total.faults)} not intended")
    for fault in total.faults[:MOST_TOLD]:
        print(f"  {fault}")
    return 1 if total.faults else 0


if __name__ == "__main__":
    raise SystemExit(main())
