"""Products and their environments over HTTP: what everything else of a catalog hangs on."""

from __future__ import annotations

from typing import Any

from django.db import transaction
from django.db.models import QuerySet
from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from core.errors import Conflict, Forbidden, Invalid, NotFound
from core.fields import parameters, reject_unknown
from core.openapi import ref
from core.tenancy import scopes
from core.tenancy.auth import principal_of
from core.tenancy.models import Environment, Product
from core.tenancy.parsing import body_of, without_body
from core.tenancy.visibility import visible_environments, visible_products
from core.times import to_ms
from executors.catalog import editing
from executors.catalog.api.writing import CHANGED, ETAG, IF_MATCH, READ_WRITE, readable, store, unchanged, writable
from executors.catalog.etags import etag_of_catalog, etag_of_environment

_MOST_PRODUCTS = 1000
_OBJECT = {"type": "object", "additionalProperties": True}
_BODY = {"application/json": _OBJECT}


class ProductsView(APIView):
    """The products that the key sees."""

    required_scope = {"GET": scopes.CATALOG_READ, "POST": scopes.CATALOG_WRITE}

    @extend_schema(operation_id="products_list", summary="List products", tags=["catalog"], responses={200: _OBJECT})
    def get(self, request: Request) -> Response:
        parameters(request.query_params, ())
        products = visible_products(principal_of(request)).order_by("tag")[:_MOST_PRODUCTS]
        return Response({"products": [_product(product) for product in products]})

    @extend_schema(
        operation_id="products_create",
        summary="Create a product",
        tags=["catalog"],
        request=_BODY,
        parameters=[ETAG],
        responses={201: _OBJECT, 409: ref("Problem")},
    )
    def post(self, request: Request) -> Response:
        """`{tag, name?, envs?: [{slug, name}]}`; operator keys only."""
        principal, given = principal_of(request), dict(body_of(request))
        if not principal.is_operator:
            raise Forbidden("only an operator key can create a product")
        reject_unknown(given, {"tag", "name", "envs"})
        tag = given.pop("tag", None)
        if not isinstance(tag, str) or not tag:
            raise Invalid.field("tag", "is required: the tag, as text", code="required")
        if Product.objects.filter(tag=tag.replace("\x00", "")).exists():
            raise Conflict(f"there is a product {tag[:120]!r} already: change it with PATCH", code="exists")
        editing.store_part(tag, {"name": tag, **given}, actor=principal.name)
        return _product_answer(Product.objects.get(tag=tag), status=201)


class ProductView(APIView):
    """One product."""

    required_scope = READ_WRITE

    @extend_schema(
        operation_id="products_get",
        summary="Get a product",
        tags=["catalog"],
        parameters=[ETAG],
        responses={200: _OBJECT},
    )
    def get(self, request: Request, product: str) -> Response:
        """Its ETag is of its whole catalog."""
        return _product_answer(readable(request, product))

    @extend_schema(
        operation_id="products_update",
        summary="Rename a product",
        tags=["catalog"],
        request=_BODY,
        parameters=[IF_MATCH, ETAG],
        responses={200: _OBJECT, 409: ref("Problem"), **CHANGED},
    )
    @transaction.atomic
    def patch(self, request: Request, product: str) -> Response:
        """A new `name`; the tag stays."""
        found, given = writable(request, product, lock=True), body_of(request)
        unchanged(request, lambda: etag_of_catalog(found))
        reject_unknown(given, {"name"})
        if given.get("name") is None:
            raise Invalid.field("name", "is required", code="required")
        store(request, found, {"name": given["name"]}, "")
        return _product_answer(Product.objects.get(pk=found.pk))

    @extend_schema(
        operation_id="products_delete",
        summary="Delete a product",
        tags=["catalog"],
        request=None,
        parameters=[IF_MATCH],
        responses={204: None, 409: ref("Problem"), **CHANGED},
    )
    @transaction.atomic
    def delete(self, request: Request, product: str) -> Response:
        """The product with its whole catalog and keys; operator keys only, 409 while it has jobs."""
        principal = principal_of(request)
        parameters(request.query_params, ())
        without_body(request)
        if not principal.is_operator:
            raise Forbidden("only an operator key can delete a product")
        found = writable(request, product, lock=True)
        unchanged(request, lambda: etag_of_catalog(found))
        editing.remove_product(found, actor=principal.name)
        return Response(status=204)


