"""Where the fields of an input belong in a request: query, path parameters, body, headers.

An input is nested (`{"query": …, "params": …, "body": …, "headers": …}`), or flat: `body:x`,
`params:x`, `query:x`, `headers:X` name a place, and a bare field goes where the action declares it.
Both may be mixed. Pure.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from core.errors import FieldError
from core.fields import nearest
from executors.catalog.actions import ActionTarget

PLACES = ("query", "params", "body", "headers")
_NESTED = frozenset(PLACES)
_PREFIXES = {
    "body": "body",
    "params": "params",
    "param": "params",
    "query": "query",
    "headers": "headers",
    "header": "headers",
}
_SENDS_BODY = frozenset({"POST", "PUT", "PATCH"})


@dataclass(frozen=True, slots=True)
class Placed:
    """The parts of a request as an input gives them; `None`: not given. The types are not checked here."""

    query: Any = None
    params: Any = None
    body: Any = None
    headers: Any = None
    written: Mapping[tuple[str, str], str] | None = None  # (place, name) → its field in a flat input

    def field(self, place: str, *path: object) -> str:
        """The dotted path of a field as the caller wrote it."""
        if self.written and path and (flat := self.written.get((place, str(path[0])))) is not None:
            return ".".join(["input", flat, *(str(step) for step in path[1:])])
        return ".".join(["input", place, *(str(step) for step in path)])


def place(input: Mapping[str, Any], action: ActionTarget) -> tuple[Placed, list[FieldError]]:
    """The input in its places, and what has none."""
    if input.keys() <= _NESTED:
        return Placed(**input), []
    errors: list[FieldError] = []
    parts: dict[str, Any] = {name: input[name] for name in PLACES if input.get(name) is not None}
    written: dict[tuple[str, str], str] = {}
    for field, value in input.items():
        if field in _NESTED:
            continue
        found = _place_of(field, value, action)
        if isinstance(found, FieldError):
            errors.append(found)
            continue
        where, name = found
        held = parts.setdefault(where, {})
        if not isinstance(held, dict):
            errors.append(FieldError(f"input.{field}", "invalid", f"cannot be added to {where}, which is no object"))
        elif name in held:
            other = written.get((where, name), f"{where}.{name}")
            errors.append(FieldError(f"input.{field}", "duplicate", f"is given twice: also as input.{other}"))
        else:
            if (where, name) not in written and where in input and held is input[where]:
                held = parts[where] = dict(held)  # the caller's object stays as it is
            held[name] = value
            written[where, name] = field
    return Placed(**parts, written=written), errors


def _place_of(field: str, value: Any, action: ActionTarget) -> tuple[str, str] | FieldError:
    prefix, colon, name = field.partition(":")
    if colon and prefix in _PREFIXES:
        return (_PREFIXES[prefix], name) if name else FieldError(f"input.{field}", "invalid", "names nothing")
    declared = next(_declared(field, action), None)
    if declared is not None:
        return declared
    meant = nearest(field, PLACES)
    if meant is not None and not isinstance(value, (str, int, float)):
        return FieldError(f"input.{field}", "unknown_field", f"there is no such field: did you mean {meant!r}?")
    if action.schema is not None or action.method in _SENDS_BODY:
        return "body", field  # whether the schema wants it, the schema says
    if isinstance(value, (str, int, float)):
        return "query", field
    return FieldError(
        f"input.{field}",
        "unknown_field",
        f"{action} declares no {field[:60]!r}: name its place, such as query:{field[:60]}",
    )


def _declared(field: str, action: ActionTarget) -> Iterator[tuple[str, str]]:
    if field in action.path_parameters:
        yield "params", field
    if action.schema is not None and field in action.schema.get("properties", {}):
        yield "body", field
    if field in action.query_names:
        yield "query", field
    if field.lower() in action.header_names:
        yield "headers", field
