"""Webhooks as OpenAPI schemas."""

from __future__ import annotations

from core.openapi import (
    ANY_OBJECT,
    COUNT,
    DURATION,
    FLAG,
    TEXT,
    TIME,
    TIME_GIVEN,
    Schema,
    list_of,
    nullable,
    obj,
    one_of,
    ref,
)  # fmt: skip
from jobs.operations.request import LONGEST_LABEL_VALUE, MOST_LABELS
from webhooks.operations.fields import EVENTS, LONGEST_DESCRIPTION, LONGEST_URL
from webhooks.queries import SHOWN
from webhooks.signing import LONGEST, SHORTEST
from webhooks.states import ALL_EVENTS

_EVENT = one_of(*EVENTS)
_EVENTS: Schema = {**list_of(one_of(*EVENTS, ALL_EVENTS)), "minItems": 1}
_LABELS: Schema = {
    "type": "object",
    "maxProperties": MOST_LABELS,
    "additionalProperties": {"type": "string", "maxLength": LONGEST_LABEL_VALUE},
    "description": "a job must have all of them",
}
_URL: Schema = {
    "type": "string",
    "minLength": 1,
    "maxLength": LONGEST_URL,
    "description": "http or https (in production https alone), without credentials, not of a private address",
    "examples": ["https://api.example.com/webhooks/jobs"],
}
_SECRET: Schema = {
    "type": "string",
    "description": f"{SHORTEST} to {LONGEST} bytes as text, or whsec_ and base 64 of them",
    "examples": ["webhook-secret-key"],
}
_SETTINGS: dict[str, Schema] = {
    "env": nullable({"type": "string", "description": "the slug of an environment; left out or empty: all"}),
    "namespaces": nullable({**list_of(TEXT), "description": "left out or empty: all"}),
    "labels": nullable(_LABELS),
    "description": nullable({"type": "string", "maxLength": LONGEST_DESCRIPTION}),
}
_PRODUCT: Schema = nullable({"type": "string", "description": "left out: all that the key sees"})
_EXAMPLE = {
    "url": "https://api.example.com/webhooks/jobs",
    "events": ["job.completed", "job.failed"],
    "secret": "webhook-secret-key",
}
NEW: Schema = {
    **obj(
        {"url": _URL, "events": _EVENTS},
        {"product": _PRODUCT, **_SETTINGS, "enabled": nullable(FLAG), "secret": nullable(_SECRET)},
    ),
    "examples": [_EXAMPLE],
}
CHANGES: Schema = {
    **obj(
        {},
        {
            "url": nullable(_URL),
            "events": nullable(_EVENTS),
            **_SETTINGS,
            "enabled": nullable(FLAG),
            "secret": nullable(_SECRET),
        },
    ),
    "examples": [{"events": ["*"], "description": "everything"}],
}
SET: Schema = {
    **obj({"url": _URL}, {"events": nullable(_EVENTS), "product": _PRODUCT, **_SETTINGS, "secret": nullable(_SECRET)}),
    "examples": [_EXAMPLE],
}
ROTATION: Schema = obj({}, {"secret": nullable(_SECRET)})
TEST: Schema = obj({}, {"event": nullable(_EVENT)})
REPLAY: Schema = {
    **obj(
        {"from": TIME_GIVEN},
        {
            "to": nullable(TIME_GIVEN),
            "status": nullable(
                {
                    **list_of(one_of("delivered", "failed", "missing")),
                    "description": "left out: all that have ended. missing: what the webhook was never told of",
                }
            ),
        },
    ),
    "examples": [{"from": 1_767_225_600_000, "status": ["failed"]}],
}

_ENDPOINT: dict[str, Schema] = {
    "id": TEXT,
    "url": TEXT,
    "events": list_of(one_of(*EVENTS, ALL_EVENTS)),
    "product": nullable(TEXT),
    "env": nullable(TEXT),
    "namespaces": list_of(TEXT),
    "labels": {"type": "object", "additionalProperties": TEXT},
    "description": TEXT,
    "enabled": FLAG,
    "consecutive_failures": {**COUNT, "description": "attempts since the last that succeeded"},
    "created_at": TIME,
    "updated_at": TIME,
}
_SOMETIMES: dict[str, Schema] = {
    "disabled_at": TIME,
    "disabled_reason": {**TEXT, "description": "why it was disabled by itself"},
    "failing_since": TIME,
    "resting_until": {
        **TIME,
        "description": "after failures in a row nothing is sent before; then one request tries it",
    },
    "old_secret_until": {
        **TIME,
        "description": "until then the secret before this one signs too; those before that one end earlier",
    },
}
_ATTEMPT = obj(
    {
        "at": TIME,
        "duration_ms": DURATION,
        "response_status": nullable({"type": "integer"}),
        "response_body": {**TEXT, "description": "its first 4 kB"},
        "error": nullable(TEXT),
        "address": {**nullable(TEXT), "description": "that was connected to"},
    }
)
_DELIVERY: dict[str, Schema] = {
    "id": TEXT,
    "message_id": {**TEXT, "description": "the webhook-id, at every attempt and in every replay"},
    "event": _EVENT,
    "job_id": {**nullable(TEXT), "description": "none: it was a test"},
    "seq": nullable(COUNT),
    "status": one_of(*SHOWN),
    "attempts": list_of(_ATTEMPT),
    "created_at": TIME,
}
_TIMES: dict[str, Schema] = {
    "next_attempt_at": TIME,
    "finished_at": TIME,
    "reason": {**TEXT, "description": "why it has failed for good"},
}
_MS = nullable(DURATION)

COMPONENTS: dict[str, Schema] = {
    "Webhook": obj(_ENDPOINT, _SOMETIMES, description="An address that is told of events."),
    "WebhookWithSecret": obj(
        _ENDPOINT,
        {**_SOMETIMES, "secret": {**TEXT, "description": "whsec_…: shown by the call that made it, and never again"}},
    ),
    "Webhooks": obj({"webhooks": list_of(ref("Webhook")), "total": COUNT, "limit": COUNT, "offset": COUNT}),
    "WebhookDelivery": obj(_DELIVERY, {**_TIMES, "payload": {**ANY_OBJECT, "description": "the body that is sent"}}),
    "WebhookDeliveries": obj(
        {"deliveries": list_of(obj(_DELIVERY, _TIMES)), "next_cursor": nullable(TEXT), "limit": COUNT}
    ),
    "WebhookReplayed": obj({"count": {**COUNT, "description": "deliveries that are sent again"}}),
    "WebhookStats": obj(
        {
            "pending": COUNT,
            "delivered": COUNT,
            "failed": COUNT,
            "attempts": COUNT,
            "success_rate": {**nullable({"type": "number"}), "description": "0–100 of those that have ended"},
            "duration_ms": obj({"p50": _MS, "p95": _MS, "p99": _MS}),
            "consecutive_failures": COUNT,
            "failing_since": nullable(TIME),
            "last_error": nullable(TEXT),
        }
    ),
}
