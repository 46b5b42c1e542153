"""Relationships: created, found, changed, deleted, merged."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from executors.base import NOT_FOUND, AttemptFailed
from executors.providers.graph.cypher import MOST_ROWS, Params, Plan, Statement, Var, where_text
from executors.providers.graph.dialect import Dialect, arrows, assignments, property_map
from executors.providers.graph.names import quoted
from executors.providers.graph.plans.nodes import changed, cut, on, ordered, page

Options = Mapping[str, Any]


def create(given: Options, dialect: Dialect) -> Plan[dict[str, Any]]:
    """Raises AttemptFailed (NOT_FOUND) where an end of it is not there."""
    properties, params = given.get("properties", {}), Params()
    ends = yield from _ends(given, dialect, properties, params)
    pattern = f"(a)-[r:{quoted(given['type'])}{property_map(properties, params)}]->(b)"
    rows = yield Statement(f"{ends} CREATE {pattern} RETURN r", params.values)
    if not rows.kept:
        raise _no_ends(given)
    return {"relationship": rows.column("r")[0], "created": True}


def merge(given: Options, dialect: Dialect) -> Plan[dict[str, Any]]:
    """There is one relationship of the type from the one to the other then. Raises as `create`."""
    both, params = given.get("properties", {}), Params()
    on_create, on_match = {**both, **given.get("onCreate", {})}, {**both, **given.get("onMatch", {})}
    ends = yield from _ends(given, dialect, {**on_create, **on_match}, params)
    yield from dialect.before_relationship(given["type"], given["startNodeId"], given["endNodeId"], on_create)
    pattern = f"(a)-[r:{quoted(given['type'])}]->(b)"
    existed = False
    if not dialect.counts:
        found = yield Statement(f"{ends} MATCH {pattern} RETURN count(*) AS many", dict(params.values))
        existed = found.number("many") > 0
    rows = yield Statement(f"{ends} MERGE {pattern}{on(on_create, on_match, 'r', params)} RETURN r", params.values)
    if not rows.kept:
        raise _no_ends(given)
    return {"relationship": rows.column("r")[0], "created": bool(rows.created) if dialect.counts else not existed}


def find(given: Options, dialect: Dialect) -> Plan[dict[str, Any]]:
    params = Params()
    chosen = _chosen(given, dialect, params)
    if chosen is None:
        return {"relationships": [], "count": 0}
    pattern, var = chosen
    where = where_text(*var.conditions, dialect.condition(given.get("where", {}), var, params))
    rows = yield Statement(
        f"MATCH {pattern}{where} RETURN r{ordered(given, var)}{page(given)}",
        params.values,
        most=given.get("limit", MOST_ROWS),
    )
    return {"relationships": rows.column("r"), "count": len(rows.kept), **cut(rows.truncated)}


def find_by_id(given: Options, dialect: Dialect) -> Plan[dict[str, Any]]:
    found = yield from find({"id": given["id"]}, dialect)
    return {"relationship": next(iter(found["relationships"]), None)}


def update(given: Options, dialect: Dialect) -> Plan[dict[str, Any]]:
    params = Params()
    chosen = _chosen(given, dialect, params)
    if chosen is None:
        return changed("relationship", given, [], 0)
    pattern, var = chosen
    var = yield from dialect.before_change(var, given["properties"])
    where = where_text(*var.conditions, dialect.condition(given.get("where", {}), var, params))
    changes = assignments("r", given["properties"], params)
    rows = yield Statement(f"MATCH {pattern}{where} SET {changes} RETURN r", params.values)
    return {**changed("relationship", given, rows.column("r"), rows.count), **cut(rows.truncated)}


def delete(given: Options, dialect: Dialect) -> Plan[dict[str, Any]]:
    params = Params()
    chosen = _chosen(given, dialect, params)
    if chosen is None:
        return {"deleted": False, "deletedCount": 0}
    pattern, var = chosen
    where = where_text(*var.conditions, dialect.condition(given.get("where", {}), var, params))
    rows = yield Statement(f"MATCH {pattern}{where} DELETE r RETURN count(*) AS many", params.values)
    return {"deleted": rows.number("many") > 0, "deletedCount": rows.number("many")}


def _chosen(given: Options, dialect: Dialect, params: Params) -> tuple[str, Var] | None:
    """The pattern, and its relationship with all that must hold. A direction is seen from the start node."""
    if "id" in given:
        var = dialect.relationship_by_id("r", given["id"], params)
    else:
        var = dialect.relationship("r", given.get("types", ()), params)
    ends = [
        dialect.node_by_id(name, given[option], params) if option in given else Var(name, f"({name})")
        for name, option in (("a", "startNodeId"), ("b", "endNodeId"))
    ]
    start, end = ends
    if var is None or start is None or end is None:
        return None
    # Without an end to see it from every relationship would be found twice, once from each of its ends.
    left, right = arrows(given.get("direction", "OUTGOING"))
    held = (*var.conditions, *start.conditions, *end.conditions)
    return f"{start.text}{left}[{var.text}]{right}{end.text}", Var(var.name, var.text, var.kinds, held, var.tables)


def _ends(given: Options, dialect: Dialect, values: Mapping[str, Any], params: Params) -> Plan[str]:
    """The MATCH of both ends, after what must be done before such a relationship can be written."""
    start = dialect.node_by_id("a", given["startNodeId"], params)
    end = dialect.node_by_id("b", given["endNodeId"], params)
    if start is None or end is None:
        raise _no_ends(given)
    yield from dialect.before_relationship(given["type"], given["startNodeId"], given["endNodeId"], values)
    return f"MATCH {start.text}, {end.text}{where_text(*start.conditions, *end.conditions)}"


def _no_ends(given: Options) -> AttemptFailed:
    told = f"there is no node {given['startNodeId']!r}, or none {given['endNodeId']!r}, to relate"
    return AttemptFailed(NOT_FOUND, told)
