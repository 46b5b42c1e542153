"""The catalog over HTTP: products, their environments, and the whole catalog as one document."""

from __future__ import annotations

from collections.abc import Mapping

from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from core.errors import Forbidden, Invalid, NotFound
from core.fields import parameters
from core.tenancy import scopes
from core.tenancy.auth import Principal, principal_of
from core.tenancy.parsing import StrictJSONParser, body_of
from core.tenancy.visibility import visible_product, visible_products
from executors.catalog import document
from executors.catalog.api.bodies import OlderTextYAMLParser, OlderYAMLParser, TextYAMLParser, YAMLParser
from executors.catalog.editing import store_part

_DIFFERENCE = {
    "type": "object",
    "required": ["created", "updated", "removed", "unchanged", "dry_run"],
    "properties": {
        "created": {"type": "array", "items": {"type": "string"}},
        "updated": {"type": "array", "items": {"type": "string"}},
        "removed": {"type": "array", "items": {"type": "string"}},
        "unchanged": {"type": "integer"},
        "dry_run": {"type": "boolean"},
    },
}
_OBJECT = {"type": "object", "additionalProperties": True}


class CatalogView(APIView):
    """What a product's jobs can run."""

    required_scope = {"GET": scopes.CATALOG_READ, "PUT": scopes.CATALOG_WRITE}
    parser_classes = [StrictJSONParser, YAMLParser, OlderYAMLParser, TextYAMLParser, OlderTextYAMLParser]

    @extend_schema(
        operation_id="catalog_export", summary="Export a catalog", tags=["catalog"], responses={200: _OBJECT}
    )
    def get(self, request: Request, product: str) -> Response:
        """The catalog as a document that PUT takes again; secrets as `{"set": true}`."""
        principal = principal_of(request)
        found = visible_product(principal, product)
        return Response(document.export(found, environment_ids=principal.environment_ids))

    @extend_schema(
        operation_id="catalog_store",
        summary="Store a catalog",
        tags=["catalog"],
        request={"application/json": _OBJECT, "application/yaml": _OBJECT},
        parameters=[
            OpenApiParameter("dry_run", bool, description="only answer what would change"),
            OpenApiParameter("prune", bool, description="remove what the document does not name"),
            OpenApiParameter("force", bool, description="remove also what unfinished jobs need"),
        ],
        responses={200: _DIFFERENCE},
    )
    def put(self, request: Request, product: str) -> Response:
        """Store a document; creates the product. Answers what changed. As YAML at most 1 MiB, as JSON 10 MiB."""
        principal = principal_of(request)
        given = parameters(request.query_params, {"dry_run", "prune", "force"})
        dry_run = flag(given, "dry_run")
        check_may_write(principal, product)
        written = body_of(request)
        if not written:
            detail = "the document says nothing: give at least one of product, name, envs, secrets and apps"
            raise Invalid(detail, code="nothing_to_change")
        difference = store_part(
            product,
            written,
            actor=principal.name,
            dry_run=dry_run,
            prune=flag(given, "prune"),
            force=flag(given, "force"),
        )
        return Response({**difference.as_dict(), "dry_run": dry_run})


def check_may_write(principal: Principal, tag: str) -> None:
    """An operator key writes any product's catalog, and creates products; a product key its own."""
    if principal.is_operator:
        return
    if not visible_products(principal).filter(tag=tag.replace("\x00", "")).exists():
        raise NotFound(
            f"there is no product {tag[:120]!r}: only an operator key can create it", code="product_not_found"
        )
    if principal.environment_ids is not None:
        raise Forbidden("a key limited to some environments cannot write the catalog, which holds all of them")


def flag(given: Mapping[str, str], name: str) -> bool:
    """A query parameter that is true or false. Raises Invalid."""
    text = given.get(name)
    if text is None or text.lower() in ("false", "0"):
        return False
    if text.lower() in ("", "true", "1"):
        return True
    raise Invalid.field(name, "must be true or false")
