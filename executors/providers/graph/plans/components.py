"""Connected components: the parts of a graph between which no relationship leads, whatever their direction."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from executors.base import VALIDATION_ERROR, AttemptFailed
from executors.providers.graph.cypher import Params, Plan, Statement
from executors.providers.graph.dialect import Dialect

MOST_NODES = 10_000
MOST_RELATIONSHIPS = 50_000
LONGEST = 16 * 1024 * 1024  # characters of ids


def connected(given: Mapping[str, Any], dialect: Dialect) -> Plan[dict[str, Any]]:
    """Found here, from the ids: no backend needs a library for it. Raises AttemptFailed for too large a graph."""
    params = Params()
    node = dialect.node("n", given.get("labels", ()), params)
    if node is None:
        return {"components": [], "count": 0}
    rows = yield Statement(
        f"MATCH {node.text} RETURN {dialect.id_of('n')} AS n LIMIT {MOST_NODES + 1}", params.values, MOST_NODES, LONGEST
    )
    _bounded(rows.truncated, f"more than {MOST_NODES} nodes: name labels")
    above = {str(id): str(id) for id in rows.column("n")}
    params = Params()
    along = dialect.relationship("r", given.get("types", ()), params)
    if along is not None:
        pairs = yield Statement(
            f"MATCH (a)-[{along.text}]->(b) RETURN {dialect.id_of('a')} AS a, {dialect.id_of('b')} AS b "
            f"LIMIT {MOST_RELATIONSHIPS + 1}",
            params.values,
            MOST_RELATIONSHIPS,
            LONGEST,
        )
        _bounded(pairs.truncated, f"more than {MOST_RELATIONSHIPS} relationships: name types")
        for row in pairs.kept:
            start, end = str(row["a"]), str(row["b"])
            if start in above and end in above:
                above[_top(above, start)] = _top(above, end)
    parts: dict[str, list[str]] = {}
    for id in above:
        parts.setdefault(_top(above, id), []).append(id)
    found = sorted(parts.values(), key=len, reverse=True)
    return {"components": [{"nodeIds": ids, "size": len(ids)} for ids in found], "count": len(found)}


def _top(above: dict[str, str], id: str) -> str:
    while above[id] != id:
        above[id] = above[above[id]]
        id = above[id]
    return id


def _bounded(over: bool, told: str) -> None:
    if over:
        raise AttemptFailed(VALIDATION_ERROR, f"findConnectedComponents: the graph has {told}")
