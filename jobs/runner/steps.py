"""The steps of one run as its executor sees them: read and recorded on the run's row, while the database is there."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

from django.db import Error as DatabaseError

from executors.base import INTERNAL_ERROR, AttemptFailed, Gone
from jobs.lifecycle.claim import Claim
from jobs.lifecycle.settle import result_text
from jobs.lifecycle.steps import TooMuch, read_steps, record_step, was_cancelled
from jobs.runner.database import DatabaseThread

RETRY_SECONDS = 0.5  # while the database is away; the attempt's own deadline ends it


class RunSteps:
    """See `executors.base.Steps`."""

    def __init__(self, database: DatabaseThread, claim: Claim) -> None:
        self._database, self._claim = database, claim

    async def all(self) -> Mapping[str, Mapping[str, Any]]:
        while True:
            try:
                return await self._database.run(read_steps, self._claim.run_id)
            except DatabaseError:
                await asyncio.sleep(RETRY_SECONDS)

    async def record(self, name: str, value: Mapping[str, Any]) -> None:
        text = result_text(value)
        while True:
            try:
                held = await self._database.run(record_step, self._claim.run_id, self._claim.fence, name, text)
            except TooMuch as error:
                raise AttemptFailed(INTERNAL_ERROR, str(error)) from None
            except DatabaseError:
                await asyncio.sleep(RETRY_SECONDS)
                continue
            if not held:
                raise Gone(f"run {self._claim.run_id} was taken away")
            return

    async def was_cancelled(self) -> bool:
        """Whether the run was cancelled, and not handed to another worker."""
        while True:
            try:
                return await self._database.run(was_cancelled, self._claim.run_id)
            except DatabaseError:
                await asyncio.sleep(RETRY_SECONDS)
