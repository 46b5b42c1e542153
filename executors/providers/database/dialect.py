"""What a relational database does in its own way: the small part that is not SQLAlchemy's.

Names no driver. One class of these per system.
"""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from typing import Any

from sqlalchemy import Column, ColumnElement, Connection, Engine, Table

from executors.base import AttemptFailed
from executors.providers.database import columns
from executors.providers.database.columns import WrongValue
from executors.providers.database.requests import Change
from executors.providers.database.urls import Location

POOLED = 5  # connections of one target in one process; more requests wait in the event loop
CONNECT_SECONDS = 10.0


class Dialect(ABC):
    """`type` as in a catalog. `mark` is how a parameter is written."""

    type: str
    mark = "%s"
    returns = frozenset({"insert", "update", "delete"})  # which statements can return rows

    def __init__(self, location: Location) -> None:
        self.location = location

    @abstractmethod
    def engine(self) -> Engine:
        """An engine whose connections are checked before they are made. Connects to nothing yet."""

    @abstractmethod
    def begin(self, connection: Connection, seconds: float, *, writes: bool) -> None:
        """The statements of this transaction end within so many seconds each. `writes`: it may look before it writes."""

    @abstractmethod
    def abort(self, connection: Any) -> None:
        """End what runs on a connection of the driver, from another thread. May block for CONNECT_SECONDS."""

    @abstractmethod
    def failed(self, error: Exception) -> AttemptFailed:
        """A driver's error in this system's words."""

    @abstractmethod
    def version(self, connection: Connection) -> str:
        """`PostgreSQL 15.19`."""

    @abstractmethod
    def upsert(self, table: Table, keys: list[str], update: list[str]) -> Any:
        """An insert that, where the keys are there, writes the columns of `update` (none: leaves the row)."""

    @abstractmethod
    def parameter(self, value: Any) -> Any:
        """A value of a raw statement as the driver takes it."""

    def prepare(self, table: Table, connection: Connection) -> None:  # noqa: B027 - most have nothing to look over
        """Look over a table that was reflected. `unique` in its info is what else is unique, as sets of names."""

    def bound(self, column: Column[Any], value: Any, *, comparing: bool = False) -> Any:
        """A JSON value for a column. Raises WrongValue."""
        return columns.bound(column, value, comparing=comparing)

    def shown(self, column: Column[Any], value: Any) -> Any:
        """What the driver gave for a column, where that needs another look."""
        return value

    def listed(self, value: Any) -> Any:
        """What the driver gave for a list of values."""
        return json.loads(value) if isinstance(value, str) else value

    def text(self, piece: str) -> str:
        """A piece of a raw statement as the driver takes it."""
        return piece.replace("%", "%%")

    def contains(self, column: Column[Any], value: Any) -> ColumnElement[bool]:
        """`$contains`: a text holds a piece; what else there is, a dialect knows."""
        if isinstance(value, str):
            return column.contains(value, autoescape=True)
        raise WrongValue(f"{self.type} has no $contains of a list or an object in the column {column.name!r}")

    def compared(self, column: Column[Any], operator: str, value: Any) -> Any:
        """A comparison that only some have."""
        raise WrongValue(f"{self.type} has no {operator}")

    def changed(self, column: Column[Any], change: Change) -> Any:
        """A change that only some have."""
        raise WrongValue(f"{self.type} has no {change.operator}")
