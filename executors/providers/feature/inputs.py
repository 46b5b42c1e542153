"""The values in a feature: what its references stand for, and what is known of a step's input at dispatch."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from core.errors import FieldError
from executors.expressions import ExpressionError, Reference, Scope, Unknown
from executors.providers.feature.engine import Progress
from executors.providers.feature.plan import Step
from executors.providers.feature.referring import within

_NUMBERS = {"number", "float", "double"}
_UUID = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")


class FeatureScope:
    """`$Input{…}`, `$Step{tag}{…}` and `$Sequence{sequence}{tag}{…}`; everything else stands for what it does in any input."""

    def __init__(self, plan: tuple[Step, ...], input: Mapping[str, Any], progress: Progress, outer: Scope) -> None:
        self._sequences = {step.tag: step.sequence for step in plan}
        self._input, self._progress, self._outer = input, progress, outer

    def value_of(self, reference: Reference) -> Any:
        """Raises ExpressionError where there is none."""
        match reference.kind:
            case "Input":
                return within(self._input, reference.names, reference)
            case "Step":
                return self._output(reference.names[0], reference.names[1:], reference)
            case "Sequence":
                sequence, tag = reference.names[:2]
                if self._sequences.get(tag) != sequence:
                    raise ExpressionError(f"{reference} stands for nothing: sequence {sequence!r} has no step {tag!r}")
                return self._output(tag, reference.names[2:], reference)
            case _:
                return self._outer.value_of(reference)

    def _output(self, tag: str, names: tuple[str, ...], reference: Reference) -> Any:
        if tag not in self._progress.outputs:
            raise ExpressionError(f"{reference} stands for nothing: the step {tag!r} has no output yet")
        return within(self._progress.outputs[tag], names, reference)


class DispatchScope:
    """The same before any step has run: the input as far as it is known, everything else unknown."""

    def __init__(self, input: Mapping[str, Any]) -> None:
        self._input = input

    def value_of(self, reference: Reference) -> Any:
        if reference.kind != "Input":
            return Unknown(str(reference))
        at: Any = self._input
        for name in reference.names:
            if isinstance(at, Unknown):
                return at
            if isinstance(at, Mapping) and name not in at:
                return Unknown(str(reference))  # told by the run, where the step runs at all
            at = within(at, (name,), reference)
        return at


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
