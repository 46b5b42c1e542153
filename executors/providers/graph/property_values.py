"""What a property may hold: a text, a number, true or false, or a list of one of these."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

from core.errors import FieldError
from core.fields import dotted
from executors.expressions import Unknown
from executors.providers.graph.names import wrong_name

MOST_PROPERTIES = 200
INCREMENT = "$increment"  # in any case


def wrong_scalar(value: Any) -> str | None:
    """Why a value cannot be in a property, or None. null is as if the property were not there."""
    if isinstance(value, Unknown) or value is None or isinstance(value, (bool, str)):
        return None
    if isinstance(value, int):
        return None if -(2**63) <= value < 2**63 else "is a whole number of more than 64 bits"
    if isinstance(value, float):
        return None if math.isfinite(value) else "is not a finite number"
    return "must be text, a number, true or false: a property holds no objects"


def wrong_value(value: Any, path: str) -> Iterator[FieldError]:
    """What is wrong with the value of a property."""
    if not isinstance(value, list):
        if (told := wrong_scalar(value)) is not None:
            yield FieldError(path, "invalid", told)
        return
    for position, member in enumerate(value):
        told = "must not be null in a list" if member is None else wrong_scalar(member)
        if told is not None:
            yield FieldError(dotted(path, position), "invalid", told)
    kinds = {kind_of(member) for member in value if not isinstance(member, Unknown)}
    if len(kinds) > 1 and kinds != {"whole", "number"}:
        yield FieldError(path, "invalid", "must hold values of one kind: a property's list has one type")


def wrong_properties(given: Any, path: str, *, increments: bool = False) -> Iterator[FieldError]:
    """What is wrong with an object of properties. `increments`: {$INCREMENT: n} may stand for a value."""
    if isinstance(given, Unknown):
        return
    if not isinstance(given, dict):
        yield FieldError(path, "invalid", "must be an object of properties")
        return
    if len(given) > MOST_PROPERTIES:
        yield FieldError(path, "invalid", f"has {len(given)} properties, at most {MOST_PROPERTIES} are accepted")
        return
    for name, value in given.items():
        at = dotted(path, name)
        if (told := wrong_name(name)) is not None:
            yield FieldError(at, "invalid", told)
        elif increments and isinstance(value, dict):
            yield from _wrong_increment(value, at)
        else:
            yield from wrong_value(value, at)


def _wrong_increment(value: dict[str, Any], path: str) -> Iterator[FieldError]:
    if [name.lower() for name in value] != [INCREMENT]:
        yield FieldError(path, "invalid", "must be a value, or {$INCREMENT: number}")
        return
    amount = next(iter(value.values()))
    if isinstance(amount, Unknown):
        return
    if isinstance(amount, bool) or not isinstance(amount, (int, float)) or wrong_scalar(amount) is not None:
        yield FieldError(dotted(path, next(iter(value))), "invalid", "must be a number")


def increment_of(value: Any) -> int | float | None:
    """The amount of {$INCREMENT: amount}, else None."""
    if isinstance(value, dict):
        amount: int | float = next(iter(value.values()))
        return amount
    return None


def kind_of(value: Any) -> str:
    """`text`, `whole`, `number`, `flag`, `list` or `other`."""
    if isinstance(value, bool):
        return "flag"
    if isinstance(value, str):
        return "text"
    if isinstance(value, int):
        return "whole"
    if isinstance(value, float):
        return "number"
    return "list" if isinstance(value, list) else "other"
