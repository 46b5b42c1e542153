"""Small pieces of OpenAPI 3.1 that every described view uses. Data only, no framework.

Components are named schemas; an app's `api/schemas.py` keeps its own in COMPONENTS, and the project
puts them together (`ductape_jobs.openapi`).
"""

from __future__ import annotations

from typing import Any

Schema = dict[str, Any]

TEXT: Schema = {"type": "string"}
FLAG: Schema = {"type": "boolean"}
COUNT: Schema = {"type": "integer", "minimum": 0}
TIME: Schema = {"type": "integer", "description": "milliseconds since 1970, UTC"}
DURATION: Schema = {"type": "integer", "minimum": 0, "description": "milliseconds"}
TIME_GIVEN: Schema = {
    "description": "milliseconds since 1970, or ISO 8601 (naive: in `tz`, else UTC)",
    "oneOf": [{"type": "integer", "minimum": 0, "maximum": 253_402_300_799_999}, {"type": "string"}],
}
ANY_OBJECT: Schema = {"type": "object", "additionalProperties": True}


def ref(name: str) -> Schema:
    return {"$ref": f"#/components/schemas/{name}"}


def one_of(*values: str) -> Schema:
    return {"type": "string", "enum": list(values)}


def list_of(items: Schema) -> Schema:
    return {"type": "array", "items": items}


def nullable(schema: Schema) -> Schema:
    return {"oneOf": [schema, {"type": "null"}]}


def allows_null(schema: Schema) -> bool:
    """Whether null is right by a schema; of a reference, which may lead to anything, no."""
    kinds = schema.get("type")
    if kinds is not None:
        return kinds == "null" or (isinstance(kinds, list) and "null" in kinds)
    return any(map(allows_null, schema["oneOf"])) if "oneOf" in schema else "$ref" not in schema


def null_left_out(body: Schema) -> Schema:
    """A body in which each field that may be left out may also be null, which means the same."""
    required = body.get("required", ())
    fields = {
        name: schema if name in required or allows_null(schema) else nullable(schema)
        for name, schema in body.get("properties", {}).items()
    }
    return {**body, "properties": fields} if fields else body


def obj(required: dict[str, Schema], optional: dict[str, Schema] | None = None, description: str = "") -> Schema:
    """A closed object: what it must have, and what it may have besides."""
    schema: Schema = {
        "type": "object",
        "properties": {**required, **(optional or {})},
        "additionalProperties": False,
    }
    if required:
        schema["required"] = list(required)
    if description:
        schema["description"] = description
    return schema


PROBLEM = obj(
    {
        "type": TEXT,
        "title": TEXT,
        "status": {"type": "integer"},
        "detail": TEXT,
        "code": {"type": "string", "description": "stable; listed in docs/api-errors.md"},
        "errors": list_of(obj({"field": TEXT, "code": TEXT, "detail": TEXT})),
        "request_id": TEXT,
    },
    description="RFC 9457: what went wrong, and the way out.",
)
PROBLEM["additionalProperties"] = True  # some problems tell more: `status_found`, `missing`
