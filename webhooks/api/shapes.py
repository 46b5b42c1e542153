"""Endpoints and deliveries as callers see them. A secret is never among it, but where it is made."""

from __future__ import annotations

import json
from datetime import datetime
from typing import Any

from core.ids import encode
from core.times import to_ms, to_ms_or_none
from webhooks.models import MESSAGE_PREFIX, Attempt, Delivery, Endpoint
from webhooks.operations.endpoints import Shown
from webhooks.queries import EndpointStats
from webhooks.states import DeliveryStatus


def endpoint_shape(endpoint: Endpoint) -> dict[str, Any]:
    times = {
        "disabled_at": endpoint.disabled_at,
        "failing_since": endpoint.failing_since,
        "resting_until": endpoint.rest_until,
        "old_secret_until": endpoint.old_secret_until,
    }
    return {
        "id": str(endpoint),
        "url": endpoint.url,
        "events": endpoint.events,
        "product": endpoint.product.tag if endpoint.product is not None else None,
        "env": endpoint.env or None,
        "namespaces": endpoint.namespaces,
        "labels": endpoint.labels,
        "description": endpoint.description,
        "enabled": endpoint.enabled,
        "consecutive_failures": endpoint.consecutive_failures,
        "created_at": to_ms(endpoint.created_at),
        "updated_at": to_ms(endpoint.updated_at),
        **({"disabled_reason": endpoint.disabled_reason} if endpoint.disabled_reason else {}),
        **{name: to_ms_or_none(at) for name, at in times.items() if at is not None},
    }


def shown_shape(shown: Shown) -> dict[str, Any]:
    """With the secret, where this is the answer that shows it."""
    return {**endpoint_shape(shown.endpoint), **({} if shown.secret is None else {"secret": shown.secret})}


def _next_attempt_at(delivery: Delivery) -> datetime:
    """Not while its endpoint rests."""
    rests_until = delivery.endpoint.rest_until
    return delivery.due_at if rests_until is None else max(delivery.due_at, rests_until)


def delivery_shape(delivery: Delivery) -> dict[str, Any]:
    message = delivery.message
    waits = delivery.status == DeliveryStatus.PENDING
    return {
        "id": str(delivery),
        "message_id": encode(MESSAGE_PREFIX, message.pk),
        "event": delivery.type,
        "job_id": None if message.job_id is None else encode("job", message.job_id),
        "seq": message.seq,
        "status": "pending" if delivery.status == DeliveryStatus.DELIVERING else delivery.status,
        "attempts": [attempt_shape(each) for each in delivery.attempts.all()],
        "created_at": to_ms(delivery.created_at),
        **({"next_attempt_at": to_ms(_next_attempt_at(delivery))} if waits else {}),
        **({} if delivery.finished_at is None else {"finished_at": to_ms(delivery.finished_at)}),
        **({"reason": delivery.reason} if delivery.reason else {}),
    }


def delivery_with_payload(delivery: Delivery) -> dict[str, Any]:
    return {**delivery_shape(delivery), "payload": json.loads(delivery.message.body)}


def attempt_shape(attempt: Attempt) -> dict[str, Any]:
    return {
        "at": to_ms(attempt.at),
        "duration_ms": attempt.duration_ms,
        "response_status": attempt.response_status,
        "response_body": attempt.response_body,
        "error": attempt.error or None,
        "address": attempt.address or None,
    }


def stats_shape(stats: EndpointStats, endpoint: Endpoint) -> dict[str, Any]:
    return {
        "pending": stats.pending,
        "delivered": stats.delivered,
        "failed": stats.failed,
        "attempts": stats.attempts,
        "success_rate": stats.success_rate,
        "duration_ms": {"p50": stats.duration_p50, "p95": stats.duration_p95, "p99": stats.duration_p99},
        "consecutive_failures": endpoint.consecutive_failures,
        "failing_since": to_ms_or_none(endpoint.failing_since),
        "last_error": stats.last_error or None,
    }
