"""Whether and when a request is sent again. Pure: what failed and the time go in, a pause comes out."""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from typing import Any

import httpx

from ductape.answers import Answer
from ductape.call import Call

FIRST_PAUSE, LONGEST_PAUSE = 0.25, 8.0  # seconds
# Failures before anything of the request was sent.
_NOT_SENT = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout)
_REFUSED = frozenset({409, 429})  # with Retry-After: it was not done, come back


@dataclass(frozen=True, kw_only=True)
class RetryPolicy:
    """At most `retries` more tries, none that could not begin before the deadline."""

    retries: int
    random: random.Random = field(default_factory=random.Random, repr=False, compare=False)

    def pause_after_failure(self, call: Call[Any], failure: Exception, *, tries: int, left: float) -> float | None:
        """Seconds until the next try; None: give up. `tries` were made, `left` seconds remain of the whole."""
        if not (call.is_repeatable or isinstance(failure, _NOT_SENT)):
            return None
        return self._pause(tries, left, None)

    def pause_after_answer(self, call: Call[Any], answer: Answer, *, tries: int, left: float) -> float | None:
        """The same, after an answer of 400 or more."""
        if answer.status == 429 or (answer.status in _REFUSED and answer.retry_after is not None):
            return self._pause(tries, left, answer.retry_after)
        if answer.status >= 500 and answer.status != 501 and call.is_repeatable:
            return self._pause(tries, left, answer.retry_after)
        return None

    def _pause(self, tries: int, left: float, asked: float | None) -> float | None:
        if tries > self.retries:
            return None
        usual = min(LONGEST_PAUSE, FIRST_PAUSE * 2 ** (tries - 1))
        pause = self.random.uniform(usual / 2, usual)  # callers that failed together do not come back together
        if asked is not None:
            pause = max(pause, asked)
        return pause if pause < left else None
