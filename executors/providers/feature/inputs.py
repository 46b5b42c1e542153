"""The values in a feature: what its references stand for, and what is known of a step's input at dispatch."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from core.errors import FieldError
from executors.expressions import ExpressionError, Reference, Unknown, begins_one, walk

_NUMBERS = {"number", "float", "double"}
_UUID = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")


class DispatchScope:
    """The same before any step has run: the input as far as it is known, everything else unknown."""

    def __init__(self, input: Mapping[str, Any]) -> None:
        self._input = input

    def value_of(self, reference: Reference) -> Any:
        if reference.kind != "Input":
            return Unknown(str(reference))
        at: Any = self._input
        for position, _ in enumerate(reference.names):
            if isinstance(at, Unknown):
                return at
            try:
                at = walk(at, reference.names[position : position + 1], reference)
            except ExpressionError:
                return Unknown(str(reference))  # told by the run, where the step runs at all
        return at


def as_data(value: Any) -> Any:
    """What is known of a step's input, in which nothing is an expression any more: a text that looks like one is
    `Unknown`, which nobody reads as one."""
    if isinstance(value, str):
        return Unknown(value) if begins_one(value) else value
    if isinstance(value, Mapping):
        return {name: as_data(member) for name, member in value.items()}
    return [as_data(member) for member in value] if isinstance(value, list) else value


def with_defaults(declared: Mapping[str, Any], input: Mapping[str, Any]) -> dict[str, Any]:
    """The input with the declared defaults where it says nothing."""
    filled = dict(input)
    for name, field in declared.items():
        if filled.get(name) is None and field.get("default") is not None:
            filled[name] = field["default"]
    return filled


def wrong_values(declared: Mapping[str, Any], input: Mapping[str, Any]) -> Iterator[FieldError]:
    """What of an input does not fit what the feature declares; what it does not declare is let through."""
    for name, field in declared.items():
        value = input.get(name)
        if value is None:
            if field.get("required"):
                yield FieldError(f"input.{name}", "required", "is required by the feature")
            continue
        if isinstance(value, Unknown):
            continue
        type = field.get("type", "any")
        if not _is(value, type):
            yield FieldError(f"input.{name}", "invalid", f"must be of type {type}")
        elif isinstance(value, (str, list)):
            low, high = field.get("minlength", 0), field.get("maxlength")
            if len(value) < low or (high is not None and len(value) > high):
                most = f" and at most {high}" if high is not None else ""
                yield FieldError(f"input.{name}", "invalid", f"must have at least {low}{most} characters or members")


def _is(value: Any, type: str) -> bool:
    if type == "any":
        return True
    if type == "boolean":
        return isinstance(value, bool)
    if type == "string":
        return isinstance(value, str)
    if type == "uuid":
        return isinstance(value, str) and _UUID.fullmatch(value) is not None
    if type == "array":
        return isinstance(value, list)
    if type == "object":
        return isinstance(value, dict)
    if isinstance(value, bool):
        return False
    if type == "integer":
        return isinstance(value, int) or (isinstance(value, float) and value.is_integer())
    if type == "numberstring":
        return isinstance(value, str) and re.fullmatch(r"-?\d+(\.\d+)?", value) is not None
    return type in _NUMBERS and isinstance(value, (int, float))
