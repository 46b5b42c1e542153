"""How long to wait before the next attempt: pure, randomness is an argument."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, kw_only=True, slots=True)
class RetryConfig:
    """The documents' `retryConfig`; delays in milliseconds."""

    initial_delay: float = 1_000
    max_delay: float = 300_000
    backoff_multiplier: float = 2
    retryable_errors: tuple[str, ...] = ()
    non_retryable_errors: tuple[str, ...] = ()
    jitter: bool = True
    jitter_percent: float | None = None

    def allows(self, code: str, retryable: bool) -> bool:
        """Whether an error with this code is worth another attempt.

        `retryable` is the executor's own opinion. `nonRetryableErrors` always wins;
        `retryableErrors`, when given, is the whole list of what is retried.
        """
        if code in self.non_retryable_errors:
            return False
        if self.retryable_errors:
            return code in self.retryable_errors
        return retryable


def delay_ms(config: RetryConfig, retry: int, *, random: float) -> float:
    """Milliseconds before retry number `retry` (from 1); `random` is in [0, 1).

    `min(max, initial * multiplier ** (retry - 1))`, then the jitter: `jitterPercent: p`
    makes it `delay * (1 ± p)`, else `jitter: true` takes it down to half or more.
    """
    exponent = min(retry - 1, 1_000)
    try:
        delay = min(config.max_delay, config.initial_delay * config.backoff_multiplier**exponent)
    except OverflowError:
        delay = config.max_delay
    if config.jitter_percent is not None:
        return delay * (1 + config.jitter_percent * (2 * random - 1))
    if config.jitter:
        return delay * (1 - 0.5 * random)
    return delay


_DEFAULT = RetryConfig()


def read_retry_config(data: Mapping[str, Any]) -> RetryConfig:
    """A stored `retryConfig` (the API's spelling) as a value."""
    return RetryConfig(
        initial_delay=data.get("initialDelay", _DEFAULT.initial_delay),
        max_delay=data.get("maxDelay", _DEFAULT.max_delay),
        backoff_multiplier=data.get("backoffMultiplier", _DEFAULT.backoff_multiplier),
        retryable_errors=tuple(data.get("retryableErrors", ())),
        non_retryable_errors=tuple(data.get("nonRetryableErrors", ())),
        jitter=data.get("jitter", True),
        jitter_percent=data.get("jitterPercent"),
    )
