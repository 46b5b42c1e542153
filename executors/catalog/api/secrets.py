"""Secrets of a product over HTTP: they go in and never come out."""

from __future__ import annotations

from django.db import transaction
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from core.errors import NotFound
from core.fields import parameters
from core.openapi import ref
from core.tenancy.auth import principal_of
from core.tenancy.models import Product
from core.tenancy.parsing import body_of, without_body
from executors.catalog import document, editing
from executors.catalog.api.writing import (
    CHANGED,
    ETAG,
    FORCE,
    IF_MATCH,
    READ_WRITE,
    flag,
    readable,
    store,
    unchanged,
    writable,
)
from executors.catalog.etags import etag_of_secret

_OBJECT = {"type": "object", "additionalProperties": True}


class SecretsView(APIView):
    """The secrets of a product: which are set, never what they are."""

    required_scope = READ_WRITE

    @extend_schema(
        operation_id="secrets_list",
        summary="List secrets",
        tags=["catalog"],
        responses={200: _OBJECT, 409: ref("Problem")},
    )
    def get(self, request: Request, product: str) -> Response:
        principal = principal_of(request)
        found = readable(request, product)
        return Response({"secrets": document.secrets(found, environment_ids=principal.environment_ids)})

    @extend_schema(
        operation_id="secrets_store",
        summary="Store a secret",
        tags=["catalog"],
        request={"application/json": _OBJECT},
        parameters=[IF_MATCH, ETAG],
        responses={200: _OBJECT, 409: ref("Problem"), **CHANGED},
    )
    @transaction.atomic
    def post(self, request: Request, product: str) -> Response:
        """`{key, value}` for all environments, `{key, envs: {slug: value}}` for some; others of the key stay."""
        found, entry = writable(request, product, lock=True), body_of(request)
        key = entry.get("key")
        unchanged(request, lambda: _etag(found, key if isinstance(key, str) else ""))
        store(request, found, {"secrets": [entry]}, "secrets.0")
        stored = document.secrets(found)
        shown = next(shown for shown in stored if shown["key"] == key)
        return Response(shown, headers={"ETag": etag_of_secret(found, entry["key"])})


class SecretView(APIView):
    """One secret."""

    required_scope = READ_WRITE

    @extend_schema(
        operation_id="secrets_get",
        summary="Get a secret",
        tags=["catalog"],
        parameters=[ETAG],
        responses={200: _OBJECT, 409: ref("Problem")},
    )
    def get(self, request: Request, product: str, secret: str) -> Response:
        """Where it is set, never what it is."""
        principal = principal_of(request)
        found = readable(request, product)
        etag = etag_of_secret(found, secret.replace("\x00", ""))
        for shown in document.secrets(found, environment_ids=principal.environment_ids):
            if shown["key"] == secret:
                return Response(shown, headers={"ETag": etag})
        raise NotFound(f"product {found.tag!r} has no secret {secret[:120]!r}", code="secret_not_found")

    @extend_schema(
        operation_id="secrets_delete",
        summary="Delete a secret",
        tags=["catalog"],
        request=None,
        parameters=[OpenApiParameter("env", str, description="only the value for this environment"), FORCE, IF_MATCH],
        responses={204: None, 409: ref("Problem"), **CHANGED},
    )
    @transaction.atomic
    def delete(self, request: Request, product: str, secret: str) -> Response:
        """Remove a secret's value for one environment (`env`), or the one for all; 409 where unfinished jobs use it."""
        without_body(request)
        found = writable(request, product, lock=True)
        given = parameters(request.query_params, {"env", "force"})
        env, force = given.get("env"), flag(given, "force")
        secret, env = secret.replace("\x00", ""), env.replace("\x00", "") if env is not None else None
        place = {"environment": None} if env is None else {"environment__slug": env}
        if not found.secrets.filter(key=secret, **place).exists():
            where = "for all environments" if env is None else f"in environment {env[:60]!r}"
            raise NotFound(f"the secret {secret[:120]!r} has no value {where}", code="secret_not_found")
        unchanged(request, lambda: etag_of_secret(found, secret))
        editing.remove_secret(found, secret, env, actor=principal_of(request).name, force=force)
        return Response(status=204)


def _etag(product: Product, key: str) -> str | None:
    """None where the secret is not set anywhere."""
    key = key.replace("\x00", "")
    return etag_of_secret(product, key) if product.secrets.filter(key=key).exists() else None
