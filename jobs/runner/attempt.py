"""One attempt of a run: what its executor needs is fetched, then the executor makes it. Every way it ends is an outcome.

Owns what an executor is given, and what becomes of what it raises. Never when an attempt begins, is stopped or settled:
that is the loop's.
"""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Awaitable, Callable

from core.errors import ApiError
from core.ids import encode
from core.times import from_ms
from executors.base import (
    CANCELLED,
    FORBIDDEN,
    INTERNAL_ERROR,
    NOT_FOUND,
    VALIDATION_ERROR,
    AttemptFailed,
    Call,
    Failed,
    Gone,
    Outcome,
)
from executors.isolated import Died
from jobs.lifecycle.claim import Claim
from jobs.runner.caching import Cached
from jobs.runner.database import DatabaseThread
from jobs.runner.flights import Flying
from jobs.runner.isolation import Isolation
from jobs.runner.resolution import Resolution, Resolved
from jobs.runner.sessions import Sessions
from jobs.runner.steps import RunSteps

logger = logging.getLogger(__name__)

Execute = Callable[[Call], Awaitable[Outcome | Died]]

_CODES = {403: FORBIDDEN, 404: NOT_FOUND}


class Attempts:
    """Makes the attempts of one process. `reading` and `writing` are its threads for what they need of the database,
    `isolated` is how many may run in processes of their own."""

    def __init__(
        self,
        *,
        reading: DatabaseThread,
        writing: DatabaseThread,
        isolated: int,
        steps: Callable[[DatabaseThread, Claim], RunSteps] = RunSteps,
    ) -> None:
        self._writing = writing
        self._steps = steps
        self._resolution = Resolution(reading)
        self._sessions = Sessions(reading)
        self._cached = Cached(reading)
        self._isolation = Isolation(isolated)

    async def make(self, flying: Flying[Claim], *, isolated: bool, instead: Execute | None = None) -> Outcome | Died:
        """resolve → execute, or what a test has in its place. Raises CancelledError alone."""
        claim = flying.claim
        try:
            resolved = await self._resolution.of(claim)
            call = await self._call(flying, resolved)
            execute = instead or (self._isolation.execute if isolated else resolved.executor.execute)
            if claim.cache:
                return await self._cached.execute(claim, call, resolved.executor, execute)
            return await execute(call)
        except AttemptFailed as error:
            return error.failed
        except ApiError as error:
            return Failed(code=_CODES.get(error.status, VALIDATION_ERROR), message=error.detail, retryable=False)
        except Gone as error:  # whoever took it knows what becomes of it: the fence lets this not be written
            return Failed(code=CANCELLED, message=str(error), retryable=False)
        except (Exception, SystemExit) as error:  # SystemExit would end the loop, and every other run with it
            logger.exception("run %d of %s: the executor raised", claim.number, encode("job", claim.job_id))
            return Failed(code=INTERNAL_ERROR, message=f"the executor raised {type(error).__name__}", retryable=True)

    async def _call(self, flying: Flying[Claim], resolved: Resolved) -> Call:
        claim = flying.claim
        session = await self._sessions.of(claim) if claim.session else None
        job_id = encode("job", claim.job_id)
        steps = self._steps(self._writing, claim)
        return Call(
            job_id=job_id,
            run_key=f"{job_id}:{claim.number}",
            attempt=claim.attempt,
            namespace=claim.namespace,
            product=resolved.product,
            env=resolved.env,
            target=resolved.target,
            resolved=resolved.value,
            input=json.loads(claim.input),
            scheduled_at=from_ms(claim.scheduled_at_ms),
            timeout=max(0.0, flying.deadline - time.monotonic()),
            cancelled=flying.cancelled,
            steps=steps,
            was_cancelled=steps.was_cancelled,
            session=session,
        )

    def close(self) -> None:
        """End the processes of isolated runs."""
        self._isolation.close()
