"""The executor of the namespace `noop`, registered through EXTRA_EXECUTORS: it does nothing.

Its result says when it began, as the peers' tasks do, so that lateness is counted to the code
that runs and not to the claim before it.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from executors.base import Call, Done, Outcome

NAMESPACE = "noop"
SETTING = "noop=benchmarks.noop.NoOp"


class NoOp:
    """Succeeds at once."""

    isolated = False

    def check(
        self,
        *,
        product_id: int,
        environment_id: int,
        target: Mapping[str, Any],
        input: Mapping[str, Any],
        recurring: bool,
    ) -> None:
        """Everything is fine."""

    def resolve(self, *, product_id: int, environment_id: int, target: Mapping[str, Any]) -> None:
        """Nothing is needed to run."""

    async def execute(self, call: Call) -> Outcome:
        """The time of the start, in seconds since the epoch."""
        return Done({"at": time.time()})
