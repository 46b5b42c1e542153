"""How much there is in a graph, and under which names."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from executors.providers.graph.cypher import Params, Plan, Statement, where_text
from executors.providers.graph.dialect import Dialect

Options = Mapping[str, Any]


def count_nodes(given: Options, dialect: Dialect) -> Plan[dict[str, Any]]:
    params = Params()
    var = dialect.node("n", given.get("labels", ()), params)
    if var is None:
        return {"count": 0}
    where = where_text(*var.conditions, dialect.condition(given.get("where", {}), var, params))
    rows = yield Statement(f"MATCH {var.text}{where} RETURN count(*) AS many", params.values)
    return {"count": rows.number("many")}


def count_relationships(given: Options, dialect: Dialect) -> Plan[dict[str, Any]]:
    params = Params()
    var = dialect.relationship("r", given.get("types", ()), params)
    if var is None:
        return {"count": 0}
    where = where_text(*var.conditions, dialect.condition(given.get("where", {}), var, params))
    rows = yield Statement(f"MATCH ()-[{var.text}]->(){where} RETURN count(*) AS many", params.values)
    return {"count": rows.number("many")}


def overall(given: Options, dialect: Dialect) -> Plan[dict[str, Any]]:
    nodes = yield from count_nodes({}, dialect)
    relationships = yield from count_relationships({}, dialect)
    by_label: dict[str, int] = {}
    for row in (yield Statement(dialect.by_label_query)).kept if nodes["count"] else ():
        for label in dialect.named(row):
            by_label[label] = by_label.get(label, 0) + row["many"]
    by_type: dict[str, int] = {}
    if relationships["count"]:
        by_type = {row["type"]: row["many"] for row in (yield Statement(dialect.by_type_query)).kept}
    return {
        "nodeCount": nodes["count"],
        "relationshipCount": relationships["count"],
        "labels": by_label,
        "relationshipTypes": by_type,
    }


def labels(given: Options, dialect: Dialect) -> Plan[dict[str, Any]]:
    rows = yield Statement(dialect.labels_query)
    return {"labels": sorted({label for row in rows.kept for label in dialect.named(row)})}


def types(given: Options, dialect: Dialect) -> Plan[dict[str, Any]]:
    rows = yield Statement(dialect.types_query)
    return {"relationshipTypes": sorted(rows.column("type"))}
