"""Executors for the acceptance tests, registered through EXTRA_EXECUTORS: one that behaves, one that does not."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import Mapping
from typing import Any

from executors.base import Call, Done, Outcome


class Echo:
    """Succeeds at once, or after `input.seconds`; its result says when it began."""

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
        began = time.time()
        await asyncio.sleep(float(call.input.get("seconds", 0)))
        return Done({"at": began})


class Poison(Echo):
    """Does what `target.event` says: crash the process, loop for ever, ignore being cancelled."""

    async def execute(self, call: Call) -> Outcome:
        what = call.target["event"]
        if what == "crash":
            os.kill(os.getpid(), signal.SIGKILL)
        while what == "loop":
            pass
        while what == "deaf":
            try:
                await asyncio.sleep(3600)
            except asyncio.CancelledError:
                continue
        return Done({})
