"""Paths: traversed, the shortest, all of them, and what lies around a node."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from executors.providers.graph.cypher import MOST_ROWS, Params, Plan, Statement, Var, where_text
from executors.providers.graph.dialect import Dialect, arrows
from executors.providers.graph.options import DEEPEST_PATH
from executors.providers.graph.plans.nodes import cut, page

Options = Mapping[str, Any]

USUAL_DEPTH = 3  # relationships, of a traversal that names none
USUAL_SHORTEST = DEEPEST_PATH


def traverse(given: Options, dialect: Dialect) -> Plan[dict[str, Any]]:
    """Paths from a node along relationships; `nodeFilter` is about the node that a path ends at."""
    params = Params()
    start = dialect.node_by_id("a", given["startNodeId"], params)
    wanted = given.get("nodeFilter", {})
    end = dialect.node("b", wanted.get("labels", ()), params)
    return (yield from _paths(given, dialect, params, start, end, wanted.get("where", {}), 1, USUAL_DEPTH))


def every(given: Options, dialect: Dialect) -> Plan[dict[str, Any]]:
    """All paths between two nodes that use no relationship twice."""
    params = Params()
    start = dialect.node_by_id("a", given["startNodeId"], params)
    end = dialect.node_by_id("b", given["endNodeId"], params)
    low = given.get("minDepth", 1)
    return (yield from _paths(given, dialect, params, start, end, {}, low, max(low, USUAL_DEPTH)))


def shortest(given: Options, dialect: Dialect) -> Plan[dict[str, Any]]:
    """One shortest path between two nodes, or none. A node is no way to itself."""
    params = Params()
    start = dialect.node_by_id("a", given["startNodeId"], params)
    end = dialect.node_by_id("b", given["endNodeId"], params)
    along = dialect.relationship("r", given.get("types", ()), params)
    if start is None or end is None or along is None or str(given["startNodeId"]) == str(given["endNodeId"]):
        return {"path": None}
    way = dialect.shortest(
        start, end, along, given.get("maxDepth", USUAL_SHORTEST), arrows(given.get("direction", "BOTH"))
    )
    ends = f"MATCH {start.text}, {end.text}{where_text(*start.conditions, *end.conditions)}"
    rows = yield Statement(f"{ends} MATCH {way} RETURN p LIMIT 1", params.values)
    return {"path": next(iter(rows.column("p")), None)}


def neighborhood(given: Options, dialect: Dialect) -> Plan[dict[str, Any]]:
    """The nodes within `depth` relationships of one, and the relationships on the way: a step at a time, so that
    the work grows with them and not with the paths between them."""
    most, (left, right) = given.get("limit", MOST_ROWS), arrows(given.get("direction", "BOTH"))
    wanted = given.get("nodeFilter", {})
    nodes: dict[str, Any] = {}
    relationships: dict[str, Any] = {}
    seen, edge, truncated = {str(given["nodeId"])}, [given["nodeId"]], False
    for _ in range(given.get("depth", 1)):
        params = Params()
        start = dialect.nodes_by_ids("a", edge, params)
        along = dialect.relationship("r", given.get("types", ()), params)
        end = dialect.node("b", wanted.get("labels", ()), params)
        if start is None or along is None or end is None:
            break
        where = where_text(*start.conditions, dialect.condition(wanted.get("where", {}), end, params))
        pattern = f"{start.text}{left}[{along.text}]{right}{end.text}"
        rows = yield Statement(f"MATCH {pattern}{where} RETURN r, b LIMIT {most + 1}", params.values, most=most)
        truncated = truncated or rows.truncated
        edge = []
        for row in rows.kept:
            relationships[str(row["r"]["id"])] = row["r"]
            id = str(row["b"]["id"])
            if id not in seen:
                seen.add(id)
                nodes[id] = row["b"]
                edge.append(row["b"]["id"])
        if not edge or len(nodes) >= most:
            truncated = truncated or len(nodes) >= most
            break
    return {"nodes": [*nodes.values()], "relationships": [*relationships.values()], **cut(truncated)}


def _paths(
    given: Options, dialect: Dialect, params: Params, start: Var | None, end: Var | None,
    where: Mapping[str, Any], low: int, usual: int,
) -> Plan[dict[str, Any]]:  # fmt: skip
    along = dialect.relationship("r", given.get("types", ()), params)
    if start is None or end is None or along is None:
        return {"paths": [], "count": 0}
    left, right = arrows(given.get("direction", "OUTGOING"))
    held = where_text(*start.conditions, *end.conditions, dialect.condition(where, end, params))
    way = f"{start.text}{left}[{dialect.hops(along, low, given.get('maxDepth', usual))}]{right}{end.text}"
    rows = yield Statement(
        f"MATCH p = {way}{held} RETURN p{page(given)}", params.values, most=given.get("limit", MOST_ROWS)
    )
    return {"paths": rows.column("p"), "count": len(rows.kept), **cut(rows.truncated)}
