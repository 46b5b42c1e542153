"""The tables of an embedded graph, which has a schema: one table of nodes for each set of labels, one of relationships
for each type, with a column for each property that was ever written.

Tables and columns are made when something that is written needs them, in its transaction. A property keeps the type of
the first value that was written to it, in all tables of nodes or all of relationships: where two tables differ the
database reads the one as if it were the other.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from executors.base import VALIDATION_ERROR, AttemptFailed
from executors.providers.graph.property_values import increment_of, kind_of

KEY = "_key"  # of every row that is written here; no property may be called so, nor begin with _
_TYPES = {"text": "STRING", "whole": "INT64", "number": "DOUBLE", "flag": "BOOL"}


@dataclass(slots=True)
class Table:
    """`pairs` of a table of relationships: the tables that its rows lead from and to."""

    id: int
    name: str
    columns: dict[str, str] = field(default_factory=dict)  # property → type, without our key
    pairs: set[tuple[str, str]] = field(default_factory=set)
    keyed: bool = False

    @property
    def labels(self) -> tuple[str, ...]:
        return tuple(self.name.split(":"))


@dataclass(slots=True)
class Tables:
    """What is in the file."""

    nodes: dict[str, Table] = field(default_factory=dict)
    relationships: dict[str, Table] = field(default_factory=dict)

    def of_labels(self, labels: Sequence[str]) -> list[Table]:
        """The tables whose nodes have all of the labels."""
        return [table for table in self.nodes.values() if {*labels} <= {*table.labels}]

    def of_types(self, types: Sequence[str]) -> list[Table]:
        known = self.relationships
        return [known[type] for type in types if type in known] if types else [*known.values()]

    def two_types(self) -> str | None:
        """A property that two tables hold in different types. The database reads one of them wrongly then."""
        for tables in (self.nodes, self.relationships):
            types: dict[str, str] = {}
            for table in tables.values():
                for name, type in table.columns.items():
                    if types.setdefault(name, type) != type:
                        return name
        return None

    def types_beside(self, table: Table) -> dict[str, str]:
        """The types that properties have in the tables of the same sort."""
        beside = self.nodes if table.name in self.nodes else self.relationships
        return {name: type for each in beside.values() for name, type in each.columns.items()}

    def of_id(self, id: int) -> Table | None:
        return next((table for table in self.nodes.values() if table.id == id), None)


def table_name(labels: Iterable[str]) -> str:
    """The name of the table for nodes with exactly these labels: no label holds a colon."""
    return ":".join(sorted(set(labels)))


def kinds_of(tables: Iterable[Table]) -> dict[str, str]:
    """What each property holds in any of the tables."""
    return {name: _kind(type) for table in tables for name, type in table.columns.items()}


def _kind(type: str) -> str:
    if type.endswith("]"):
        return "list"
    if type.startswith(("INT", "UINT", "SERIAL")):
        return "whole" if type != "INTERVAL" else "other"
    if type.startswith(("DOUBLE", "FLOAT", "DECIMAL")):
        return "number"
    return {"STRING": "text", "BOOL": "flag"}.get(type, "other")


def type_for(value: Any) -> str | None:
    """The type of a column for such a value; None for null, which needs none."""
    if value is None:
        return None
    if isinstance(value, list):
        kinds = {kind_of(member) for member in value}
        return f"{_TYPES['number' if kinds == {'whole', 'number'} else next(iter(kinds), 'text')]}[]"
    return _TYPES[kind_of(value)]


def missing_columns(table: Table, values: Mapping[str, Any], beside: Mapping[str, str]) -> dict[str, str]:
    """The columns that values need and a table lacks; `beside` are the types that its properties have elsewhere.

    Raises AttemptFailed where one cannot hold its value.
    """
    needed: dict[str, str] = {}
    folded = {name.lower(): name for name in (*beside, *table.columns)}
    for name, given in values.items():
        amount = increment_of(given)
        value = given if amount is None else amount
        if name.startswith("_"):
            raise AttemptFailed(VALIDATION_ERROR, f"property {name!r}: names that begin with _ are the database's own")
        if (other := folded.setdefault(name.lower(), name)) != name:
            raise AttemptFailed(VALIDATION_ERROR, f"property {name!r}: the file has {other!r}, the same in any case")
        type, held = type_for(value), table.columns.get(name) or beside.get(name)
        if type is not None and held is not None and not _holds(held, type, value):
            raise AttemptFailed(VALIDATION_ERROR, f"property {name!r} holds {held} everywhere in this file, not {type}")
        if name not in table.columns:
            # A property that is only removed needs a column as well: SET names it.
            needed[name] = held or type or _TYPES["text"]
    return needed


def _holds(column: str, type: str, value: Any) -> bool:
    """Whether a column takes a value without changing it."""
    if column == type or _kind(column) == "other" or value == []:
        return True
    if (column, type) in (("DOUBLE", "INT64"), ("DOUBLE[]", "INT64[]")):
        return True
    return _kind(column) == "whole" and type == "DOUBLE" and float(value).is_integer()
