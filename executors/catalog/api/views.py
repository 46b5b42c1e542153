"""The catalog over HTTP: products, their environments, and the whole catalog as one document."""

from __future__ import annotations

from django.db import transaction
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from core.errors import Invalid
from core.fields import parameters
from core.openapi import ref
from core.tenancy import scopes
from core.tenancy.auth import principal_of
from core.tenancy.models import Product
from core.tenancy.parsing import StrictJSONParser, body_of
from executors.catalog import document
from executors.catalog.api.bodies import OlderTextYAMLParser, OlderYAMLParser, TextYAMLParser, YAMLParser
from executors.catalog.api.writing import CHANGED, ETAG, IF_MATCH, check_may_write, flag, readable, unchanged
from executors.catalog.editing import store_part
from executors.catalog.etags import etag_of_catalog

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
        operation_id="catalog_export",
        summary="Export a catalog",
        tags=["catalog"],
        parameters=[ETAG],
        responses={200: _OBJECT},
    )
    def get(self, request: Request, product: str) -> Response:
        """The catalog as a document that PUT takes again; secrets as `{"set": true}`."""
        principal = principal_of(request)
        found = readable(request, product)
        exported = document.export(found, environment_ids=principal.environment_ids)
        return Response(exported, headers={"ETag": etag_of_catalog(found)})

    @extend_schema(
        operation_id="catalog_store",
        summary="Store a catalog",
        tags=["catalog"],
        request={"application/json": _OBJECT, "application/yaml": _OBJECT},
        parameters=[
            OpenApiParameter("dry_run", bool, description="only answer what would change"),
            OpenApiParameter("prune", bool, description="remove what the document does not name"),
            OpenApiParameter("force", bool, description="remove also what unfinished jobs need"),
            IF_MATCH,
            ETAG,
        ],
        responses={200: _DIFFERENCE, 409: ref("Problem"), **CHANGED},
    )
    def put(self, request: Request, product: str) -> Response:
        """Store a document; creates the product. Answers what changed. As YAML at most 1 MiB, as JSON 10 MiB.

        A dry run answers the ETag of what is there: with it in `If-Match` just that is changed later.
        """
        principal = principal_of(request)
        given = parameters(request.query_params, {"dry_run", "prune", "force"})
        dry_run = flag(given, "dry_run")
        check_may_write(principal, product)
        written = body_of(request, parameters={"dry_run", "prune", "force"})
        if not written:
            detail = "the document says nothing: give at least one of product, name, envs, secrets and apps"
            raise Invalid(detail, code="nothing_to_change")
        with transaction.atomic():
            unchanged(request, lambda: self._etag(product, lock=True))
            difference = store_part(
                product,
                written,
                actor=principal.name,
                dry_run=dry_run,
                prune=flag(given, "prune"),
                force=flag(given, "force"),
            )
            etag = self._etag(product)
        headers = {"ETag": etag} if etag is not None else {}
        return Response({**difference.as_dict(), "dry_run": dry_run}, headers=headers)

    def _etag(self, tag: str, *, lock: bool = False) -> str | None:
        """None where there is no product of that tag yet; with `lock` nobody else writes its catalog meanwhile."""
        rows = Product.objects.select_for_update() if lock else Product.objects.all()
        product = rows.filter(tag=tag.replace("\x00", "")).first()
        return etag_of_catalog(product) if product is not None else None
