"""F4: five schedulers, started, frozen, stopped and killed at random."""

from __future__ import annotations

import random
import time
from collections import Counter
from collections.abc import Callable

import pytest

from tests.acceptance.matching import grid, match
from tests.acceptance.system import Process, System

pytestmark = [pytest.mark.faults, pytest.mark.timeout(240)]

EVERY_MS, LIMIT, JOBS = 10_000, 3, 60
SCHEDULERS = 5


def upheaval(system: System, seconds: float, dice: random.Random) -> Counter[str]:
    """Do something to one of five schedulers, again and again; what was done how often."""
    slots: list[Process] = [system.scheduler() for _ in range(SCHEDULERS)]
    done: Counter[str] = Counter()
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        slot = dice.randrange(SCHEDULERS)
        scheduler = slots[slot]
        what = dice.choice(["kill", "terminate", "freeze", "freeze"]) if scheduler.alive else "start"
        done[what] += 1
        if what == "start":
            slots[slot] = system.scheduler()
        elif what == "freeze":
            scheduler.freeze()
            time.sleep(dice.uniform(0.2, 1.5))
            scheduler.thaw()
        elif what == "kill":
            scheduler.kill()
        else:
            scheduler.terminate()
        time.sleep(dice.uniform(0.2, 1.0))
    for scheduler in slots:
        scheduler.end()
    return done


def run_grid(system: System, dice: random.Random, *, quiet: bool = False) -> tuple[dict[str, list[int]], Counter[str]]:
    """Recurring jobs over half a minute, and the upheaval while they are due; `quiet`: nothing happens to
    the schedulers that are there."""
    first = int(time.time() * 1000) + 6_000
    jobs = {}
    for number in range(JOBS):
        at = first + number * EVERY_MS // JOBS
        schedule = {"every": EVERY_MS, "limit": LIMIT, "start_at": at}
        jobs[system.dispatch("f4", schedule=schedule)] = grid(at, EVERY_MS, LIMIT)
    if quiet:
        return jobs, Counter()
    return jobs, upheaval(system, LIMIT * EVERY_MS / 1000, dice)


def test_f4_the_executions_are_the_grid_whatever_happens_to_five_schedulers(
    house: System, note: Callable[[str, str], None]
) -> None:
    seed = random.randrange(1_000_000)
    print(f"seed {seed}")
    jobs, done = run_grid(house, random.Random(seed))
    house.wait_for(list(jobs), seconds=60)
    matched = match(house, jobs)
    house.fsck()
    what = ", ".join(f"{count} × {name}" for name, count in sorted(done.items()))
    note("F4", f"{what} (seed {seed}): {matched}, equal to the grid")
