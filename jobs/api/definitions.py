"""Definitions of jobs over HTTP: `product.jobs.create / update / fetchAll / fetch / delete` of the older calls."""

from __future__ import annotations

from typing import Any, ClassVar

from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from core.errors import Forbidden
from core.openapi import ANY_OBJECT, COUNT, DURATION, TEXT, TIME, Schema, list_of, nullable, obj, ref
from core.tenancy import scopes
from core.tenancy.auth import Principal, principal_of
from core.tenancy.models import Product
from core.tenancy.parsing import body_of, without_body
from core.tenancy.visibility import visible_product
from core.times import to_ms
from jobs.api.parameters import FORCE
from jobs.api.reading import Query
from jobs.models import JobDefinition
from jobs.operations import definitions
from jobs.operations.event_types import EVENT_TYPES, SPELLED
from jobs.schedule.parsing import LONGEST_DURATION, MOST_RUNS

_TYPE: Schema = {
    "type": "string",
    "description": f"in any case: {', '.join(SPELLED)}",
    "examples": list(EVENT_TYPES),
}
_EVENT: Schema = {
    "type": "string",
    "minLength": 1,
    "maxLength": definitions.LONGEST_EVENT_TAG,
    "description": "component:event, or the event alone where one component has it",
}
_GIVEN: dict[str, Schema] = {
    "name": {"type": "string", "minLength": 1, "maxLength": 200},
    "event_type": _TYPE,
    "event_tag": _EVENT,
    "executions": {"type": "integer", "minimum": 0, "maximum": MOST_RUNS, "description": "0: without a limit"},
    "intervals": {
        "type": "integer",
        "minimum": 0,
        "maximum": LONGEST_DURATION,
        "description": "ms between two of them; at least 100, unless `executions` is 1",
    },
}
_ALIASES: dict[str, Schema] = {
    alias: {**_GIVEN[name], "description": f"another name for `{name}`"} for alias, name in definitions.ALIASES.items()
}
_TAG: Schema = {"type": "string", "minLength": 1, "maxLength": 120}
_EXAMPLE = {
    "name": "Example Job",
    "tag": "example_job",
    "event_type": "ACTION",
    "event_tag": "action_tag",
    "executions": 5,
    "intervals": 60_000,
}
_NEW: Schema = {
    **obj(
        {"tag": _TAG, "name": _GIVEN["name"], "executions": _GIVEN["executions"]},
        {
            name: nullable(schema)
            for name, schema in {**_GIVEN, **_ALIASES}.items()
            if name not in {"name", "executions"}
        },
    ),
    "examples": [_EXAMPLE],
}
_CHANGES: Schema = {
    **obj({}, {name: nullable(schema) for name, schema in {**_GIVEN, **_ALIASES, "tag": _TAG}.items()}),
    "examples": [{"name": "Updated Job Name", "executions": 10, "intervals": 120_000}],
}

_SHOWN: dict[str, Schema] = {
    "product": TEXT,
    "tag": TEXT,
    "name": TEXT,
    "event_type": {"type": "string", "enum": list(EVENT_TYPES)},
    "event_tag": TEXT,
    "namespace": TEXT,
    "target": {**ANY_OBJECT, "description": "what the event tag names"},
    "executions": COUNT,
    "intervals": DURATION,
    "created_at": TIME,
    "updated_at": TIME,
}
COMPONENTS: dict[str, Schema] = {
    "Definition": obj(_SHOWN, description="A template of jobs, without an environment and an input."),
    "DefinitionChanged": obj(
        {**_SHOWN, "rescheduled": {**COUNT, "description": "its unfinished recurring jobs, which follow it"}}
    ),
    "Definitions": obj({"jobs": list_of(ref("Definition"))}),
}


