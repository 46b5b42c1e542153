"""The states of a delivery: data, pure."""

from __future__ import annotations

from enum import StrEnum


class DeliveryStatus(StrEnum):
    """What becomes of one event for one endpoint. Callers see `delivering` as `pending`."""

    PENDING = "pending"  # its next attempt has a time
    DELIVERING = "delivering"  # claimed by a worker
    DELIVERED = "delivered"  # an answer of 2xx came
    FAILED = "failed"  # no attempt is left, or its endpoint is gone or disabled


class AttemptOutcome(StrEnum):
    """What an attempt meant for its delivery."""

    DELIVERED = "delivered"
    RETRIED = "retried"  # another one follows
    FAILED = "failed"  # it was the last


class NoticeKind(StrEnum):
    """What operators are told of."""

    DISABLED = "endpoint.disabled"


ENDED = frozenset({DeliveryStatus.DELIVERED, DeliveryStatus.FAILED})
ALL_EVENTS = "*"
