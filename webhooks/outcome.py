"""What the answer of an endpoint means for its delivery: decided once, here. Pure; chance is an argument.

Only 2xx is success. 410 says that the endpoint is gone. Everything else, a redirect too, is tried again.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from core.ids import encode
from webhooks.claiming import DeliveryClaim
from webhooks.models import DELIVERY_PREFIX
from webhooks.states import DeliveryStatus

# Seconds from an attempt that failed to the one after it; the first is made at once.
DELAYS = (5, 300, 1_800, 7_200, 18_000, 36_000, 50_400, 72_000, 86_400)
ATTEMPTS = len(DELAYS) + 1
JITTER = 0.1  # a delay is up to so much longer, so that what failed together does not come back together
LONGEST_RETRY_AFTER_SECONDS = 86_400.0
TOO_MANY = 429
RETRY_AFTER_STATUSES = frozenset({TOO_MANY, 503})
GONE = 410
GONE_REASON = "the endpoint answered 410 (Gone)"


@dataclass(frozen=True, kw_only=True, slots=True)
class Answer:
    """What came of a request. Without a `status` no complete answer came, and `error` says why."""

    at: datetime  # when it was sent
    duration_ms: int
    status: int | None = None
    body: str = ""
    retry_after: float | None = None  # seconds
    error: str = ""
    address: str = ""


class Ended(NamedTuple):
    """An attempt, and what becomes of its delivery."""

    delivery_id: UUID
    fence: int
    endpoint_id: UUID
    url: str  # that was called: the endpoint may have another one by now
    status: DeliveryStatus  # PENDING: another attempt follows in `delay` seconds
    delay: float
    reason: str  # why it has failed for good
    gone: bool  # the endpoint does not want to be told any more
    probe: bool
    answer: Answer

    @property
    def key(self) -> UUID:
        return self.delivery_id

    @property
    def succeeded(self) -> bool:
        return self.status is DeliveryStatus.DELIVERED

    @property
    def asks_for_rest(self) -> float:
        """For how many seconds the endpoint wants nothing at all: it said that it gets too much. 0: it did not."""
        return self.answer.retry_after or 0.0 if self.answer.status == TOO_MANY else 0.0

    def __str__(self) -> str:
        return f"delivery {encode(DELIVERY_PREFIX, self.delivery_id)}"


def decide(claim: DeliveryClaim, answer: Answer, *, random: float) -> Ended:
    """What becomes of the delivery; `random` is in [0, 1)."""

    def ended(status: DeliveryStatus, *, delay: float = 0.0, reason: str = "", gone: bool = False) -> Ended:
        return Ended(
            claim.delivery_id, claim.fence, claim.endpoint_id, claim.url, status, delay, reason[:300], gone, claim.probe,
            answer,
        )  # fmt: skip

    if answer.status is not None and 200 <= answer.status < 300:
        return ended(DeliveryStatus.DELIVERED)
    if answer.status == GONE:
        return ended(DeliveryStatus.FAILED, reason=GONE_REASON, gone=True)
    if claim.attempt >= ATTEMPTS:
        return ended(DeliveryStatus.FAILED, reason=f"attempt {claim.attempt} was the last: {answer.error}")
    delay = DELAYS[claim.attempt - 1] * (1 + JITTER * random)
    if answer.status in RETRY_AFTER_STATUSES and answer.retry_after is not None:
        delay = max(delay, min(answer.retry_after, LONGEST_RETRY_AFTER_SECONDS))
    return ended(DeliveryStatus.PENDING, delay=delay)
