"""Cypher as the embedded database has it: every label, type and property must be in its tables."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from executors.providers.graph.cypher import Params, Plan, Statement, Var
from executors.providers.graph.dialect import Dialect
from executors.providers.graph.names import quoted
from executors.providers.graph.tables import KEY, Table, Tables, kinds_of, missing_columns, table_name

_ID = re.compile(r"(\d{1,9}):(\d{1,18})")
_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


class Embedded(Dialect):
    """For one transaction: what it adds to the tables is known at once."""

    datetimes = False
    counts = False

    by_label_query = "MATCH (n) RETURN label(n) AS label, count(*) AS many"
    by_type_query = "MATCH ()-[r]->() RETURN label(r) AS type, count(*) AS many ORDER BY type"
    labels_query = "CALL show_tables() WHERE type = 'NODE' RETURN name AS label"
    types_query = "CALL show_tables() WHERE type = 'REL' RETURN name AS type"

    def __init__(self, tables: Tables) -> None:
        self._tables = tables

    def named(self, row: Mapping[str, Any]) -> list[str]:
        return str(row["label"]).split(":")

    # Patterns

    def node(self, name: str, labels: Sequence[str], params: Params) -> Var | None:
        return _among(name, self._tables.of_labels(labels))

    def node_by_id(self, name: str, id: str | int, params: Params) -> Var | None:
        return self.nodes_by_ids(name, [id], params)

    def nodes_by_ids(self, name: str, ids: Sequence[str | int], params: Params) -> Var | None:
        """Ids are `table:offset`; whole numbers both, which is why they may stand in the text."""
        tables, places = {}, []
        for id in ids:
            found = _ID.fullmatch(str(id))
            table = self._tables.of_id(int(found.group(1))) if found else None
            if found and table is not None:
                tables[table.name] = table
                places.append(f"internal_id({int(found.group(1))}, {int(found.group(2))})")
        if not tables:
            return None
        condition = f"id({name}) = {places[0]}" if len(places) == 1 else f"id({name}) IN [{', '.join(places)}]"
        return _among(name, [*tables.values()], condition)

    def relationship(self, name: str, types: Sequence[str], params: Params) -> Var | None:
        return _along(name, self._tables.of_types(types))

    def relationship_by_id(self, name: str, id: str | int, params: Params) -> Var | None:
        """The id is the key that every relationship gets; those of other makers go by their place."""
        if _UUID.fullmatch(str(id)):
            keyed = [table for table in self._tables.relationships.values() if table.keyed]
            return _along(name, keyed, f"{name}.{KEY} = uuid({params.add(id)})")
        found = _ID.fullmatch(str(id))
        if found is None:
            return None
        place = f"id({name}) = internal_id({int(found.group(1))}, {int(found.group(2))})"
        return _along(name, self._tables.of_types(()), place)

    def id_of(self, name: str) -> str:
        return f"id({name})"

    def hops(self, relationship: Var, low: int, high: int) -> str:
        return f"{relationship.text}* TRAIL {low}..{high}"

    def shortest(self, start: Var, end: Var, relationship: Var, high: int, arrow: tuple[str, str]) -> str:
        left, right = arrow
        return f"p = ({start.name}){left}[{relationship.text}* SHORTEST 1..{high}]{right}({end.name})"

    # Writing

    def new_node(self, name: str, labels: Sequence[str], properties: str) -> str:
        return f"({name}:{_quoted_table(table_name(labels))}{properties})"

    def before_node(self, labels: Sequence[str], values: Mapping[str, Any]) -> Plan[None]:
        name = table_name(labels)
        table = self._tables.nodes.get(name)
        if table is None:
            yield Statement(
                f"CREATE NODE TABLE {_quoted_table(name)} ({quoted(KEY)} SERIAL, PRIMARY KEY ({quoted(KEY)}))"
            )
            rows = yield Statement("CALL show_tables() WHERE name = $name RETURN id", {"name": name})
            table = self._tables.nodes[name] = Table(rows.number("id"), name)
        yield from self._widen(table, values)

    def before_change(self, var: Var, values: Mapping[str, Any]) -> Plan[Var]:
        known = {**self._tables.nodes, **self._tables.relationships}  # no name is in both
        tables = [known[name] for name in var.tables]
        for table in tables:
            yield from self._widen(table, values)
        return Var(var.name, var.text, kinds_of(tables), var.conditions, var.tables)

    def before_relationship(self, type: str, start: str | int, end: str | int, values: Mapping[str, Any]) -> Plan[None]:
        pair = (self._table_of(start), self._table_of(end))
        ends = f"FROM {_quoted_table(pair[0])} TO {_quoted_table(pair[1])}"
        table = self._tables.relationships.get(type)
        if table is None:
            yield Statement(
                f"CREATE REL TABLE {_quoted_table(type)} ({ends}, {quoted(KEY)} UUID DEFAULT gen_random_uuid())"
            )
            table = self._tables.relationships[type] = Table(-1, type, pairs={pair}, keyed=True)
        if pair not in table.pairs:
            yield Statement(f"ALTER TABLE {_table(table)} ADD IF NOT EXISTS {ends}")
            table.pairs.add(pair)
        yield from self._widen(table, values)

    def _widen(self, table: Table, values: Mapping[str, Any]) -> Plan[None]:
        for name, type in missing_columns(table, values, self._tables.types_beside(table)).items():
            yield Statement(f"ALTER TABLE {_table(table)} ADD {quoted(name)} {type}")
            table.columns[name] = type

    def _table_of(self, id: str | int) -> str:
        found = self._tables.of_id(int(str(id).partition(":")[0]))
        assert found is not None  # its node was matched
        return found.name


def _among(name: str, tables: Sequence[Table], *conditions: str) -> Var | None:
    """A node in one of the tables."""
    text = f"({name}{''.join(f':{_table(table)}' for table in tables)})"
    return Var(name, text, kinds_of(tables), conditions, tuple(table.name for table in tables)) if tables else None


def _along(name: str, tables: Sequence[Table], *conditions: str) -> Var | None:
    """A relationship in one of the tables."""
    text = f"{name}:{'|'.join(_table(table) for table in tables)}"
    return Var(name, text, kinds_of(tables), conditions, tuple(table.name for table in tables)) if tables else None


def _table(table: Table) -> str:
    return _quoted_table(table.name)


def _quoted_table(name: str) -> str:
    """The name of a table, which other makers may have called anything."""
    return "`" + name.replace("`", "``") + "`"
