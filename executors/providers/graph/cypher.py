"""What an operation is made of: statements with their parameters, what came back, and plans that go on from there.

A plan is a generator: it yields statements and gets their rows, and ends with the result of its operation. It
never connects: whoever runs it decides how, in a coroutine or in a thread, and all of it is one transaction.
"""

from __future__ import annotations

import json
from collections.abc import Generator, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

T = TypeVar("T")

MOST_ROWS = 1_000  # of one statement that are kept, where the input sets no limit of its own
LONGEST_RESULT = 1024 * 1024  # characters of the rows of one statement that are kept, as JSON


@dataclass(frozen=True, slots=True)
class Statement:
    """One statement. `most` rows of it are kept, of at most `longest` characters as JSON; all are counted."""

    text: str
    params: Mapping[str, Any] = field(default_factory=dict)
    most: int = MOST_ROWS
    longest: int = LONGEST_RESULT


@dataclass(slots=True)
class Rows:
    """What a statement gave: values are JSON already. `created` is None where the driver cannot tell."""

    most: int
    left: int = LONGEST_RESULT  # characters
    kept: list[dict[str, Any]] = field(default_factory=list)
    count: int = 0
    created: int | None = None  # nodes and relationships

    def add(self, row: dict[str, Any]) -> None:
        """Count a row, and keep it where there is room; the first always is."""
        self.count += 1
        if len(self.kept) < self.most and self.left > 0:
            self.left -= len(json.dumps(row))
            self.kept.append(row)

    @property
    def truncated(self) -> bool:
        return self.count > len(self.kept)

    def column(self, name: str) -> list[Any]:
        return [row[name] for row in self.kept]

    def number(self, name: str) -> int:
        """A number from the only row; 0 where there is none."""
        return int(self.kept[0][name]) if self.kept else 0


Plan = Generator[Statement, Rows, T]


class Params:
    """Values on their way into a statement."""

    def __init__(self) -> None:
        self.values: dict[str, Any] = {}

    def add(self, value: Any) -> str:
        """The parameter that stands for the value."""
        name = f"p{len(self.values)}"
        self.values[name] = value
        return f"${name}"


@dataclass(frozen=True, slots=True)
class Var:
    """A variable of a pattern: `text` is its place in one, `conditions` what must hold of it.

    `kinds` says what each property holds (`text`, `whole`, `number`, `flag`, `list`, `other`), where the database
    knows: one that is missing is null everywhere. None: any property may be there. `tables` are those it may be in,
    where the database has such.
    """

    name: str
    text: str
    kinds: Mapping[str, str] | None = None
    conditions: tuple[str, ...] = ()
    tables: tuple[str, ...] = ()


def where_text(*conditions: str) -> str:
    """A WHERE of those that say anything."""
    held = [condition for condition in conditions if condition]
    return f" WHERE {' AND '.join(held)}" if held else ""
