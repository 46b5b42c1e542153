"""The kind `graph`: what a catalog may say of one, its connections, and its saved actions."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from executors.catalog.kinds import ShapedKind
from executors.catalog.reading import Reader
from executors.catalog.shapes import Anything, Text, texts_in
from executors.expressions import ExpressionError, Unknown, references_in
from executors.providers.graph.places import wrong_url
from executors.providers.graph.requests import OPERATIONS, folded_operation, wrong_operation, wrong_request
from executors.reach.paths import wrong_path
from executors.templates import filled

_BOLT = {
    # Always sealed: it is where a password often is.
    "connection_url": Text(required=True, secret=True, aliases=("url", "uri", "connectionUrl"), check=wrong_url),
    "username": Text(aliases=("user",), limit=200),
    "password": Text(secret=True, limit=2000),
    "database": Text(aliases=("graphName",), limit=200),
}
_EMBEDDED = {"path": Text(required=True, limit=1000, check=wrong_path)}


def _refine_connection(component: Mapping[str, Any], settings: Mapping[str, Any], reader: Reader) -> None:
    if reader.data.get("password") is not None and "username" not in settings:
        reader.problem("username", "is required with a password", "required")


def _refine_event(component: Mapping[str, Any], settings: Mapping[str, Any], reader: Reader) -> None:
    """A saved action that can never run is refused, whatever its placeholders will stand for."""
    type, operation = str(component.get("type", "")), settings.get("operation")
    if operation is None:
        return
    if (told := wrong_operation(operation, type)) is not None:
        reader.problem("operation", told, "invalid")
        return
    for text in texts_in(template_of(settings)):
        try:
            references_in(text)
        except ExpressionError as error:
            reader.problem("template", f"{text[:60]!r}: {error}", error.code)
            return
    for wrong in wrong_request(operation, options_known(settings, {}), reader.at("template"), type):
        reader.problems.add(wrong.field, wrong.detail, wrong.code)


def template_of(settings: Mapping[str, Any]) -> dict[str, Any]:
    """The options of a saved action as it was written; its filterTemplate is the `where`."""
    template = dict(settings.get("template", {}))
    if "filterTemplate" in settings:
        template["where"] = settings["filterTemplate"]
    return template


def options_known(settings: Mapping[str, Any], values: Mapping[str, Any]) -> dict[str, Any]:
    """The options that values make of it, before a run: what refers to something, and placeholders without a value,
    are Unknown."""
    options: dict[str, Any] = filled(_known(template_of(settings)), lambda name: values.get(name, Unknown(name)))
    return options


def _known(template: Any) -> Any:
    if isinstance(template, str):
        return Unknown(template) if references_in(template) else template
    if isinstance(template, dict):
        return {name: _known(member) for name, member in template.items()}
    return [_known(member) for member in template] if isinstance(template, list) else template


KIND = ShapedKind(
    name="graph",
    plural="graphs",
    namespaces=("graphs", "graphs.action"),
    target="graph",
    event_fields=("event", "action"),
    event_aliases=("actions",),
    connections={"neo4j": _BOLT, "memgraph": _BOLT, "embedded": _EMBEDDED},
    drivers={"neo4j": ("neo4j", "neo4j"), "memgraph": ("neo4j", "neo4j")},
    event={
        "operation": Text(required=True, choices=tuple(OPERATIONS), fold=folded_operation),
        "template": Anything(types=(dict,), told="an object: the options of the operation"),
        "filterTemplate": Anything(types=(dict,), told="an object of conditions", aliases=("filter_template",)),
    },
    check="executors.providers.graph.check.check",
    refine_connection=_refine_connection,
    refine_event=_refine_event,
)
