"""What is asked of a database, in no database's language: values only.

`reading` makes a `Request` of an input; a provider carries it out. Names in it are as they were
written: the provider looks each up before it uses it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

ROWS = 1000  # of one answer, where the input sets no limit
MOST_ROWS = 10_000  # that a limit may ask for, and that one input may write
MOST_BYTES = 1024 * 1024  # of the rows of one answer, as JSON: past that it is cut
WRITING = frozenset({"insert", "update", "delete", "upsert"})  # verbs that look at a table and then write to it


@dataclass(frozen=True, kw_only=True, slots=True)
class Compare:
    """One column against a value. `operator` is a word of `conditions.OPERATORS`."""

    column: str
    operator: str
    value: Any


@dataclass(frozen=True, slots=True)
class Every:
    """All of them hold."""

    parts: tuple[Condition, ...]


@dataclass(frozen=True, slots=True)
class Either:
    """One of them holds."""

    parts: tuple[Condition, ...]


@dataclass(frozen=True, slots=True)
class Opposite:
    """It does not hold."""

    part: Condition


Condition = Compare | Every | Either | Opposite


@dataclass(frozen=True, kw_only=True, slots=True)
class Change:
    """What an update does to one column. `operator` is a word of `changes.OPERATORS`."""

    column: str
    operator: str
    value: Any


@dataclass(frozen=True, kw_only=True, slots=True)
class Aggregate:
    """One figure over rows. `column` is `*` for a count of rows."""

    alias: str
    function: str
    column: str
    separator: str = ","


@dataclass(frozen=True, kw_only=True, slots=True)
class Order:
    """A column, or an alias of an aggregate, and which end comes first."""

    name: str
    descending: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class Conflict:
    """What to do with a row whose `columns` are there already: leave it, or write `update` (None: all given)."""

    columns: tuple[str, ...]
    ignore: bool = False
    update: tuple[str, ...] | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Request:
    """One operation. What its verb has no use for is empty."""

    verb: str  # find, insert, update, delete, upsert, count, sum, avg, min, max, aggregate, groupBy, raw
    table: str = ""
    where: Condition | None = None
    select: tuple[str, ...] = ()
    order: tuple[Order, ...] = ()
    limit: int = ROWS
    offset: int = 0
    one: bool = False  # findOne: the row alone
    rows: tuple[Mapping[str, Any], ...] = ()
    changes: tuple[Change, ...] = ()
    returning: bool = False
    returning_columns: tuple[str, ...] = ()
    conflict: Conflict | None = None
    column: str = ""
    distinct: bool = False
    aggregates: tuple[Aggregate, ...] = ()
    groups: tuple[str, ...] = ()
    having: Condition | None = None
    query: str = ""
    params: tuple[Any, ...] = ()
