"""Saved actions of databases and graphs as the conformance suite sees them: the systems of `kept_providers`, asked by
what their catalogs have saved."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from tests.integration.conformance_world import Provider
from tests.integration.kept_providers import KEPT, MADE_NODE, NOTE, WRONG_CYPHER

KEEPS = {"note": "{{note}}", "qty": "{{qty}}"}
DATABASE = [
    {"tag": "keep", "operation": "INSERT", "table": "notes", "template": {"records": [KEEPS], "returning": True}},
    {"tag": "twice", "operation": "INSERT", "table": "notes", "template": {"records": {**KEEPS, "_id": "there"}}},
]  # fmt: skip
GRAPH = [
    {"tag": "keep", "operation": "CREATE_NODE", "template": {**MADE_NODE, "properties": {"note": "{{note}}"}}},
    {"tag": "wrong", "operation": "QUERY", "template": {**WRONG_CYPHER, "params": {"note": "{{note}}"}}},
]


def saved(
    name: str, events: list[dict[str, Any]], input: Mapping[str, Any], refused: Mapping[str, Any], event: str = "keep"
) -> Callable[[Path], Any]:
    """The provider of that name, its event that goes well saved as `keep`, and what it refuses as `event`."""

    @contextmanager
    def running(folder: Path) -> Iterator[Provider]:
        with KEPT[name](folder) as made:
            yield replace(
                made, name=f"{name}-action", namespace=f"{made.namespace}.action", target={"event": "keep"}, input=input,
                component={**made.component, "events": [each for each in events if each["tag"] in {"keep", event}]},
                refusal=replace(made.refusal, target={"event": event}, input=refused),
            )  # fmt: skip

    return running


_ROW = {"note": NOTE, "qty": 1}
_NODE = {"note": NOTE}
SAVED: dict[str, Callable[[Path], Any]] = {
    "mongodb-action": saved("mongodb", DATABASE, _ROW, _ROW, "twice"),
    **{f"{name}-action": saved(name, DATABASE, _ROW, {**_ROW, "qty": None}) for name in ("postgresql", "mariadb", "sqlite")},
    **{f"{name}-action": saved(name, GRAPH, _NODE, _NODE, "wrong") for name in ("embedded", "neo4j", "memgraph")},
}  # fmt: skip
