"""The session of a job, opened for each attempt: on a database thread, and only where a job has one."""

from __future__ import annotations

import asyncio

from django.db import Error as DatabaseError

from core import crypto
from executors.base import SESSION_EXPIRED, AttemptFailed, Session
from executors.sessions import counting
from jobs.lifecycle.claim import Claim
from jobs.lifecycle.create import session_place
from jobs.runner.database import DatabaseThread

RETRY_SECONDS = 0.5  # while the database is away; the attempt's own deadline ends it


class Sessions:
    """Opens what a dispatch has sealed."""

    def __init__(self, database: DatabaseThread) -> None:
        self._database = database

    async def of(self, claim: Claim) -> Session:
        """The session that a run is made for. Raises AttemptFailed, SESSION_EXPIRED, where it counts no more."""
        while True:
            try:
                return await self._database.run(_open, claim)
            except DatabaseError:
                await asyncio.sleep(RETRY_SECONDS)


def _open(claim: Claim) -> Session:
    place = session_place(claim.product_id, claim.environment_id, claim.job_id)
    try:
        text = crypto.unseal(claim.session, place)
    except crypto.CannotOpen as error:
        raise AttemptFailed(SESSION_EXPIRED, f"the session of this job cannot be read: {error}") from None
    return counting.opened(text, claim.environment_id)
