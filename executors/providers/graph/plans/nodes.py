"""Nodes: created, found, changed, deleted, merged, labelled."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from executors.providers.graph.cypher import MOST_ROWS, Params, Plan, Statement, Var, where_text
from executors.providers.graph.dialect import Dialect, assignments, property_map
from executors.providers.graph.names import quoted

Options = Mapping[str, Any]


def create(given: Options, dialect: Dialect) -> Plan[dict[str, Any]]:
    properties = given.get("properties", {})
    yield from dialect.before_node(given["labels"], properties)
    params = Params()
    pattern = dialect.new_node("n", given["labels"], property_map(properties, params))
    rows = yield Statement(f"CREATE {pattern} RETURN n", params.values)
    return {"node": rows.column("n")[0], "created": True}


def find(given: Options, dialect: Dialect) -> Plan[dict[str, Any]]:
    params = Params()
    var = dialect.node("n", given.get("labels", ()), params)
    if var is None:
        return {"nodes": [], "count": 0}
    rows = yield Statement(
        f"MATCH {var.text}{_where(given, var, params, dialect)} RETURN n{ordered(given, var)}{page(given)}",
        params.values,
        most=given.get("limit", MOST_ROWS),
    )
    return {"nodes": rows.column("n"), "count": len(rows.kept), **cut(rows.truncated)}


def find_by_id(given: Options, dialect: Dialect) -> Plan[dict[str, Any]]:
    params = Params()
    var = dialect.node_by_id("n", given["id"], params)
    if var is None:
        return {"node": None}
    rows = yield Statement(f"MATCH {var.text}{where_text(*var.conditions)} RETURN n", params.values)
    return {"node": next(iter(rows.column("n")), None)}


def update(given: Options, dialect: Dialect) -> Plan[dict[str, Any]]:
    params = Params()
    var = _chosen(given, dialect, params)
    if var is None:
        return changed("node", given, [], 0)
    changes = given["properties"]
    var = yield from dialect.before_change(var, changes)
    where = _where(given, var, params, dialect)
    rows = yield Statement(f"MATCH {var.text}{where} SET {assignments('n', changes, params)} RETURN n", params.values)
    return {**changed("node", given, rows.column("n"), rows.count), **cut(rows.truncated)}


def delete(given: Options, dialect: Dialect) -> Plan[dict[str, Any]]:
    params = Params()
    var = _chosen(given, dialect, params)
    if var is None:
        return {"deleted": False, "deletedCount": 0}
    where = _where(given, var, params, dialect)
    verb = "DETACH DELETE" if given.get("detach") else "DELETE"
    rows = yield Statement(f"MATCH {var.text}{where} {verb} n RETURN count(*) AS many", params.values)
    return {"deleted": rows.number("many") > 0, "deletedCount": rows.number("many")}


def merge(given: Options, dialect: Dialect) -> Plan[dict[str, Any]]:
    labels, match = given["labels"], given["matchProperties"]
    both = given.get("properties", {})
    on_create, on_match = {**both, **given.get("onCreate", {})}, {**both, **given.get("onMatch", {})}
    yield from dialect.before_node(labels, match)
    yield from dialect.before_node(labels, on_create)
    yield from dialect.before_node(labels, on_match)
    existed = False
    params = Params()
    pattern = dialect.new_node("n", labels, property_map(match, params))
    if not dialect.counts:
        existed = (yield Statement(f"MATCH {pattern} RETURN count(*) AS many", dict(params.values))).number("many") > 0
    rows = yield Statement(f"MERGE {pattern}{_on(on_create, on_match, 'n', params)} RETURN n", params.values)
    return {"node": rows.column("n")[0], "created": bool(rows.created) if dialect.counts else not existed}


def add_labels(given: Options, dialect: Dialect) -> Plan[dict[str, Any]]:
    return (yield from _labelled(given, dialect, f" SET n{_labels(given)}"))


def remove_labels(given: Options, dialect: Dialect) -> Plan[dict[str, Any]]:
    return (yield from _labelled(given, dialect, f" REMOVE n{_labels(given)}"))


def set_labels(given: Options, dialect: Dialect) -> Plan[dict[str, Any]]:
    found = yield from find_by_id(given, dialect)
    if found["node"] is None:
        return found
    others = [label for label in found["node"]["labels"] if label not in given["labels"]]
    removed = "".join(f":{_as_is(label)}" for label in others)
    return (
        yield from _labelled(given, dialect, (f" REMOVE n{removed}" if removed else "") + f" SET n{_labels(given)}")
    )


def _labelled(given: Options, dialect: Dialect, change: str) -> Plan[dict[str, Any]]:
    params = Params()
    var = dialect.node_by_id("n", given["id"], params)
    if var is None:
        return {"node": None}
    rows = yield Statement(f"MATCH {var.text}{where_text(*var.conditions)}{change} RETURN n", params.values)
    return {"node": next(iter(rows.column("n")), None)}


def _labels(given: Options) -> str:
    return "".join(f":{quoted(label)}" for label in given["labels"])


def _as_is(label: str) -> str:
    """A label that the database itself named, quoted: it may hold what ours may not."""
    return "`" + label.replace("\\", "\\u005C").replace("`", "``") + "`"


def _chosen(given: Options, dialect: Dialect, params: Params) -> Var | None:
    if "id" in given:
        return dialect.node_by_id("n", given["id"], params)
    return dialect.node("n", given.get("labels", ()), params)


def _where(given: Options, var: Var, params: Params, dialect: Dialect) -> str:
    return where_text(*var.conditions, dialect.condition(given.get("where", {}), var, params))


def _on(on_create: Mapping[str, Any], on_match: Mapping[str, Any], name: str, params: Params) -> str:
    text = f" ON CREATE SET {assignments(name, on_create, params)}" if on_create else ""
    return text + (f" ON MATCH SET {assignments(name, on_match, params)}" if on_match else "")


def changed(what: str, given: Options, found: list[Any], count: int) -> dict[str, Any]:
    """The result of a change: the one that its id named, or all that its filter did."""
    shown = {what: found[0] if found else None} if "id" in given else {f"{what}s": found}
    return {**shown, "updatedCount": count}


def ordered(given: Options, var: Var) -> str:
    """ORDER BY; properties that are nowhere order nothing."""
    parts = [
        f"{var.name}.{quoted(name)}{' DESC' if str(way).lower() == 'desc' else ''}"
        for name, way in given.get("orderBy", {}).items()
        if var.kinds is None or name in var.kinds
    ]
    return f" ORDER BY {', '.join(parts)}" if parts else ""


def page(given: Options) -> str:
    """SKIP and LIMIT; without a limit one more than is kept, so that a longer answer is known to be cut."""
    skip = f" SKIP {int(given['skip'])}" if given.get("skip") else ""
    return f"{skip} LIMIT {int(given['limit']) if 'limit' in given else MOST_ROWS + 1}"


def cut(truncated: bool) -> dict[str, Any]:
    return {"truncated": True} if truncated else {}


on = _on
