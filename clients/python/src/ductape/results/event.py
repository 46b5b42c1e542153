"""What happened to a job: of the live stream, and of webhooks; webhooks themselves and their deliveries."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal

from ductape.reading import Result

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
    """A verified webhook. `id` is the same whenever it is sent again: do its work once for each."""

    id: str = ""
    event: str
    timestamp: datetime
    job: WebhookJob
    type: str | None = None


@dataclass(frozen=True, kw_only=True)
class Webhook(Result):
    """Where events are sent. `secret` is shown only where it was just made."""

    id: str
    url: str
    events: tuple[str, ...]
    enabled: bool = True
    product: str | None = None
    env: str | None = None
    namespaces: tuple[str, ...] = ()
    labels: Mapping[str, str] = field(default_factory=dict)
    description: str | None = None
    secret: str | None = None


@dataclass(frozen=True, kw_only=True)
class DeliveryAttempt(Result):
    at: datetime
    duration_ms: int | None = None
    response_status: int | None = None
    response_body: str | None = None
    error: str | None = None


@dataclass(frozen=True, kw_only=True)
class Delivery(Result):
    """One event on its way to one webhook."""

    id: str
    event: str
    job_id: str
    status: Literal["pending", "delivered", "failed"]
    attempts: tuple[DeliveryAttempt, ...]
