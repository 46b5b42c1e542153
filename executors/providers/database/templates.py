"""Saved actions: a template with `{{placeholders}}`, and the request it is with the values of an input. Pure.

A name is looked for in `data`, `query` and `filter` of the input where these are objects, then in the input itself.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any

from core import clock
from core.errors import FieldError
from core.fields import dotted, nearest
from executors.expressions import Unknown, check_expressions, resolve_known
from executors.providers.database.reading import Read, holds_unknown, read_request
from executors.templates import PLACEHOLDER, filled, names_in

OPERATIONS = {
    "QUERY": "query", "INSERT": "insert", "UPDATE": "update", "DELETE": "delete", "UPSERT": "upsert",
    "AGGREGATE": "aggregate", "COUNT": "count", "RAW_SQL": "raw",
}  # fmt: skip
ALIASES = {"READ": "QUERY", "FIND": "QUERY", "CREATE": "INSERT", "RAW": "RAW_SQL"}
_GROUPS = ("data", "query", "filter")
_FIXED = {"RAW_SQL": ("query", "sql")}  # a value in these would be part of the statement


def operation_of(text: str) -> str:
    """The operation of a saved action as this system spells it."""
    folded = text.upper()
    return ALIASES.get(folded, folded)


def input_of(event: Mapping[str, Any]) -> dict[str, Any]:
    """What an operation's input is by the template, placeholders as written."""
    operation = event.get("operation", "")
    template, where = event.get("template"), event.get("filterTemplate")
    made: dict[str, Any] = {}
    if operation == "UPDATE":
        made["data"] = template
    elif isinstance(template, dict):
        made |= template
    if where is not None:
        made["where"] = where
    if event.get("table") and operation != "RAW_SQL":  # which says itself what it reads
        made["table"] = event["table"]
    if event.get("allowAll") is True:
        made["allowAll"] = True
    return made


def wrong_template(event: Mapping[str, Any], *, type: str, default_table: str) -> Iterator[FieldError]:
    """What is wrong with a saved action whatever its input will be; paths are the event's own."""
    operation = event["operation"]
    for at, text in _keys(event.get("template"), "template"):
        if PLACEHOLDER.search(text):
            yield FieldError(at, "invalid", "a placeholder can be a value, not the name of a field")
    fixed = [event.get("table"), *((event.get("template") or {}).get(name) for name in _FIXED.get(operation, ()))]
    if any(isinstance(text, str) and PLACEHOLDER.search(text) for text in fixed):
        detail = "no placeholder can stand here: values are bound, never put into a statement"
        yield FieldError("template", "invalid", f"{detail}. Write $1 in the query, and {{{{name}}}} in params")
        return
    written = input_of(event)
    expressions = check_expressions(written, "template")
    if expressions.errors:
        yield from expressions.errors
        return
    if holds_unknown(resolve_known(written, now=clock.machine_now())):
        detail = "refers to what only an input can: put a {{name}} here, and the reference in the job's input"
        yield FieldError("template", "expression_unsupported", detail)
        return
    read = read_request(
        OPERATIONS[operation], filled(written, Unknown), type=type, default_table=default_table, path="template"
    )
    yield from read.errors


def missing(event: Mapping[str, Any], input: Mapping[str, Any]) -> Iterator[FieldError]:
    """The placeholders without a value."""
    values = _values(input)
    for name in sorted(set(names_in(input_of(event)))):
        if name not in values:
            near = nearest(name, list(values))
            hint = f": did {near!r} mean it?" if near else ""
            yield FieldError(dotted("input", name), "required", f"is required: the template has {{{{{name}}}}}{hint}")


def request_of(
    event: Mapping[str, Any], input: Mapping[str, Any], *, type: str, default_table: str, now: datetime
) -> Read:
    """What the action asks for with this input, which lacks nothing. $Now() in the template is `now`."""
    made = filled(resolve_known(input_of(event), now=now), _values(input).get)
    return read_request(OPERATIONS[event["operation"]], made, type=type, default_table=default_table)


def _values(input: Mapping[str, Any]) -> dict[str, Any]:
    values = dict(input)
    for group in reversed(_GROUPS):
        if isinstance(input.get(group), Mapping):
            values |= input[group]
    return values


def _keys(value: Any, path: str) -> Iterator[tuple[str, str]]:
    if isinstance(value, Mapping):
        for name, member in value.items():
            yield path, name
            yield from _keys(member, dotted(path, name))
    elif isinstance(value, list):
        for position, member in enumerate(value):
            yield from _keys(member, dotted(path, position))
