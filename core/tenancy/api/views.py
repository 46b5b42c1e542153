"""API keys over HTTP: listed, made, revoked.

A key gives no more than it has: its product, its environments, its scopes.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Any

from django.db import transaction
from django.db.models import QuerySet
from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from core.clock import database_now
from core.errors import Forbidden, Invalid, NotFound
from core.fields import dotted, reject_unknown
from core.openapi import ref
from core.tenancy import audit, keys, scopes
from core.tenancy.auth import Principal, principal_of
from core.tenancy.models import ApiKey, Environment, Product
from core.tenancy.parsing import body_of, without_body
from core.tenancy.visibility import visible_environments, visible_product, visible_products
from core.times import parse_time, to_ms, to_ms_or_none

_MOST_LISTED = 1_000
_LONGEST_NAME = 200
_FIELDS = frozenset({"name", "product", "envs", "scopes", "expires_at"})


class KeysView(APIView):
    """The keys that the key sees."""

    required_scope = scopes.KEYS_MANAGE

    @extend_schema(operation_id="keys_list", summary="List API keys", tags=["keys"], responses={200: ref("ApiKeys")})
    def get(self, request: Request) -> Response:
        """Keys by their prefix, the newest first; never the keys themselves."""
        reject_unknown(request.query_params, frozenset())
        found = visible_keys(principal_of(request)).order_by("-pk")[:_MOST_LISTED]
        return Response({"keys": [_shape(key) for key in found]})

    @extend_schema(
        operation_id="keys_create",
        summary="Create an API key",
        tags=["keys"],
        request={"application/json": ref("NewApiKey")},
        responses={201: ref("MadeApiKey")},
    )
    def post(self, request: Request) -> Response:
        """Make a key; its text is shown in this answer and never again."""
        principal, body = principal_of(request), body_of(request)
        reject_unknown(body, _FIELDS)
        product = _product(principal, body)
        with transaction.atomic():
            made = keys.create(
                name=_name(body),
                product=product,
                environments=_environments(principal, product, body),
                scopes=_scopes(principal, body),
                expires_at=_expiry(body),
            )
            audit.record(
                principal.name,
                "key.created",
                f"{made.key.name} ({made.key.prefix}…)",
                {"product": product.tag if product else None, "scopes": made.key.scopes},
            )
        return Response({**_shape(made.key), "key": made.text}, status=201)


class KeyView(APIView):
    """One key."""

    required_scope = scopes.KEYS_MANAGE

    @extend_schema(operation_id="keys_revoke", summary="Revoke an API key", tags=["keys"], responses={204: None})
    def delete(self, request: Request, key_id: int) -> Response:
        """From now on the key opens nothing. It stays in the list, as revoked."""
        reject_unknown(request.query_params, frozenset())
        without_body(request)
        principal = principal_of(request)
        key = visible_keys(principal).filter(pk=key_id).first() if key_id < 2**63 else None
        if key is None:
            raise NotFound(f"there is no key {key_id}", code="key_not_found")
        if key.revoked_at is None:
            with transaction.atomic():
                keys.revoke(key)
                audit.record(principal.name, "key.revoked", f"{key.name} ({key.prefix}…)")
        return Response(status=204)


def visible_keys(principal: Principal) -> QuerySet[ApiKey]:
    """The keys that exist for this one: all, or its product's; of a key of some environments: those
    that reach no further than it does."""
    found = ApiKey.objects.select_related("product").prefetch_related("environments")
    if principal.is_operator:
        return found
    found = found.filter(product__in=visible_products(principal))
    if principal.environment_ids is not None:
        of_product = Environment.objects.filter(product__in=visible_products(principal))
        beyond = of_product.exclude(pk__in=principal.environment_ids)
        found = found.filter(environments__in=principal.environment_ids).exclude(environments__in=beyond).distinct()
    return found


def _shape(key: ApiKey) -> dict[str, Any]:
    times = {
        "expires_at": to_ms_or_none(key.expires_at),
        "revoked_at": to_ms_or_none(key.revoked_at),
        "last_used_at": to_ms_or_none(key.last_used_at),
    }
    return {
        "id": key.pk,
        "name": key.name,
        "prefix": key.prefix,
        "scopes": key.scopes,
        "product": key.product.tag if key.product is not None else None,
        "envs": sorted(environment.slug for environment in key.environments.all()),
        "created_at": to_ms(key.created_at),
        **{name: value for name, value in times.items() if value is not None},
    }


def _name(body: dict[str, Any]) -> str:
    name = body.get("name")
    if not isinstance(name, str) or not name.strip() or len(name) > _LONGEST_NAME:
        detail = f"must be text of 1 to {_LONGEST_NAME} characters"
        raise Invalid.field("name", detail, code="required" if name is None else "invalid")
    return name.strip()


def _product(principal: Principal, body: dict[str, Any]) -> Product | None:
    tag = body.get("product")
    if tag is None:
        return None if principal.is_operator else visible_product(principal, None)
    if not isinstance(tag, str):
        raise Invalid.field("product", "must be the tag of a product")
    return visible_product(principal, tag)


def _environments(principal: Principal, product: Product | None, body: dict[str, Any]) -> list[Environment]:
    """The environments of the new key; none: all of the product's, which a limited key cannot give."""
    slugs = _texts(body, "envs")
    if slugs and product is None:
        raise Invalid.field("envs", "an operator key sees every environment: name a product, or leave envs out")
    if product is None:
        return []
    found = {environment.slug: environment for environment in visible_environments(principal).filter(product=product)}
    if not slugs:
        return [] if principal.environment_ids is None else list(found.values())
    for position, slug in enumerate(slugs):
        if slug not in found:
            raise Invalid.field(dotted("envs", position), f"product {product.tag!r} has no environment {slug[:60]!r}")
    return [found[slug] for slug in dict.fromkeys(slugs)]


def _scopes(principal: Principal, body: dict[str, Any]) -> Iterable[str]:
    if body.get("scopes") is None:
        return principal.scopes
    given = scopes.check_scopes(_texts(body, "scopes"))
    if not given:
        raise Invalid.field("scopes", "a key without a scope opens nothing: name at least one")
    beyond = sorted(given - principal.scopes)
    if beyond:
        raise Forbidden(f"a key gives no more than it has: it lacks {', '.join(beyond)}", code="scope_missing")
    return given


def _expiry(body: dict[str, Any]) -> datetime | None:
    if body.get("expires_at") is None:
        return None
    try:
        moment = parse_time(body["expires_at"])
    except ValueError as error:
        raise Invalid.field("expires_at", str(error)) from None
    if moment <= database_now():
        raise Invalid.field("expires_at", "is past already")
    return moment


def _texts(body: dict[str, Any], name: str) -> list[str]:
    values = body.get(name)
    if values is None:
        return []
    if not isinstance(values, list) or not all(isinstance(value, str) for value in values):
        raise Invalid.field(name, "must be a list of texts")
    return values