class EnvironmentsView(APIView):
    """The environments of a product that the key sees."""

    required_scope = READ_WRITE

    @extend_schema(
        operation_id="environments_list", summary="List environments", tags=["catalog"], responses={200: _OBJECT}
    )
    def get(self, request: Request, product: str) -> Response:
        principal = principal_of(request)
        found = readable(request, product)
        environments = visible_environments(principal).filter(product=found).order_by("pk")
        return Response({"envs": [_environment(environment) for environment in environments]})

    @extend_schema(
        operation_id="environments_create",
        summary="Create an environment",
        tags=["catalog"],
        request=_BODY,
        parameters=[ETAG],
        responses={201: _OBJECT, 409: ref("Problem")},
    )
    @transaction.atomic
    def post(self, request: Request, product: str) -> Response:
        """`{slug, name?}`."""
        found, given = writable(request, product, lock=True), body_of(request)
        slug = given.get("slug")
        if isinstance(slug, str) and found.environments.filter(slug=slug.replace("\x00", "")).exists():
            raise Conflict(f"product {found.tag!r} has an environment {slug[:60]!r} already", code="exists")
        store(request, found, {"envs": [given]}, "envs.0")
        return _environment_answer(found.environments.get(slug=slug), status=201)


class EnvironmentView(APIView):
    """One environment of a product."""

    required_scope = READ_WRITE

    @extend_schema(
        operation_id="environments_get",
        summary="Get an environment",
        tags=["catalog"],
        parameters=[ETAG],
        responses={200: _OBJECT},
    )
    def get(self, request: Request, product: str, env: str) -> Response:
        """Its ETag is of its connections and secrets too, which go with it."""
        principal = principal_of(request)
        found = _found(readable(request, product), env, visible_environments(principal))
        return _environment_answer(found)

    @extend_schema(
        operation_id="environments_update",
        summary="Rename an environment",
        tags=["catalog"],
        request=_BODY,
        parameters=[IF_MATCH, ETAG],
        responses={200: _OBJECT, 409: ref("Problem"), **CHANGED},
    )
    @transaction.atomic
    def patch(self, request: Request, product: str, env: str) -> Response:
        """A new `name`; the slug stays."""
        found, given = writable(request, product, lock=True), body_of(request)
        environment = _found(found, env)
        unchanged(request, lambda: etag_of_environment(environment))
        reject_unknown(given, {"name"})
        store(request, found, {"envs": [{"slug": env, **given}]}, "envs.0")
        return _environment_answer(_found(found, env))

    @extend_schema(
        operation_id="environments_delete",
        summary="Delete an environment",
        tags=["catalog"],
        request=None,
        parameters=[IF_MATCH],
        responses={204: None, 409: ref("Problem"), **CHANGED},
    )
    @transaction.atomic
    def delete(self, request: Request, product: str, env: str) -> Response:
        """The environment with the connections and secrets that are its own; 409 while it has jobs."""
        parameters(request.query_params, ())
        without_body(request)
        environment = _found(writable(request, product, lock=True), env)
        unchanged(request, lambda: etag_of_environment(environment))
        editing.remove_environment(environment, actor=principal_of(request).name)
        return Response(status=204)


def _found(product: Product, slug: str, among: QuerySet[Environment] | None = None) -> Environment:
    rows = Environment.objects.all() if among is None else among
    found = rows.filter(product=product, slug=slug.replace("\x00", "")).first()
    if found is None:
        raise NotFound(f"product {product.tag!r} has no environment {slug[:60]!r}", code="env_not_found")
    return found


def _product_answer(product: Product, status: int = 200) -> Response:
    return Response(_product(product), status=status, headers={"ETag": etag_of_catalog(product)})


def _environment_answer(environment: Environment, status: int = 200) -> Response:
    return Response(_environment(environment), status=status, headers={"ETag": etag_of_environment(environment)})


def _product(product: Product) -> dict[str, Any]:
    return {"tag": product.tag, "name": product.name, "created_at": to_ms(product.created_at)}


def _environment(environment: Environment) -> dict[str, Any]:
    return {"slug": environment.slug, "name": environment.name, "created_at": to_ms(environment.created_at)}
