"""Products and their environments over HTTP: what everything else of a catalog hangs on."""

from __future__ import annotations

from typing import Any

from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from core.errors import Conflict, Forbidden, Invalid, NotFound
from core.fields import reject_unknown
from core.openapi import ref
from core.tenancy import scopes
from core.tenancy.auth import principal_of
from core.tenancy.models import Environment, Product
from core.tenancy.parsing import body_of
from core.tenancy.visibility import visible_environments, visible_product, visible_products
from core.times import to_ms
from executors.catalog import editing
from executors.catalog.api.writing import READ_WRITE, store, writable

_MOST_PRODUCTS = 1000
_OBJECT = {"type": "object", "additionalProperties": True}
_BODY = {"application/json": _OBJECT}


class ProductsView(APIView):
    """The products that the key sees."""

    required_scope = {"GET": scopes.CATALOG_READ, "POST": scopes.CATALOG_WRITE}

    @extend_schema(operation_id="products_list", summary="List products", tags=["catalog"], responses={200: _OBJECT})
    def get(self, request: Request) -> Response:
        products = visible_products(principal_of(request)).order_by("tag")[:_MOST_PRODUCTS]
        return Response({"products": [_product(product) for product in products]})

    @extend_schema(
        operation_id="products_create",
        summary="Create a product",
        tags=["catalog"],
        request=_BODY,
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
        return Response(_product(Product.objects.get(tag=tag)), status=201)


class ProductView(APIView):
    """One product."""

    required_scope = READ_WRITE

    @extend_schema(operation_id="products_get", summary="Get a product", tags=["catalog"], responses={200: _OBJECT})
    def get(self, request: Request, product: str) -> Response:
        return Response(_product(visible_product(principal_of(request), product)))

    @extend_schema(
        operation_id="products_update",
        summary="Rename a product",
        tags=["catalog"],
        request=_BODY,
        responses={200: _OBJECT, 409: ref("Problem")},
    )
    def patch(self, request: Request, product: str) -> Response:
        """A new `name`; the tag stays."""
        found, given = writable(request, product), body_of(request)
        reject_unknown(given, {"name"})
        if given.get("name") is None:
            raise Invalid.field("name", "is required", code="required")
        store(request, found, {"name": given["name"]}, "")
        return Response(_product(Product.objects.get(pk=found.pk)))

    @extend_schema(
        operation_id="products_delete",
        summary="Delete a product",
        tags=["catalog"],
        request=None,
        responses={204: None, 409: ref("Problem")},
    )
    def delete(self, request: Request, product: str) -> Response:
        """The product with its whole catalog and keys; operator keys only, 409 while it has jobs."""
        principal = principal_of(request)
        if not principal.is_operator:
            raise Forbidden("only an operator key can delete a product")
        editing.remove_product(visible_product(principal, product), actor=principal.name)
        return Response(status=204)


class EnvironmentsView(APIView):
    """The environments of a product that the key sees."""

    required_scope = READ_WRITE

    @extend_schema(
        operation_id="environments_list", summary="List environments", tags=["catalog"], responses={200: _OBJECT}
    )
    def get(self, request: Request, product: str) -> Response:
        principal = principal_of(request)
        found = visible_product(principal, product)
        environments = visible_environments(principal).filter(product=found).order_by("pk")
        return Response({"envs": [_environment(environment) for environment in environments]})

    @extend_schema(
        operation_id="environments_create",
        summary="Create an environment",
        tags=["catalog"],
        request=_BODY,
        responses={201: _OBJECT, 409: ref("Problem")},
    )
    def post(self, request: Request, product: str) -> Response:
        """`{slug, name?}`."""
        found, given = writable(request, product), body_of(request)
        slug = given.get("slug")
        if isinstance(slug, str) and found.environments.filter(slug=slug.replace("\x00", "")).exists():
            raise Conflict(f"product {found.tag!r} has an environment {slug[:60]!r} already", code="exists")
        store(request, found, {"envs": [given]}, "envs.0")
        return Response(_environment(found.environments.get(slug=slug)), status=201)


class EnvironmentView(APIView):
    """One environment of a product."""

    required_scope = READ_WRITE

    @extend_schema(
        operation_id="environments_update",
        summary="Rename an environment",
        tags=["catalog"],
        request=_BODY,
        responses={200: _OBJECT, 409: ref("Problem")},
    )
    def patch(self, request: Request, product: str, env: str) -> Response:
        """A new `name`; the slug stays."""
        found, given = writable(request, product), body_of(request)
        reject_unknown(given, {"name"})
        _found(found, env)
        store(request, found, {"envs": [{"slug": env, **given}]}, "envs.0")
        return Response(_environment(_found(found, env)))

    @extend_schema(
        operation_id="environments_delete",
        summary="Delete an environment",
        tags=["catalog"],
        request=None,
        responses={204: None, 409: ref("Problem")},
    )
    def delete(self, request: Request, product: str, env: str) -> Response:
        """The environment with the connections and secrets that are its own; 409 while it has jobs."""
        found = writable(request, product)
        editing.remove_environment(_found(found, env), actor=principal_of(request).name)
        return Response(status=204)


def _found(product: Product, slug: str) -> Environment:
    found = product.environments.filter(slug=slug.replace("\x00", "")).first()
    if found is None:
        raise NotFound(f"product {product.tag!r} has no environment {slug[:60]!r}", code="env_not_found")
    return found


def _product(product: Product) -> dict[str, Any]:
    return {"tag": product.tag, "name": product.name, "created_at": to_ms(product.created_at)}


def _environment(environment: Environment) -> dict[str, Any]:
    return {"slug": environment.slug, "name": environment.name, "created_at": to_ms(environment.created_at)}
