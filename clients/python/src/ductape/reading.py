"""From decoded JSON to frozen dataclasses, by their annotations.

`datetime` is read from ms since 1970, a tuple from a list, a dataclass from an object. Fields of a newer server stay in
`raw`; one that is missing and has no default is a BrokenAnswer. What is read is planned once a class.
"""

from __future__ import annotations

import types
from collections.abc import Callable, Mapping
from dataclasses import MISSING, Field, dataclass, field, fields, is_dataclass
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any, TypeVar, Union, get_args, get_origin, get_type_hints

from ductape.errors import BrokenAnswer

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

Convert = Callable[[Any], Any]
R = TypeVar("R", bound="Result")


@dataclass(frozen=True, kw_only=True)
class Result:
    """What the server answered; `raw` is all of it as it came."""

    raw: Mapping[str, Any] = field(default_factory=dict, repr=False, compare=False)


def wire_name(each: Field[Any]) -> str:
    """How the API spells a field: `metadata={"wire": …}`, else as it is."""
    return str(each.metadata.get("wire", each.name))


def moment(value: Any) -> datetime:
    """The moment that many ms after 1970, aware, UTC."""
    return _EPOCH + timedelta(milliseconds=value)


def read(cls: type[R], data: Any, **bound: Any) -> R:
    """An object of that class; `bound` are fields that are not read from it. Raises BrokenAnswer."""
    if not isinstance(data, dict):
        raise BrokenAnswer(f"an answer that should be the object of a {cls.__name__} is {type(data).__name__}")
    values: dict[str, Any] = {"raw": data, **bound}
    for name, key, convert, required in _plan(cls):  # type: ignore[arg-type]  # every class is hashable
        if name in bound:
            continue
        value = data.get(key)
        if value is None:
            if required and key not in data:
                raise BrokenAnswer(f"an answer that should be a {cls.__name__} has no {key!r}")
            if not required:
                continue
        elif convert is not None:
            try:
                value = convert(value)
            except (TypeError, ValueError, AttributeError, OverflowError) as error:
                raise BrokenAnswer(f"{cls.__name__}.{key} is not understood: {value!r}") from error
        values[name] = value
    return cls(**values)


def read_list(cls: type[R], data: Any, key: str, **bound: Any) -> tuple[R, ...]:
    """The objects in the list under `key`. Raises BrokenAnswer."""
    found = data.get(key) if isinstance(data, dict) else None
    if not isinstance(found, list):
        raise BrokenAnswer(f"an answer that should list {key!r} does not")
    return tuple(read(cls, each, **bound) for each in found)


@cache
def _plan(cls: type[Result]) -> list[tuple[str, str, Convert | None, bool]]:
    """Of each field of the server's: its name, its key, how its value is read, and whether it must be there."""
    hints = get_type_hints(cls)
    return [
        (
            each.name,
            wire_name(each),
            _converter(hints[each.name]),
            each.default is MISSING and each.default_factory is MISSING,
        )
        for each in fields(cls)
        if each.name != "raw" and not each.name.startswith("_")
    ]


def _converter(hint: Any) -> Convert | None:
    origin, arguments = get_origin(hint), get_args(hint)
    if origin in (Union, types.UnionType):
        return _converter(next(each for each in arguments if each is not type(None)))
    if hint is datetime:
        return moment
    if isinstance(hint, type) and is_dataclass(hint) and issubclass(hint, Result):
        return lambda value: read(hint, value)
    if origin is tuple:
        return _of_tuple(_converter(arguments[0]))
    if origin is not None and isinstance(origin, type) and issubclass(origin, Mapping) and len(arguments) == 2:
        inner = _converter(arguments[1])
        return None if inner is None else lambda value: {key: inner(each) for key, each in value.items()}
    return None


def _of_tuple(inner: Convert | None) -> Convert:
    if inner is None:
        return tuple
    return lambda value: tuple(map(inner, value))
