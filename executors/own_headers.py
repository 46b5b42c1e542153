"""The headers by which every call says whose it is, and who may say otherwise. Data only.

A receiver tells calls of one run by them: neither a catalog nor an input may write over what is true.
The one exception is the idempotency key of a one-off job, whose input may bring the caller's own.
"""

from __future__ import annotations

from typing import Final

IDEMPOTENCY_KEY: Final = "idempotency-key"
OF_THE_RUN: Final = frozenset({"x-job-id", "x-attempt", "x-scheduled-for"})
EVERY_CALL: Final = OF_THE_RUN | {IDEMPOTENCY_KEY}

IN_THE_CATALOG: Final = "is set by this system on every call: leave it out"
IN_AN_INPUT: Final = "is set by this system and tells the truth about the run: leave it out"
IN_A_RECURRING_INPUT: Final = (
    "must not be given for a recurring job: every run has a key of its own, and with this one a receiver "
    "would take all runs but the first for repetitions"
)
