"""The kind `database`: what its catalog entries may say. Imports no driver."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from executors.catalog.kinds import ShapedKind
from executors.catalog.reading import Reader
from executors.catalog.shapes import Anything, Flag, Text
from executors.providers.database import templates
from executors.providers.database.abilities import TYPES
from executors.providers.database.urls import wrong_url


def _refine_event(component: Mapping[str, Any], event: Mapping[str, Any], reader: Reader) -> None:
    """A saved action that can never run is refused when it is stored."""
    if "operation" not in event or reader.problems.errors:
        return
    type = component.get("type", "postgresql")
    for error in templates.wrong_template(event, type=type, default_table=component.get("default_table", "")):
        reader.problem(error.field, error.detail, error.code)


KIND = ShapedKind(
    name="database",
    plural="databases",
    namespaces=("databases", "databases.action"),
    target="database",
    event_fields=("event", "action"),
    component={"default_table": Text(aliases=("defaultTable",), limit=128)},
    connections={
        type: {
            "connection_url": Text(
                required=True, secret=True, aliases=("connectionUrl", "url"), check=wrong_url(type), limit=2000
            )
        }
        for type in TYPES
    },
    type_aliases={"postgres": "postgresql", "mongo": "mongodb"},
    event={
        "operation": Text(required=True, choices=tuple(templates.OPERATIONS), fold=templates.operation_of),
        "table": Text(aliases=("tableName", "entity", "collection"), limit=128),
        "template": Anything(types=(dict, str), told="an object, or one {{placeholder}}"),
        "filterTemplate": Anything(types=(dict, str), told="an object, or one {{placeholder}}"),
        "allowAll": Flag(),
    },
    event_aliases=("actions",),
    drivers={
        "mongodb": ("pymongo", "mongodb"),
    },
    check="executors.providers.database.check.check",
    refine_event=_refine_event,
)
