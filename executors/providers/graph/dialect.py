"""How one database says what another says differently: openCypher as Neo4j has it, and where each departs from it.

A dialect answers with pieces of Cypher; None for what cannot match anything there. Names come in as they were given,
and are quoted here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from executors.providers.graph.cypher import Params, Plan, Var
from executors.providers.graph.names import quoted
from executors.providers.graph.property_values import increment_of
from executors.providers.graph.where import condition


class Dialect:
    """Neo4j's, which the others change."""

    datetimes = True  # a number may be compared with datetime(…): null, not an error
    counts = True  # the driver says how much a statement created

    # Patterns

    def node(self, name: str, labels: Sequence[str], params: Params) -> Var | None:
        """A node that has all of the labels."""
        return Var(name, f"({name}{''.join(f':{quoted(label)}' for label in labels)})")

    def node_by_id(self, name: str, id: str | int, params: Params) -> Var | None:
        return Var(name, f"({name})", conditions=(self._has_id(name, [id], params),))

    def nodes_by_ids(self, name: str, ids: Sequence[str | int], params: Params) -> Var | None:
        return Var(name, f"({name})", conditions=(self._has_id(name, ids, params),))

    def relationship(self, name: str, types: Sequence[str], params: Params) -> Var | None:
        """A relationship of one of the types, any where none is named: what stands within its brackets."""
        listed = "|".join(quoted(type) for type in types)
        return Var(name, f"{name}:{listed}" if listed else name)

    def relationship_by_id(self, name: str, id: str | int, params: Params) -> Var | None:
        return Var(name, name, conditions=(self._has_id(name, [id], params),))

    def _has_id(self, name: str, ids: Sequence[str | int], params: Params) -> str:
        """Ids as results show them; whole numbers are those that Neo4j showed before its version 5."""
        if all(isinstance(id, int) or id.isdecimal() for id in ids):
            return f"id({name}) IN {params.add([int(id) for id in ids])}"
        return f"elementId({name}) IN {params.add([str(id) for id in ids])}"

    def id_of(self, name: str) -> str:
        """The id of what a variable stands for, as results show it."""
        return f"elementId({name})"

    def hops(self, relationship: Var, low: int, high: int) -> str:
        """A path along such relationships, none of them twice: what stands within its brackets."""
        return f"{relationship.text}*{low}..{high}"

    def shortest(self, start: Var, end: Var, relationship: Var, high: int, arrow: tuple[str, str]) -> str:
        """The pattern of one shortest path, called p."""
        left, right = arrow
        return f"p = shortestPath(({start.name}){left}[{relationship.text}*1..{high}]{right}({end.name}))"

    def condition(self, where: Mapping[str, Any], var: Var, params: Params) -> str:
        return condition(where, var, params, datetimes=self.datetimes)

    # Writing

    def new_node(self, name: str, labels: Sequence[str], properties: str) -> str:
        return f"({name}{''.join(f':{quoted(label)}' for label in labels)}{properties})"

    def before_node(self, labels: Sequence[str], values: Mapping[str, Any]) -> Plan[None]:
        """What must be done before a node with such properties can be written."""
        yield from ()

    def before_change(self, var: Var, values: Mapping[str, Any]) -> Plan[Var]:
        """The same for properties of what a pattern matches; the pattern as it is then."""
        yield from ()
        return var

    def before_relationship(self, type: str, start: str | int, end: str | int, values: Mapping[str, Any]) -> Plan[None]:
        yield from ()

    # Statements that have nothing in common

    labels_query = "CALL db.labels() YIELD label RETURN label ORDER BY label"
    types_query = "CALL db.relationshipTypes() YIELD relationshipType RETURN relationshipType AS type ORDER BY type"
    by_label_query = "MATCH (n) UNWIND labels(n) AS label RETURN label, count(*) AS many ORDER BY label"
    by_type_query = "MATCH ()-[r]->() RETURN type(r) AS type, count(*) AS many ORDER BY type"
    index_queries: Mapping[str, str] = {}

    def named(self, row: Mapping[str, Any]) -> list[str]:
        """The labels that a row of `labels_query` or `by_label_query` is about."""
        return [row["label"]]


def assignments(name: str, values: Mapping[str, Any], params: Params) -> str:
    """`n.a = $p0, n.b = coalesce(n.b, 0) + $p1`: properties that are set."""
    parts = []
    for each, value in values.items():
        place, amount = f"{name}.{quoted(each)}", increment_of(value)
        given = params.add(value if amount is None else amount)
        parts.append(f"{place} = {given}" if amount is None else f"{place} = coalesce({place}, 0) + {given}")
    return ", ".join(parts)


def property_map(values: Mapping[str, Any], params: Params) -> str:
    """` {a: $p0}`: the properties of what is created or merged; "" for none."""
    held = {name: value for name, value in values.items() if value is not None}
    inside = ", ".join(f"{quoted(name)}: {params.add(value)}" for name, value in held.items())
    return f" {{{inside}}}" if inside else ""


def arrows(direction: str) -> tuple[str, str]:
    """What stands before and after a relationship's brackets, seen from its left."""
    return {"OUTGOING": ("-", "->"), "INCOMING": ("<-", "-")}.get(direction.upper(), ("-", "-"))
