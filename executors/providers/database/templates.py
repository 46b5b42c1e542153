"""Saved actions: a template with `{{placeholders}}`, and the request it is with the values of an input. Pure.

A text that is one placeholder becomes its value, of whatever type; within a longer text it becomes text.
A name is looked for in `data`, `query` and `filter` of the input where these are objects, then in the input itself.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any

from core import clock
from core.errors import FieldError
from core.fields import dotted, nearest
from executors.expressions import Unknown, check_expressions, plain, resolve_known
from executors.providers.database.reading import Read, holds_unknown, read_request

OPERATIONS = {
    "QUERY": "query", "INSERT": "insert", "UPDATE": "update", "DELETE": "delete", "UPSERT": "upsert",
    "AGGREGATE": "aggregate", "RAW_SQL": "raw",
}  # fmt: skip
ALIASES = {"READ": "QUERY", "FIND": "QUERY", "CREATE": "INSERT", "RAW": "RAW_SQL"}
_PLACEHOLDER = re.compile(r"\{\{\s*([A-Za-z_][A-Za-z0-9_.\-]{0,119})\s*\}\}")
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
    if event.get("table"):
        made["table"] = event["table"]
    if event.get("allowAll") is True:
        made["allowAll"] = True
    return made


def names_in(value: Any) -> Iterator[str]:
    """The placeholders of a template."""
    if isinstance(value, str):
        yield from (found[1] for found in _PLACEHOLDER.finditer(value))
    elif isinstance(value, Mapping):
        for member in value.values():
            yield from names_in(member)
    elif isinstance(value, list):
        for member in value:
            yield from names_in(member)


def wrong_template(event: Mapping[str, Any], *, type: str, default_table: str) -> Iterator[FieldError]:
    """What is wrong with a saved action whatever its input will be; paths are the event's own."""
    operation = event["operation"]
    for at, text in _keys(event.get("template"), "template"):
        if _PLACEHOLDER.search(text):
            yield FieldError(at, "invalid", "a placeholder can be a value, not the name of a field")
    fixed = [event.get("table"), *((event.get("template") or {}).get(name) for name in _FIXED.get(operation, ()))]
    if any(isinstance(text, str) and _PLACEHOLDER.search(text) for text in fixed):
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
        OPERATIONS[operation], fill(written, None), type=type, default_table=default_table, path="template"
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
    filled = fill(resolve_known(input_of(event), now=now), _values(input))
    return read_request(OPERATIONS[event["operation"]], filled, type=type, default_table=default_table)


def fill(value: Any, values: Mapping[str, Any] | None) -> Any:
    """The template with its placeholders replaced; without values, each is unknown."""
    if isinstance(value, str):
        return _filled(value, values)
    if isinstance(value, Mapping):
        return {name: fill(member, values) for name, member in value.items()}
    return [fill(member, values) for member in value] if isinstance(value, list) else value


def _filled(text: str, values: Mapping[str, Any] | None) -> Any:
    if "{{" not in text or _PLACEHOLDER.search(text) is None:
        return text
    if values is None:
        return Unknown(text)
    whole = _PLACEHOLDER.fullmatch(text)
    if whole is not None:
        return values.get(whole[1])
    parts = [values.get(name) for name in names_in(text)]
    if any(isinstance(part, Unknown) for part in parts):
        return Unknown(text)
    return _PLACEHOLDER.sub(lambda found: _text(values.get(found[1])), text)


def _text(value: Any) -> str:
    return "" if value is None else plain(value) if isinstance(value, (str, int, float, bool)) else str(value)


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
