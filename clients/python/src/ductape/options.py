"""What a dispatch may ask for: names, types and limits, once for the checker and once for the type checker.

The documents' spelling is taken wherever they spell a name (`endDate`, `retryConfig`, `initialDelay`), and beside it the
one of Python (`end_date`, `retry_config`, `initial_delay`). Names, bounds and choices are held to the API's own
description by a test.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal, TypedDict

from ductape.arguments import (
    Check,
    Duration,
    Time,
    choice,
    flag,
    given,
    mapping,
    milliseconds,
    moment,
    number,
    several,
    short,
    text,
    unknown,
    whole,
)  # fmt: skip
from ductape.errors import InvalidArgument

DAY = 86_400_000  # ms

Overlap = Literal["skip", "queue"]
Misfire = Literal["once", "skip", "all"]
DstGap = Literal["shift", "skip"]
DstOverlap = Literal["first", "both", "last"]
OnLost = Literal["retry", "fail"]
OnConflict = Literal["return", "reject", "replace"]


class Schedule(TypedDict, total=False):
    """When a job runs: at `start_at`, by `cron` in `tz`, or `every` so many ms; without any of them now."""

    start_at: Time | None
    cron: str | None
    every: Duration | None
    limit: int | None
    endDate: Time | None
    end_date: Time | None
    tz: str | None
    timezone: str | None
    overlap: Overlap
    misfire: Misfire
    misfire_grace: Duration
    dst_gap: DstGap
    dst_overlap: DstOverlap
    jitter: Duration


class RetryConfig(TypedDict, total=False):
    """How long to wait between two attempts, in ms, and after which failures."""

    initialDelay: Duration
    initial_delay: Duration
    maxDelay: Duration
    max_delay: Duration
    backoffMultiplier: float
    backoff_multiplier: float
    jitter: bool
    jitterPercent: float
    jitter_percent: float
    retryableErrors: Sequence[str]
    retryable_errors: Sequence[str]
    nonRetryableErrors: Sequence[str]
    non_retryable_errors: Sequence[str]


class Session(TypedDict):
    """Whom a job runs for."""

    tag: str
    token: str


class DispatchOptions(TypedDict, total=False):
    """What every dispatch takes besides its target and its input."""

    product: str | None
    env: str | None
    schedule: Schedule | None
    retries: int | None
    retry_config: RetryConfig | None
    retryConfig: RetryConfig | None
    on_lost: OnLost | None
    timeout: Duration | None
    priority: int | None
    queue: str | None
    concurrency_key: str | None
    concurrency_limit: int | None
    unique_key: str | None
    on_conflict: OnConflict | None
    idempotency_key: str | None
    labels: Mapping[str, str] | None
    session: Session | str | None
    cache: str | None


class Item(DispatchOptions, total=False):
    """One job of a `dispatch_many`: its namespace, its target and what its dispatch takes."""

    namespace: str
    input: Mapping[str, Any]
    app: str
    event: str
    action: str
    tag: str
    feature: str
    notification: str
    storage: str
    operation: str
    broker: str
    topic: str
    function: str
    database: str
    graph: str


SCHEDULE: Mapping[str, Check] = {
    "start_at": moment,
    "cron": text,
    "every": milliseconds(100),
    "limit": whole(1),
    "endDate": moment,
    "end_date": moment,
    "tz": text,
    "timezone": text,
    "overlap": choice("skip", "queue"),
    "misfire": choice("once", "skip", "all"),
    "misfire_grace": milliseconds(0),
    "dst_gap": choice("shift", "skip"),
    "dst_overlap": choice("first", "both", "last"),
    "jitter": milliseconds(0),
}
RETRY_CONFIG: Mapping[str, Check] = {
    "initialDelay": milliseconds(0, DAY),
    "maxDelay": milliseconds(0, DAY),
    "backoffMultiplier": number(1, 100),
    "jitter": flag,
    "jitterPercent": number(0, 1),
    "retryableErrors": several(text),
    "nonRetryableErrors": several(text),
}
_PYTHON_SPELLING = {
    "initial_delay": "initialDelay",
    "max_delay": "maxDelay",
    "backoff_multiplier": "backoffMultiplier",
    "jitter_percent": "jitterPercent",
    "retryable_errors": "retryableErrors",
    "non_retryable_errors": "nonRetryableErrors",
}


def schedule(name: str, value: Any) -> dict[str, Any]:
    return given(SCHEDULE, mapping(name, value), within=f"{name}.")


def retry_config(name: str, value: Any) -> dict[str, Any]:
    values: dict[str, Any] = {}
    for key, one in mapping(name, value).items():
        spelled = _PYTHON_SPELLING.get(key, key)
        if spelled in values:
            raise InvalidArgument(f"{name}.{key}", f"is given twice, as {spelled!r} too")
        if spelled not in RETRY_CONFIG:
            raise unknown(f"{name}.{key}", key, [*RETRY_CONFIG, *_PYTHON_SPELLING])
        values[spelled] = one
    return given(RETRY_CONFIG, values, within=f"{name}.")


def session(name: str, value: Any) -> Any:
    if isinstance(value, str):
        return text(name, value)
    found = given({"tag": text, "token": text}, mapping(name, value), within=f"{name}.")
    for key in ("tag", "token"):
        if key not in found:
            raise InvalidArgument(f"{name}.{key}", "is missing")
    return found


def labels(name: str, value: Any) -> dict[str, Any]:
    found = mapping(name, value)
    if len(found) > 16:
        raise InvalidArgument(name, f"has {len(found)} labels, at most 16 are allowed")
    for key, one in found.items():
        if not isinstance(one, str):
            raise InvalidArgument(f"{name}.{key}", "must be a str")
    return found


OPTIONS: Mapping[str, Check] = {
    "product": short(250),
    "env": short(250),
    "input": mapping,
    "schedule": schedule,
    "retries": whole(0, 100),
    "retryConfig": retry_config,
    "on_lost": choice("retry", "fail"),
    "timeout": milliseconds(1, DAY),
    "priority": whole(0, 9),
    "queue": short(60),
    "concurrency_key": short(200),
    "concurrency_limit": whole(1, 1_000_000),
    "unique_key": short(200),
    "on_conflict": choice("return", "reject", "replace"),
    "idempotency_key": short(255),
    "labels": labels,
    "session": session,
    "cache": short(120),
}


def options(values: Mapping[str, Any], target: Mapping[str, Check]) -> dict[str, Any]:
    """The body of a dispatch: its target, and what it asks for. Raises InvalidArgument."""
    values = dict(values)
    python = values.pop("retry_config", None)
    if python is not None:
        if values.get("retryConfig") is not None:
            raise InvalidArgument("retry_config", "is given twice, as 'retryConfig' too")
        return {**given({**OPTIONS, **target}, values), "retryConfig": retry_config("retry_config", python)}
    return given({**OPTIONS, **target}, values)
