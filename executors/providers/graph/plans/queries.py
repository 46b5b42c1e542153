"""Queries in the database's own language, and searches in its indexes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from executors.providers.graph.cypher import MOST_ROWS, Plan, Statement
from executors.providers.graph.dialect import Dialect
from executors.providers.graph.plans.nodes import cut

Options = Mapping[str, Any]
USUAL_MATCHES = 10


def native(given: Options, dialect: Dialect) -> Plan[dict[str, Any]]:
    rows = yield Statement(given["query"], given.get("params", {}))
    return {"rows": rows.kept, "count": rows.count, **cut(rows.truncated)}


def full_text(given: Options, dialect: Dialect) -> Plan[dict[str, Any]]:
    rows = yield Statement(
        "CALL db.index.fulltext.queryNodes($name, $query) YIELD node, score RETURN node, score LIMIT $most",
        {"name": given["indexName"], "query": given["query"], "most": given.get("limit", MOST_ROWS)},
    )
    return {"matches": rows.kept, "count": len(rows.kept), **cut(rows.truncated)}


def vector(given: Options, dialect: Dialect) -> Plan[dict[str, Any]]:
    rows = yield Statement(
        "CALL db.index.vector.queryNodes($name, $most, $vector) YIELD node, score RETURN node, score",
        {"name": given["indexName"], "vector": given["vector"], "most": given.get("topK", USUAL_MATCHES)},
    )
    return {"matches": rows.kept, "count": len(rows.kept), **cut(rows.truncated)}
