"""Caches over HTTP, and what is kept in them: which calls, never what they answered."""

from __future__ import annotations

from typing import Any

from django.db import transaction
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from core.clock import database_now
from core.errors import Invalid, NotFound
from core.fields import parameters
from core.openapi import ANY_OBJECT, COUNT, TEXT, TIME, Schema, list_of, nullable, obj, ref
from core.tenancy.auth import principal_of
from core.tenancy.models import Product
from core.tenancy.parsing import without_body
from core.tenancy.visibility import visible_environments, visible_product
from core.times import to_ms
from executors import caching
from executors.catalog.api import declared
from executors.catalog.api.declared import PROBLEMS
from executors.catalog.api.writing import ETAG, FORCE, IF_MATCH, READ_WRITE, readable, writable
from executors.catalog.declarations import CACHES, LONGEST_CACHED_MS, LONGEST_DESCRIPTION

_MOST_LISTED = 1000
_EXPIRY: Schema = {"type": "integer", "minimum": 1, "maximum": LONGEST_CACHED_MS, "description": "ms"}
_OPTIONAL: dict[str, Schema] = {"name": TEXT, "description": {"type": "string", "maxLength": LONGEST_DESCRIPTION}}
_CACHE = obj({"tag": TEXT, "name": TEXT, "expiry": _EXPIRY}, {"description": TEXT})
_NEW = obj({"tag": TEXT, "expiry": _EXPIRY}, {name: nullable(schema) for name, schema in _OPTIONAL.items()})
_CHANGES = obj({}, {**_NEW["properties"]})
_ENTRY = obj(
    {
        "key": TEXT,
        "env": TEXT,
        "namespace": TEXT,
        "target": ANY_OBJECT,
        "size": {**COUNT, "description": "of the result, in characters of JSON"},
        "created_at": TIME,
        "expires_at": TIME,
    }
)
_ENV = OpenApiParameter("env", str, description="only of this environment")


class CachesView(APIView):
    """The caches of a product."""

    required_scope = READ_WRITE

    @extend_schema(
        operation_id="caches_list",
        summary="List caches",
        tags=["catalog"],
        responses={200: obj({"caches": list_of(_CACHE)})},
    )
    def get(self, request: Request, product: str) -> Response:
        return Response(declared.listed(request, product, CACHES))

    @extend_schema(
        operation_id="caches_create",
        summary="Create a cache",
        tags=["catalog"],
        request={"application/json": _NEW},
        parameters=[ETAG],
        responses={201: _CACHE, 409: ref("Problem")},
    )
    def post(self, request: Request, product: str) -> Response:
        """A new one, written as in the catalog document; 409 where there is one of its tag."""
        return declared.answer(declared.create(request, product, CACHES), status=201)


class CacheView(APIView):
    """One cache."""

    required_scope = READ_WRITE

    @extend_schema(
        operation_id="caches_get", summary="Get a cache", tags=["catalog"], parameters=[ETAG], responses={200: _CACHE}
    )
    def get(self, request: Request, product: str, tag: str) -> Response:
        return declared.answer(declared.one(readable(request, product), CACHES, tag))

    @extend_schema(
        operation_id="caches_update",
        summary="Change a cache",
        tags=["catalog"],
        request={"application/json": _CHANGES},
        parameters=[IF_MATCH, ETAG],
        responses={200: _CACHE, **PROBLEMS},
    )
    def patch(self, request: Request, product: str, tag: str) -> Response:
        """Change the fields that are given; `null` takes one away. What is kept by then is not given any more."""
        with transaction.atomic():
            return declared.answer(declared.change(request, product, CACHES, tag))

    @extend_schema(
        operation_id="caches_delete",
        summary="Delete a cache",
        tags=["catalog"],
        request=None,
        parameters=[FORCE, IF_MATCH],
        responses={204: None, **PROBLEMS},
    )
    def delete(self, request: Request, product: str, tag: str) -> Response:
        """Remove it with what is kept; 409 where unfinished jobs name it, which with `force` run without one."""
        with transaction.atomic():
            declared.remove(request, product, CACHES, tag)
        return Response(status=204)


class EntriesView(APIView):
    """What is kept in a cache."""

    required_scope = READ_WRITE

    @extend_schema(
        operation_id="cache_entries_list",
        summary="List what a cache keeps",
        tags=["catalog"],
        parameters=[_ENV],
        responses={200: obj({"entries": list_of(_ENTRY)})},
    )
    def get(self, request: Request, product: str, tag: str) -> Response:
        """The newest 1 000 entries that hold, each with the call it is of; not what was answered."""
        found = visible_product(principal_of(request), product)
        rows = self._entries(request, found, tag).filter(expires_at__gt=database_now())
        slugs = dict(found.environments.values_list("pk", "slug"))
        return Response(
            {
                "entries": [
                    {
                        "key": row.key,
                        "env": slugs[row.environment_id],
                        "namespace": row.namespace,
                        "target": row.target,
                        "size": len(row.result),
                        "created_at": to_ms(row.created_at),
                        "expires_at": to_ms(row.expires_at),
                    }
                    for row in rows.order_by("-created_at")[:_MOST_LISTED]
                ]
            }
        )

    @extend_schema(
        operation_id="cache_entries_clear",
        summary="Clear a cache",
        tags=["catalog"],
        request=None,
        parameters=[_ENV, OpenApiParameter("key", str, description="only this entry")],
        responses={200: obj({"cleared": COUNT})},
    )
    def delete(self, request: Request, product: str, tag: str) -> Response:
        """Remove what is kept, the oldest 10 000 in one call: `cleared` is how many went. All is gone where it is 0."""
        without_body(request)
        principal = principal_of(request)
        found = writable(request, product)
        cleared = caching.clear(self._entries(request, found, tag), f"{found.tag}/{tag}", actor=principal.name)
        return Response({"cleared": cleared})

    def _entries(self, request: Request, product: Product, tag: str) -> Any:
        """Those that the key sees, and the query asks for. Raises NotFound."""
        known = {"env", "key"} if request.method == "DELETE" else {"env"}
        given = parameters(request.query_params, known)
        environments = visible_environments(principal_of(request)).filter(product=product)
        if (slug := given.get("env")) is not None:
            environments = environments.filter(slug=slug.replace("\x00", ""))
            if not environments.exists():
                raise NotFound(f"product {product.tag!r} has no environment {slug[:60]!r}", code="env_not_found")
        rows = caching.find_cache(product.pk, product.tag, tag).entries.filter(environment__in=environments)
        if (key := given.get("key")) is None:
            return rows
        if "\x00" in key or len(key) > 64:
            raise Invalid.field("key", "is no key of an entry: the list of entries has them")
        return rows.filter(key=key)
