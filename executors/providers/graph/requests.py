"""The operations on a graph: how each is spelled, its options, and what is wrong with a request.

The same check is made of a dispatch (where values may be Unknown), of a saved action (where placeholders are), and of
what an attempt is about to do. Pure.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from core.errors import FieldError
from core.fields import dotted, not_one_of, unknown_fields
from executors.expressions import Unknown
from executors.providers.graph import options as given
from executors.providers.graph.native_query import wrong_query
from executors.providers.graph.options import DEEPEST_PATH, MOST_LIMIT, MOST_OPERATIONS, Option
from executors.providers.graph.where import constrains

Options = Mapping[str, Option]

_PAGE: Options = {
    "limit": Option(given.between(1, MOST_LIMIT)),
    "skip": Option(given.between(0, 10**9), ("offset",)),
    "orderBy": Option(given.order),
}
_WHERE = Option(given.where, ("filter",))
_LABELS = Option(given.labels, ("label",))
_LABELS_NEEDED = Option(given.labels, ("label",), required=True)
_TYPES = Option(given.labels, ("type", "relationshipTypes"))
_PROPERTIES = Option(given.properties, ("data",))
_CHANGES = Option(given.changes, ("data", "set", "update"), required=True)
_ALLOW_ALL = Option(given.flag)
_ID_NEEDED = Option(given.id_of, required=True)
_START, _END = Option(given.id_of, ("fromId",)), Option(given.id_of, ("toId",))
_START_NEEDED = Option(given.id_of, ("fromId",), required=True)
_END_NEEDED = Option(given.id_of, ("toId",), required=True)
_TYPE_NEEDED = Option(given.name_of, required=True)
_DIRECTION = Option(given.direction)
_DEPTH = Option(given.between(1, DEEPEST_PATH))
_NAME = Option(given.name_of, ("indexName", "constraintName"))
_NAME_NEEDED = Option(given.name_of, ("indexName", "constraintName"), required=True)
_LIMIT = _PAGE["limit"]
_NODES: Options = {"labels": _LABELS, "where": _WHERE}
_SOME_NODES: Options = {"id": Option(given.id_of), **_NODES, "allowAll": _ALLOW_ALL}
_RELATIONSHIPS: Options = {
    "types": _TYPES, "startNodeId": _START, "endNodeId": _END, "direction": _DIRECTION, "where": _WHERE,
}  # fmt: skip
_SOME_RELATIONSHIPS: Options = {"id": Option(given.id_of), **_RELATIONSHIPS, "allowAll": _ALLOW_ALL}
_ON: Options = {"onCreate": Option(given.changes), "onMatch": Option(given.changes)}
_PATHS: Options = {"types": _TYPES, "direction": _DIRECTION, "maxDepth": _DEPTH, "limit": _LIMIT}
_INDEX: Options = {"label": Option(given.name_of, ("labels",), required=True),
                   "properties": Option(given.labels, ("property",), required=True), "name": _NAME}  # fmt: skip

OPERATIONS: Mapping[str, Options] = {
    "createNode": {"labels": _LABELS_NEEDED, "properties": _PROPERTIES},
    "findNodes": {**_NODES, **_PAGE},
    "findNodeById": {"id": _ID_NEEDED},
    "updateNode": {**_SOME_NODES, "properties": _CHANGES},
    "deleteNode": {**_SOME_NODES, "detach": Option(given.flag)},
    "mergeNode": {
        "labels": _LABELS_NEEDED,
        "matchProperties": Option(given.matched, ("matchProps", "match"), required=True),
        "onCreate": Option(given.changes),
        "onMatch": Option(given.changes),
        "properties": Option(given.changes, ("setProps",)),
    },
    "addLabels": {"id": _ID_NEEDED, "labels": _LABELS_NEEDED},
    "removeLabels": {"id": _ID_NEEDED, "labels": _LABELS_NEEDED},
    "setLabels": {"id": _ID_NEEDED, "labels": _LABELS_NEEDED},
    "createRelationship": {
        "type": _TYPE_NEEDED, "startNodeId": _START_NEEDED, "endNodeId": _END_NEEDED, "properties": _PROPERTIES,
    },
    "findRelationships": {**_RELATIONSHIPS, **_PAGE},
    "findRelationshipById": {"id": _ID_NEEDED},
    "updateRelationship": {**_SOME_RELATIONSHIPS, "properties": _CHANGES},
    "deleteRelationship": {**_SOME_RELATIONSHIPS},
    "mergeRelationship": {
        "type": _TYPE_NEEDED, "startNodeId": _START_NEEDED, "endNodeId": _END_NEEDED,
        "properties": Option(given.changes), **_ON,
    },
    "traverse": {"startNodeId": _START_NEEDED, **_PATHS, "nodeFilter": Option(given.node_filter)},
    "shortestPath": {
        "startNodeId": _START_NEEDED, "endNodeId": _END_NEEDED, "types": _TYPES, "direction": _DIRECTION,
        "maxDepth": _DEPTH,
    },
    "allPaths": {"startNodeId": _START_NEEDED, "endNodeId": _END_NEEDED, **_PATHS, "minDepth": _DEPTH},
    "getNeighborhood": {
        "nodeId": Option(given.id_of, ("startNodeId", "id"), required=True),
        "depth": Option(given.between(1, DEEPEST_PATH), ("maxDepth",)), "types": _TYPES, "direction": _DIRECTION,
        "nodeFilter": Option(given.node_filter), "limit": _LIMIT,
    },
    "findConnectedComponents": {"labels": _LABELS, "types": _TYPES},
    "countNodes": _NODES,
    "countRelationships": {"types": _TYPES, "where": _WHERE},
    "getStatistics": {},
    "fullTextSearch": {
        "indexName": Option(given.name_of, required=True), "query": Option(given.text, required=True), "limit": _LIMIT,
    },
    "vectorSearch": {
        "indexName": Option(given.name_of, required=True), "vector": Option(given.numbers, required=True),
        "topK": Option(given.between(1, MOST_LIMIT), ("limit",)),
    },
    "query": {"query": Option(given.text, ("cypher", "statement"), required=True),
              "params": Option(given.params, ("parameters",))},
    "schema.createNodeIndex": _INDEX,
    "schema.createNodeConstraint": {**_INDEX, "type": Option(given.one_of("unique", "exists"))},
    "schema.createRelationshipIndex": {"type": _TYPE_NEEDED, "properties": _INDEX["properties"], "name": _NAME},
    "schema.listIndexes": {},
    "schema.listConstraints": {},
    "schema.dropIndex": {"name": _NAME_NEEDED},
    "schema.dropConstraint": {"name": _NAME_NEEDED},
    "schema.listLabels": {},
    "schema.listRelationshipTypes": {},
    "transaction": {"operations": Option(given.anything, required=True)},
}  # fmt: skip

_OTHER_NAMES = {
    "find": "findNodes", "insert": "createNode", "update": "updateNode", "delete": "deleteNode", "execute": "query",
    "deletenodes": "deleteNode", "updatenodes": "updateNode", "executetransaction": "transaction",
    "deleterelationships": "deleteRelationship", "updaterelationships": "updateRelationship",
}  # fmt: skip
_FOLDED = {name.lower(): name for name in OPERATIONS} | {
    name.removeprefix("schema.").lower(): name for name in OPERATIONS
}
SCHEMA = frozenset(name for name in OPERATIONS if name.startswith("schema."))
_CONTROL = {"begin", "begintransaction", "commit", "committransaction", "rollback", "rollbacktransaction"}

NOT_THERE: Mapping[str, Mapping[str, str]] = {
    "embedded": {
        **dict.fromkeys(
            ("addLabels", "removeLabels", "setLabels"), "the labels of a node are fixed in an embedded graph"
        ),
        **dict.fromkeys(("fullTextSearch", "vectorSearch"), "an embedded graph has no such indexes"),
        **dict.fromkeys(
            SCHEMA - {"schema.listLabels", "schema.listRelationshipTypes"},
            "an embedded graph has no indexes and constraints of its own",
        ),
    },
    "memgraph": {
        **dict.fromkeys(("fullTextSearch", "vectorSearch"), "Memgraph searches by its own procedures: use query"),
        **dict.fromkeys(
            ("schema.dropIndex", "schema.dropConstraint"), "Memgraph's indexes have no names: use query, DROP INDEX ON"
        ),
    },
}


@dataclass(frozen=True, slots=True)
class Request:
    """An operation with its options, each under its own name, lists as lists."""

    operation: str
    options: Mapping[str, Any]


def operation_named(text: str) -> str | None:
    """The operation that is meant: in any case, with or without underscores, by any of its names."""
    word = text.lower().replace("_", "").replace("-", "")
    return _FOLDED.get(word) or _OTHER_NAMES.get(word)


def folded_operation(text: str) -> str:
    """The same; what is not known as it was written."""
    return operation_named(text) or text


def wrong_operation(text: Any, type: str) -> str | None:
    """Why an operation cannot be run on a graph of that type, or None."""
    if not isinstance(text, str):
        return "must be the name of an operation"
    name = operation_named(text)
    if name is None:
        if text.lower().replace("_", "") in _CONTROL:
            return f"{text!r} cannot be a job: use transaction, whose operations[] succeed or fail together"
        return not_one_of(text, list(OPERATIONS))
    if (reason := NOT_THERE.get(type, {}).get(name)) is not None:
        return f"{name}: {reason}"
    return None


def operation_error(text: Any, field: str, type: str) -> FieldError | None:
    """The same, told at the field that names the operation."""
    if (told := wrong_operation(text, type)) is None:
        return None
    known = not isinstance(text, str) or operation_named(text) is not None
    return FieldError(field, "invalid" if known else "unknown_operation", told)


def wrong_request(operation: str, input: Any, path: str, type: str) -> Iterator[FieldError]:
    """What is wrong with the options of an operation that is known, under `path`."""
    known = OPERATIONS[operation]
    if isinstance(input, Unknown):
        return
    if not isinstance(input, Mapping):
        yield FieldError(path, "invalid", "must be an object")
        return
    yield from unknown_fields(input, [word for name, each in known.items() for word in (name, *each.aliases)], path)
    values: dict[str, Any] = {}
    where = "where"
    for name, each in known.items():
        spelling = next((word for word in (name, *each.aliases) if input.get(word) is not None), None)
        if spelling is not None:
            values[name] = input[spelling]
            where = spelling if name == "where" else where
            yield from each.check(input[spelling], dotted(path, spelling))
        elif each.required:
            yield FieldError(dotted(path, name), "required", "is required")
    yield from _wrong_together(operation, values, path, type, where)


def _wrong_together(
    operation: str, values: Mapping[str, Any], path: str, type: str, where: str
) -> Iterator[FieldError]:
    """What is wrong with options beside each other. `where` is how the conditions are spelled in this input."""
    if "allowAll" in OPERATIONS[operation] and "id" not in values and values.get("allowAll") is not True:
        ends = "types" in OPERATIONS[operation] and ("startNodeId" in values or "endNodeId" in values)
        if not constrains(values.get("where")) and not ends and not isinstance(values.get("allowAll"), Unknown):
            yield FieldError(
                dotted(path, where), "required", f"is required: {operation} without a filter needs allowAll: true"
            )
    if operation == "findRelationships" and values.get("direction") and "startNodeId" not in values:
        yield FieldError(dotted(path, "direction"), "invalid", "needs a startNodeId, from which it is seen")
    if operation == "allPaths" and _over(values.get("minDepth"), values.get("maxDepth", DEEPEST_PATH)):
        yield FieldError(dotted(path, "minDepth"), "invalid", "must not be more than maxDepth")
    if operation == "query" and type == "embedded" and (told := wrong_query(values.get("query"))) is not None:
        yield FieldError(dotted(path, "query"), "invalid", told)
    if operation == "transaction":
        yield from _wrong_operations(values.get("operations"), dotted(path, "operations"), type)


def _over(low: Any, high: Any) -> bool:
    return type(low) is int and type(high) is int and low > high


def _wrong_operations(listed: Any, path: str, type: str) -> Iterator[FieldError]:
    """What is wrong with the members of a transaction: {operation, …options} or {operation, input: {…}}."""
    if listed is None or isinstance(listed, Unknown):
        return
    if not isinstance(listed, list) or not 0 < len(listed) <= MOST_OPERATIONS:
        yield FieldError(path, "invalid", f"must be a list of 1 to {MOST_OPERATIONS} operations")
        return
    for position, member in enumerate(listed):
        at = dotted(path, position)
        if isinstance(member, Unknown):
            continue
        if not isinstance(member, dict) or "operation" not in member:
            yield FieldError(dotted(at, "operation"), "required", "is required: {operation, input}")
            continue
        if isinstance(member["operation"], Unknown):
            continue
        if (error := operation_error(member["operation"], dotted(at, "operation"), type)) is not None:
            yield error
            continue
        name = operation_named(member["operation"])
        if name is None or name == "transaction" or name in SCHEMA:
            yield FieldError(dotted(at, "operation"), "invalid", f"{name} cannot be part of a transaction")
            continue
        options, under = _options_of(member)
        yield from wrong_request(name, options, dotted(at, under) if under else at, type)


def _options_of(member: Mapping[str, Any]) -> tuple[Any, str]:
    """The options of a member of a transaction, and the field that holds them ("" for the member itself)."""
    for under in ("input", "options", "params"):
        if under in member and len(member) == 2:
            return member[under], under
    return {name: value for name, value in member.items() if name != "operation"}, ""


def request(operation: str, input: Mapping[str, Any]) -> Request:
    """A request that was checked, its options under their own names."""
    values: dict[str, Any] = {}
    for name, each in OPERATIONS[operation].items():
        value = next((input[word] for word in (name, *each.aliases) if input.get(word) is not None), None)
        if value is None:
            continue
        listed = each.check is given.labels and isinstance(value, str)
        values[name] = [value] if listed else value
    if operation == "transaction":
        values["operations"] = [
            request(folded_operation(member["operation"]), _options_of(member)[0]) for member in values["operations"]
        ]
    return Request(operation, values)
