"""The expressions of a placed input: replaced by what they stand for, or by as much of it as is known before a run.

Owns how a time is written where it meets a schema. Pure: `now` is an argument.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

from core.times import from_ms
from executors.exchange.placing import PLACES, Placed
from executors.expressions import Moment, Scope, resolve, resolve_known


def resolved(placed: Placed, schema: Mapping[str, Any] | None, scope: Scope, *, now: datetime) -> Placed:
    """The input of one attempt. Raises ExpressionError; the first name of its path is that of the place."""
    return _replaced(placed, schema, lambda value: resolve(value, scope, now=now))


def known(placed: Placed, schema: Mapping[str, Any] | None, *, now: datetime) -> Placed:
    """The input as it would be sent now, `Unknown` where it refers to what only a run opens."""
    return _replaced(placed, schema, lambda value: resolve_known(value, now=now))


def literally(placed: Placed, schema: Mapping[str, Any] | None) -> Placed:
    """An input in which nothing is an expression any more: only its times are written as they are wanted."""
    return _replaced(placed, schema, lambda value: value)


def _replaced(placed: Placed, schema: Mapping[str, Any] | None, replaced: Callable[[Any], Any]) -> Placed:
    # All in one, so that they have one budget.
    parts = replaced({name: getattr(placed, name) for name in PLACES})
    return Placed(**{**parts, "body": _timed(parts["body"], schema)}, written=placed.written)


def _timed(value: Any, schema: Any) -> Any:
    """Times as the schema types them: a number of ms, or, where it wants a date or time as text, that."""
    if isinstance(value, Moment):
        if not isinstance(schema, Mapping) or schema.get("type") != "string":
            return int(value)
        moment = from_ms(value).astimezone(UTC)
        if schema.get("format") == "date":
            return moment.date().isoformat()
        written = moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")
        return written.partition("T")[2] if schema.get("format") == "time" else written
    if isinstance(value, dict):
        properties = schema.get("properties", {}) if isinstance(schema, Mapping) else {}
        return {name: _timed(member, properties.get(name)) for name, member in value.items()}
    if isinstance(value, list):
        items = schema.get("items") if isinstance(schema, Mapping) else None
        return [_timed(member, items) for member in value]
    return value
