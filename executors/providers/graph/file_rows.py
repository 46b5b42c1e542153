"""What the embedded database answers, as JSON; and what tables are in a file."""

from __future__ import annotations

import base64
import math
from collections.abc import Callable, Mapping
from typing import Any

from executors.providers.graph.cypher import Rows
from executors.providers.graph.tables import KEY, Table, Tables


def as_json(value: Any) -> Any:
    """Nodes, relationships and paths as the contract has them; times as ISO texts, bytes as base64."""
    if value is None or isinstance(value, (bool, int, str)):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return _mapping(value)
    if isinstance(value, (list, tuple)):
        return [as_json(each) for each in value]
    if isinstance(value, (bytes, bytearray)):
        return base64.b64encode(bytes(value)).decode()
    if hasattr(value, "isoformat"):
        return value.isoformat()
    return str(value)


def _mapping(value: Mapping[str, Any]) -> Any:
    if "_SRC" in value and "_DST" in value:
        key = value.get(KEY)
        return {
            "id": str(key) if key is not None else _id(value["_ID"]), "type": value["_LABEL"],
            "startNodeId": _id(value["_SRC"]), "endNodeId": _id(value["_DST"]), "properties": _properties(value),
        }  # fmt: skip
    if "_ID" in value and "_LABEL" in value:
        labels = value["_LABEL"].split(":")
        return {"id": _id(value["_ID"]), "labels": labels, "properties": _properties(value)}
    if value.keys() == {"_NODES", "_RELS"}:
        relationships = [as_json(each) for each in value["_RELS"]]
        return {
            "nodes": [as_json(each) for each in value["_NODES"]], "relationships": relationships,
            "length": len(relationships),
        }  # fmt: skip
    if value.keys() == {"offset", "table"}:
        return _id(value)
    return {str(name): as_json(each) for name, each in value.items()}


def _id(place: Mapping[str, int]) -> str:
    return f"{place['table']}:{place['offset']}"


def _properties(row: Mapping[str, Any]) -> dict[str, Any]:
    """Those that are there: a column that is null is a property that is not."""
    return {
        name: as_json(value)
        for name, value in row.items()
        if value is not None and name != KEY and not (name.startswith("_") and name[1:].isupper())
    }


def tables_in(ask: Callable[[str], Rows]) -> Tables:
    """The tables of the file that `ask` asks."""
    tables = Tables()
    for row in ask("CALL show_tables() RETURN id, name, type").kept:
        table = Table(row["id"], row["name"])
        for column in ask(f"CALL table_info({_text(table.name)}) RETURN *").kept:
            if column["name"] == KEY:
                table.keyed = True
            else:
                table.columns[column["name"]] = column["type"]
        if row["type"] == "NODE":
            tables.nodes[table.name] = table
        elif row["type"] == "REL":
            ends = ask(f"CALL show_connection({_text(table.name)}) RETURN *").kept
            table.pairs = {(names[0], names[1]) for names in (list(each.values()) for each in ends)}
            tables.relationships[table.name] = table
    return tables


def _text(name: str) -> str:
    """A name of the file itself as a literal: a function on tables takes no parameter."""
    return "'" + name.replace("\\", "\\\\").replace("'", "\\'") + "'"
