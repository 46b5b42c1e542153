"""The bodies and answers of the dispatch calls as OpenAPI schemas."""

from __future__ import annotations

from core.openapi import ANY_OBJECT, FLAG, TEXT, TIME, Schema, list_of, nullable, obj, one_of, ref
from core.retrying import LONGEST_CODE, LONGEST_DELAY, MOST_CODES
from executors import registry
from jobs.api import examples
from jobs.operations import request as limits
from jobs.operations.dispatch import MOST_JOBS
from jobs.operations.targets import TargetNames
from jobs.states import JobStatus

_NAME: Schema = {"type": "string", "minLength": 1, "maxLength": limits.LONGEST_NAME}
_KEY: Schema = {"type": "string", "minLength": 1, "maxLength": limits.LONGEST_KEY}
_DELAY: Schema = {"type": "number", "minimum": 0, "maximum": LONGEST_DELAY, "description": "ms"}
_CODES: Schema = {
    **list_of({"type": "string", "maxLength": LONGEST_CODE}),
    "maxItems": MOST_CODES,
    "description": "what a run fails with, such as TIMEOUT (docs/actions.md); a misspelt one is refused",
}

RETRY_CONFIG = obj(
    {},
    {
        "initialDelay": nullable(_DELAY),
        "maxDelay": nullable(_DELAY),
        "backoffMultiplier": nullable({"type": "number", "minimum": 1, "maximum": 100}),
        "jitter": nullable(FLAG),
        "jitterPercent": nullable({"type": "number", "minimum": 0, "maximum": 1}),
        "retryableErrors": nullable(_CODES),
        "nonRetryableErrors": nullable(_CODES),
    },
)

OPTIONS: dict[str, Schema] = {
    "product": {**_NAME, "description": "may be left out with a product's key"},
    "env": {**_NAME, "description": "may be left out where the key allows just one"},
    "input": {**ANY_OBJECT, "description": "at most 1 MiB of JSON"},
    "schedule": ref("Schedule"),
    "retries": {"type": "integer", "minimum": 0, "maximum": limits.MOST_RETRIES, "default": 0},
    "retryConfig": ref("RetryConfig"),
    "on_lost": {**one_of(*limits.ON_LOST), "default": "retry"},
    "timeout": {"type": "integer", "minimum": 1, "maximum": limits.LONGEST_TIMEOUT, "description": "ms"},
    "priority": {"type": "integer", "minimum": 0, "maximum": limits.HIGHEST_PRIORITY, "default": 5},
    "queue": {"type": "string", "pattern": f"^{limits.QUEUE.pattern}$"},
    "concurrency_key": _KEY,
    "concurrency_limit": {"type": "integer", "minimum": 1, "maximum": limits.MOST_AT_ONCE},
    "unique_key": _KEY,
    "on_conflict": {
        **one_of(*limits.ON_CONFLICT),
        "default": "return",
        "description": "`replace` cancels the job that is there, so it needs the scope jobs:manage, too",
    },
    "idempotency_key": {"type": "string", "minLength": 1, "maxLength": limits.LONGEST_IDEMPOTENCY_KEY},
    "labels": {"type": "object", "additionalProperties": TEXT, "maxProperties": limits.MOST_LABELS},
    "session": {
        "oneOf": [TEXT, obj({"tag": TEXT, "token": TEXT})],
        "description": "`{tag, token}`, or the token as its `start` returned it, `tag:jwt`",
    },
    "cache": {"type": "string", "minLength": 1, "maxLength": limits.LONGEST_TAG, "description": "a cache's tag"},
}


def dispatch_body(names: TargetNames) -> Schema:
    """The body of one namespace's dispatch; a target may be named by an alias, so none is required here."""
    aliases = dict(names.aliases)
    target: dict[str, Schema] = dict.fromkeys(names.fields, _NAME)
    target |= {alias: {**_NAME, "description": f"another name for `{name}`"} for alias, name in aliases.items()}
    required = {name: target.pop(name) for name in names.fields if name not in aliases.values()}
    body = obj(required, {**target, **{name: nullable(schema) for name, schema in OPTIONS.items()}})
    shown = examples.DISPATCH.get(names.namespace)
    return {**body, "examples": shown} if shown else body


_ITEM: Schema = {
    "type": "object",
    "required": ["namespace"],
    "properties": {
        "namespace": one_of(*registry.known()),
        **{name: nullable(schema) for name, schema in OPTIONS.items()},
    },
    "description": "what a dispatch of that namespace takes",
}
MANY = obj(
    {"jobs": {**list_of(_ITEM), "minItems": 1, "maxItems": MOST_JOBS}},
    {"idempotency_key": OPTIONS["idempotency_key"]},
)

RESULT = obj(
    {
        "job_id": TEXT,
        "status": {**one_of(*map(str, JobStatus)), "description": "scheduled or queued, of a new job"},
        "scheduled_at": TIME,
        "recurring": FLAG,
    },
    {"next_run_at": {**TIME, "description": "of recurring jobs, in ms"}},
)

COMPONENTS: dict[str, Schema] = {
    "RetryConfig": RETRY_CONFIG,
    "DispatchMany": MANY,
    "DispatchResult": RESULT,
    "DispatchResults": obj({"jobs": list_of(ref("DispatchResult"))}),
}
