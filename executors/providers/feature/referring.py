"""Which references a JSON value holds, and what those of a feature stand for."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from executors.expressions import ExpressionError, Reference, begins_one, parse, references_of


def references_of_value(value: Any) -> Iterator[Reference]:
    """Every reference in the texts of a JSON value. Raises ExpressionError for a text that is none."""
    if isinstance(value, str):
        if begins_one(value):
            for part in parse(value):
                if not isinstance(part, str):
                    yield from references_of(part)
    elif isinstance(value, Mapping):
        for name, member in value.items():
            yield from references_of_value(name)
            yield from references_of_value(member)
    elif isinstance(value, (list, tuple)):
        for member in value:
            yield from references_of_value(member)


def within(value: Any, names: tuple[str, ...], reference: Reference) -> Any:
    """The member of a JSON value that the names lead to. Raises ExpressionError where there is none."""
    at = value
    for name in names:
        index = name.strip("[]")
        if isinstance(at, Mapping) and name in at:
            at = at[name]
        elif isinstance(at, (list, tuple)) and index.isdecimal() and int(index) < len(at):
            at = at[int(index)]
        else:
            raise ExpressionError(f"{reference} stands for nothing: there is no {name[:60]!r}")
    return at
