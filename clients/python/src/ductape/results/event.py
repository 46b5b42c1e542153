"""What happened to a job: of the live stream, and of webhooks; webhooks themselves and their deliveries."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal

from ductape.reading import Result
from ductape.results.stats import Percentiles

EventName = Literal[
    "job.scheduled", "job.started", "job.completed", "job.failed", "job.cancelled", "job.paused", "job.resumed",
    "job.retrying", "job.skipped", "job.rescheduled", "job.deleted",
]  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class JobEvent(Result):
    """A transition as the stream tells it. `job_id` and `seq` name it for ever; `id` is where the stream is with it."""

    job_id: str
    seq: int
    type: str
    status: str
    at: datetime
    product: str
    env: str
    namespace: str
    target: Mapping[str, Any]
    labels: Mapping[str, str]
    number: int | None = None
    id: str = ""


@dataclass(frozen=True, kw_only=True)
class WebhookJob(Result):
    """The job that a webhook tells of."""

    id: str
    status: str
    namespace: str
    product: str
    env: str
    scheduled_at: datetime
    execution_count: int | None = None
    error: str | None = None
    number: int | None = None
    seq: int | None = None
    labels: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class WebhookEvent(Result):
    """A verified webhook. `id` is the same whenever it is sent again: do its work once for each. Of a `test`
    the job is an example."""

    id: str = ""
    event: str
    timestamp: datetime
    job: WebhookJob
    type: str | None = None
    test: bool = False


@dataclass(frozen=True, kw_only=True)
class Webhook(Result):
    """Where events are sent. `secret` is shown only by the call that made it."""

    id: str
    url: str
    events: tuple[str, ...]
    product: str | None
    env: str | None
    namespaces: tuple[str, ...]
    labels: Mapping[str, str]
    description: str
    enabled: bool
    consecutive_failures: int
    created_at: datetime
    updated_at: datetime
    disabled_at: datetime | None = None
    disabled_reason: str | None = None
    failing_since: datetime | None = None
    resting_until: datetime | None = None
    old_secret_until: datetime | None = None
    secret: str | None = None


@dataclass(frozen=True, kw_only=True)
class DeliveryAttempt(Result):
    """One request of a delivery, and what came back."""

    at: datetime
    duration_ms: int
    response_status: int | None
    response_body: str
    error: str | None
    address: str | None


@dataclass(frozen=True, kw_only=True)
class Delivery(Result):
    """One event on its way to one webhook. `job_id` is None of a test; `reason` says why it
    has failed for good; `payload` is told of a single one only."""

    id: str
    message_id: str
    event: str
    job_id: str | None
    seq: int | None
    status: Literal["pending", "delivered", "failed"]
    attempts: tuple[DeliveryAttempt, ...]
    created_at: datetime
    next_attempt_at: datetime | None = None
    finished_at: datetime | None = None
    reason: str | None = None
    payload: Mapping[str, Any] | None = None


@dataclass(frozen=True, kw_only=True)
class DeliveryPage(Result):
    """A page of a delivery log, the newest first; iterating it gives its deliveries."""

    deliveries: tuple[Delivery, ...]
    next_cursor: str | None
    limit: int

    def __iter__(self) -> Iterator[Delivery]:
        return iter(self.deliveries)


@dataclass(frozen=True, kw_only=True)
class WebhookStats(Result):
    """Deliveries of a time. `success_rate` is 0 to 100 of those that have ended."""

    pending: int
    delivered: int
    failed: int
    attempts: int
    success_rate: float | None
    duration_ms: Percentiles
    consecutive_failures: int
    failing_since: datetime | None
    last_error: str | None


@dataclass(frozen=True, kw_only=True)
class Replayed(Result):
    """How many deliveries are sent again."""

    count: int