class DefinitionsView(APIView):
    """The definitions of a product."""

    required_scope: ClassVar[dict[str, str]] = {"GET": scopes.JOBS_READ, "POST": scopes.JOBS_MANAGE}

    @extend_schema(
        operation_id="definitions_list",
        summary="List definitions of jobs",
        tags=["definitions"],
        responses={200: ref("Definitions")},
    )
    def get(self, request: Request, product: str) -> Response:
        """All of them, in the order of their tags."""
        Query(request.query_params, ()).done()
        found = visible_product(principal_of(request), product)
        listed = JobDefinition.objects.filter(product=found).order_by("tag")
        return Response({"jobs": [definition_shape(found, each) for each in listed]})

    @extend_schema(
        operation_id="definitions_create",
        summary="Define a job",
        tags=["definitions"],
        request={"application/json": _NEW},
        responses={201: ref("Definition"), 409: ref("Problem")},
    )
    def post(self, request: Request, product: str) -> Response:
        """A template that `POST /v1/processor/jobs/schedule` makes jobs of. Its event must be in the catalog."""
        principal = principal_of(request)
        found = _writable(principal, product)
        made = definitions.create(found, body_of(request), actor=principal.name)
        return Response(definition_shape(found, made), status=201)


class DefinitionView(APIView):
    """One definition."""

    required_scope: ClassVar[dict[str, str]] = {
        "GET": scopes.JOBS_READ,
        "PATCH": scopes.JOBS_MANAGE,
        "DELETE": scopes.JOBS_MANAGE,
    }

    @extend_schema(
        operation_id="definitions_get",
        summary="Get a definition of jobs",
        tags=["definitions"],
        responses={200: ref("Definition")},
    )
    def get(self, request: Request, product: str, tag: str) -> Response:
        """The definition of that tag."""
        Query(request.query_params, ()).done()
        found = visible_product(principal_of(request), product)
        return Response(definition_shape(found, definitions.find_definition(found, tag)))

    @extend_schema(
        operation_id="definitions_update",
        summary="Change a definition and its jobs",
        tags=["definitions"],
        request={"application/json": _CHANGES},
        responses={200: ref("DefinitionChanged")},
    )
    def patch(self, request: Request, product: str, tag: str) -> Response:
        """Its unfinished recurring jobs follow, on the grid of the same anchor; what is open goes on. A job that has
        had as many runs as `executions` now allows ends."""
        principal = principal_of(request)
        found = _writable(principal, product)
        changed, count = definitions.update(found, tag, body_of(request), actor=principal.name)
        return Response({**definition_shape(found, changed), "rescheduled": count})

    @extend_schema(
        operation_id="definitions_delete",
        summary="Delete a definition of jobs",
        tags=["definitions"],
        parameters=[FORCE],
        responses={204: None, 409: ref("Problem")},
    )
    def delete(self, request: Request, product: str, tag: str) -> Response:
        """Refused while unfinished jobs have it, unless `force` cancels them."""
        without_body(request)
        query = Query(request.query_params, {"force"})
        force = query.flag("force") or False
        query.done()
        principal = principal_of(request)
        definitions.delete(_writable(principal, product), tag, force=force, actor=principal.name)
        return Response(status=204)


def definition_shape(product: Product, definition: JobDefinition) -> dict[str, Any]:
    return {
        "product": product.tag,
        "tag": definition.tag,
        "name": definition.name,
        "event_type": definition.event_type,
        "event_tag": definition.event_tag,
        "namespace": EVENT_TYPES[definition.event_type].namespace,
        "target": definition.target,
        "executions": definition.executions,
        "intervals": definition.intervals,
        "created_at": to_ms(definition.created_at),
        "updated_at": to_ms(definition.updated_at),
    }


def _writable(principal: Principal, tag: str) -> Product:
    """Raises NotFound, Forbidden."""
    product = visible_product(principal, tag)
    if principal.environment_ids is not None:
        raise Forbidden("a key limited to some environments cannot change definitions, which hold for all of them")
    return product
