"""A seeded sample of `python -m tests.oracle`: another author's library judges the same crons and zones."""

from __future__ import annotations

import random
from datetime import datetime, timedelta

import pytest
from croniter import croniter

from core.times import EPOCH
from core.zones import NAMES, zone
from jobs.cron import parse_cron
from jobs.schedule.wallclock import cron_in_zone
from tests.oracle.compare import PART_OF_AN_HOUR, SECONDS_OF_A_GAP, SIX_FIELDS, STAYS, Tally, changes, compare
from tests.oracle.crons import CRONS

ZONES = 12
ALWAYS = ("America/New_York", "Australia/Lord_Howe", "Pacific/Apia", "Africa/Casablanca")


def test_a_sample_of_zones_and_changes_agrees_with_cronsim_but_for_what_is_meant() -> None:
    chosen = random.Random(2037)
    names = [*ALWAYS, *chosen.sample(sorted(NAMES), ZONES - len(ALWAYS))]
    tally = Tally()
    for name in names:
        moments = changes(name)
        for moment in chosen.sample(moments, min(2, len(moments))):
            compare(name, moment, CRONS, tally)

    assert tally.faults == []
    assert tally.cases > 1_000
    assert set(tally.intended) <= {STAYS, SIX_FIELDS, SECONDS_OF_A_GAP, PART_OF_AN_HOUR}


def shown(cron: str, name: str, begin: int, end: int) -> dict[datetime, list[int]]:
    """Each reading of the clock that matches, as croniter says, with the one or two moments at which it shows it."""
    minutes, hours = (croniter.expand(cron)[0][field] for field in (0, 1))
    found: dict[datetime, list[int]] = {}
    for at in range(begin + 1 + -(begin + 1) % 60, end + 1, 60):
        reading = (EPOCH + timedelta(seconds=at)).astimezone(zone(name)).replace(tzinfo=None, fold=0)
        if reading.minute in minutes and reading.hour in hours and croniter.match(cron, reading):
            found.setdefault(reading, []).append(at)
    return found


def is_fixed(cron: str) -> bool:
    return not parse_cron(cron).wildcard


@pytest.mark.parametrize("policy", ["first", "last", "both"])
def test_each_policy_of_an_overlap_and_a_gap_that_is_skipped_are_what_the_clock_shows(policy: str) -> None:
    fixed = [cron for cron in CRONS if len(cron.split()) == 5 and croniter.is_valid(cron) and is_fixed(cron)]
    chosen, twice = random.Random(policy), 0
    for name in ALWAYS:
        whole = [change for change in changes(name) if change % 60 == 0]
        for change in chosen.sample(whole, min(3, len(whole))):
            begin, end = change - 21_600, change + 21_600
            for cron in chosen.sample(fixed, 12):
                readings = shown(cron, name, begin, end)
                expected = {
                    "first": [moments[0] for moments in readings.values()],
                    "last": [moments[-1] for moments in readings.values()],
                    "both": [at for moments in readings.values() for at in moments],
                }[policy]
                where, mine = cron_in_zone(cron, name, "skip", policy), []
                at = where.next(begin + 1, horizon_years=1)
                while at is not None and at <= end:
                    mine.append(at)
                    at = where.next(at + 1, horizon_years=1)
                assert mine == sorted(expected), (cron, name, change)
                twice += sum(len(moments) > 1 for moments in readings.values())
    assert twice > 0
