"""A seeded sample of `python -m tests.oracle`: another author's library judges the same crons and zones."""

from __future__ import annotations

import random

from core.zones import NAMES
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
