"""Runs that name a cache: answered by what an identical run before them was answered, if that still holds.

Owns when an attempt is answered from a cache, and when its result goes into one. Runs without a cache never come
here. A cache that is away costs time, never a result.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Awaitable, Callable
from typing import Any, cast

from django.db import Error as DatabaseError

from core.times import to_ms
from executors import caching
from executors.base import AttemptFailed, Call, Done, Executor, Outcome
from executors.caching import Kept
from executors.expressions import has_expressions
from executors.isolated import Died
from jobs.lifecycle.claim import Claim
from jobs.lifecycle.settle import result_text
from jobs.lifecycle.steps import CACHED, record_step
from jobs.runner.database import DatabaseThread

logger = logging.getLogger(__name__)

RETRY_SECONDS = 0.5  # while the database is away; the attempt's own deadline ends it


class Cached:
    """Makes attempts, but for those that were made before."""

    def __init__(self, database: DatabaseThread) -> None:
        self._database = database

    async def execute(
        self, claim: Claim, call: Call, executor: Executor, execute: Callable[[Call], Awaitable[Outcome | Died]]
    ) -> Outcome | Died:
        """The kept result of the same call, marked in the history; else that of the attempt, which is then kept."""
        key = _key(claim, call, executor)
        if key is None:
            return await execute(call)
        kept = await self._look(claim, key)
        if kept is not None:
            return Done(json.loads(kept.result))
        outcome = await execute(call)
        if isinstance(outcome, Done):
            await self._keep(claim, call, key, outcome)
        return outcome

    async def _look(self, claim: Claim, key: str) -> Kept | None:
        while True:
            try:
                return await self._database.run(_take, claim, key)
            except DatabaseError:
                await asyncio.sleep(RETRY_SECONDS)

    async def _keep(self, claim: Claim, call: Call, key: str, outcome: Done) -> None:
        """Keep a result. The run has succeeded: neither a database that is away nor the deadline changes that."""
        try:
            await self._database.run(
                caching.keep,
                claim.product_id,
                claim.cache,
                key,
                environment_id=claim.environment_id,
                namespace=claim.namespace,
                target=call.target,
                result=result_text(outcome.result),
            )
        except DatabaseError as error:
            logger.warning("a result is not kept in cache %r: %s", claim.cache, str(error).strip())
        except ValueError:
            logger.debug("a result that is no JSON is not kept")
        except asyncio.CancelledError:
            logger.debug("the deadline passed while a result was kept")


def _key(claim: Claim, call: Call, executor: Executor) -> str | None:
    """What the call is known by; None where it cannot be known before it is made, which then tells why."""
    resolved = cast("Callable[[Call], dict[str, Any]] | None", getattr(executor, "resolved_input", None))
    try:
        if resolved is not None:
            input = resolved(call)
        elif has_expressions(call.input):
            return None
        else:
            input = dict(call.input)
    except AttemptFailed:
        return None
    return caching.key_of(
        environment_id=claim.environment_id,
        namespace=claim.namespace,
        target=call.target,
        input=input,
        session=call.session,
        catalog_version=claim.catalog_version,
    )


def _take(claim: Claim, key: str) -> Kept | None:
    """What is kept for the call; the run's history then says that it came from there."""
    kept = caching.find(claim.product_id, claim.cache, key)
    if kept is not None:
        noted = json.dumps({"attempt": claim.attempt, "stored_at": to_ms(kept.created_at)})
        record_step(claim.run_id, claim.fence, CACHED, noted)  # if the run was taken away, its outcome is dropped, too
    return kept
