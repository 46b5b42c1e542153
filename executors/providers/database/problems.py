"""Where a wrong part of an input is told: at its dotted path, as many as there are."""

from __future__ import annotations

from typing import Any

from core.errors import FieldError
from core.fields import dotted
from executors.expressions import Unknown

LONGEST_NAME = 128  # of a table or a column, in characters


class Told:
    """What is wrong so far."""

    def __init__(self) -> None:
        self.errors: list[FieldError] = []

    def add(self, path: str, detail: str, code: str = "invalid") -> None:
        self.errors.append(FieldError(path, code, detail))


def is_unknown(value: Any) -> bool:
    """Whether only a run knows the value: nothing is wrong with it yet."""
    return isinstance(value, Unknown)


def read_name(value: Any, path: str, told: Told) -> str:
    """The name of a table or a column; "" where it is none, which is told."""
    if isinstance(value, str) and (is_unknown(value) or (0 < len(value) <= LONGEST_NAME and value.isprintable())):
        return str(value)
    told.add(path, f"must be a name: text of 1 to {LONGEST_NAME} characters")
    return ""


def read_names(value: Any, path: str, told: Told) -> tuple[str, ...]:
    """A list of names; one that stands alone is a list of one."""
    if isinstance(value, str):
        return (read_name(value, path, told),)
    if not isinstance(value, list) or not value:
        told.add(path, "must be a list of names")
        return ()
    return tuple(read_name(name, dotted(path, position), told) for position, name in enumerate(value))
