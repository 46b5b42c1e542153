"""Indexes and constraints, where the backend has them: created, listed, dropped."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from executors.providers.graph.cypher import Plan, Statement
from executors.providers.graph.dialect import Dialect
from executors.providers.graph.names import quoted

Options = Mapping[str, Any]


def _changed(word: str, what: str) -> Callable[[Options, Dialect], Plan[dict[str, Any]]]:
    def run(given: Options, dialect: Dialect) -> Plan[dict[str, Any]]:
        yield Statement(_filled(dialect.index_queries[what], given))
        return {word: True}

    return run


def _constrained(given: Options, dialect: Dialect) -> Plan[dict[str, Any]]:
    """A node constraint: `unique`, or `exists`."""
    kind = str(given.get("type", "unique")).lower()
    yield Statement(_filled(dialect.index_queries[f"{kind} constraint"], given))
    return {"created": True}


def _listed(what: str) -> Callable[[Options, Dialect], Plan[dict[str, Any]]]:
    def run(given: Options, dialect: Dialect) -> Plan[dict[str, Any]]:
        rows = yield Statement(dialect.index_queries[what])
        return {what: rows.kept, "count": len(rows.kept)}

    return run


def _filled(text: str, given: Options) -> str:
    properties = given.get("properties", ())
    return text.format(
        name=f"{quoted(given['name'])} " if "name" in given else "",
        label=quoted(given["label"]) if "label" in given else "",
        type=quoted(given["type"]) if "label" not in given and "type" in given else "",
        properties=", ".join(quoted(name) for name in properties),
        of_n=", ".join(f"n.{quoted(name)}" for name in properties),
        of_r=", ".join(f"r.{quoted(name)}" for name in properties),
    )


PLANS: dict[str, Callable[[Any, Dialect], Plan[dict[str, Any]]]] = {
    "schema.createNodeIndex": _changed("created", "node index"),
    "schema.createNodeConstraint": _constrained,
    "schema.createRelationshipIndex": _changed("created", "relationship index"),
    "schema.dropIndex": _changed("dropped", "drop index"),
    "schema.dropConstraint": _changed("dropped", "drop constraint"),
    "schema.listIndexes": _listed("indexes"),
    "schema.listConstraints": _listed("constraints"),
}
