"""What an attempt's outcome means for its run: decided once, here, and told in the log where it failed."""

from __future__ import annotations

import json
import logging

from core.backoff import RetryConfig, delay_ms, read_retry_config
from core.ids import encode
from executors.base import INTERNAL_ERROR, Done, Failed, Outcome
from jobs.lifecycle.claim import Claim
from jobs.lifecycle.settle import Finished, Postponed, Settlement, result_text, storable

logger = logging.getLogger(__name__)

LONGEST_RETRY_AFTER_SECONDS = 86_400.0  # a server that asks for more is asked again after a day
LOGGED_CHARACTERS = 200  # of an error; all of it is in the history


def decide(claim: Claim, outcome: Outcome, *, random: float) -> Settlement:
    """Done → the run completes. Failed → another attempt after a back-off, if the code allows
    it and retries are left, else the run fails. `random` in [0, 1) is the jitter."""
    if isinstance(outcome, Done):
        try:
            return Finished.completed(claim.run_id, claim.job_id, claim.fence, result_text(outcome.result))
        except ValueError as error:  # NaN or infinity in a result: JSON has no word for it
            outcome = Failed(code=INTERNAL_ERROR, message=f"the result is no JSON: {error}", retryable=False)
    config, message = retry_config(claim.retry_config), storable(outcome.message)
    worth_it = config.allows(outcome.code, outcome.retryable)
    if worth_it and claim.retry_count < claim.retries:
        delay = delay_ms(config, claim.retry_count + 1, random=random)
        if outcome.retry_after is not None:
            delay = max(delay, min(outcome.retry_after, LONGEST_RETRY_AFTER_SECONDS) * 1000)
        return Postponed(claim.run_id, claim.job_id, claim.fence, delay, outcome.code, message)
    return Finished.failed(
        claim.run_id,
        claim.job_id,
        claim.fence,
        code=outcome.code,
        error=message,
        retryable=worth_it,
        result=_result_of(outcome),
    )


def _result_of(outcome: Failed) -> str | None:
    """What was done all the same, as JSON; none where it is no JSON: the failure counts, not its decoration."""
    if outcome.result is None:
        return None
    try:
        return result_text(outcome.result)
    except ValueError:
        return None


def tell(claim: Claim, settlement: Settlement) -> None:
    """A line for an attempt that failed: a warning where the run has failed with it."""
    job_id, error = encode("job", claim.job_id), " ".join(settlement.error.split())[:LOGGED_CHARACTERS]
    if isinstance(settlement, Postponed):
        text = "run %d of %s: attempt %d failed with %s, the next one in %.1f s: %s"
        logger.debug(
            text, claim.number, job_id, claim.attempt, settlement.code, settlement.delay_ms / 1000, error
        )  # fmt: skip
    else:
        text = "run %d of %s failed with %s at attempt %d: %s"
        logger.warning(text, claim.number, job_id, settlement.code, claim.attempt, error)


_DEFAULT = RetryConfig()


def retry_config(text: str) -> RetryConfig:
    """A job's stored `retryConfig` (the API's spelling) as a value."""
    if text == "{}":
        return _DEFAULT
    return read_retry_config(json.loads(text))


def storable_instead(outcome: Settlement) -> Settlement | None:
    """What is recorded of a run whose outcome the database does not take: that its result cannot be stored."""
    if not isinstance(outcome, Finished) or outcome.result is None:
        return None
    return Finished.failed(
        outcome.run_id,
        outcome.job_id,
        outcome.fence,
        code=INTERNAL_ERROR,
        error="the run succeeded, but the database cannot store its result",
        retryable=False,
    )
