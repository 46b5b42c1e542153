"""Maintenance over HTTP: hold and release a product, an environment or a namespace of it."""

from __future__ import annotations

from typing import Any, NamedTuple

from django.db.models import Q
from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from core.errors import FieldError, NotFound
from core.fields import parameters
from core.openapi import TEXT, obj, ref
from core.tenancy import scopes
from core.tenancy.auth import Principal, principal_of
from core.tenancy.models import Environment, Product
from core.tenancy.parsing import body_of
from core.tenancy.visibility import find_place, visible_product
from executors import registry
from executors.catalog.reading import Problems, Reader
from jobs.api.shapes import hold_shape
from jobs.models import Hold
from jobs.operations import holds

_SCOPE = obj({}, {"env": TEXT, "namespace": TEXT, "note": TEXT})


class _Scope(NamedTuple):
    product: Product
    environment: Environment | None
    namespace: str
    note: str


class HoldView(APIView):
    """The holds of a product."""

    required_scope = {"GET": scopes.JOBS_READ, "POST": scopes.JOBS_MANAGE}

    @extend_schema(operation_id="holds_list", summary="List holds", tags=["maintenance"], responses={200: ref("Holds")})
    def get(self, request: Request, product: str) -> Response:
        """What is held."""
        parameters(request.query_params, ())
        principal = principal_of(request)
        return Response(_shown(principal, visible_product(principal, product)))

    @extend_schema(
        operation_id="hold",
        summary="Hold due runs back",
        tags=["maintenance"],
        request={"application/json": _SCOPE},
        responses={200: ref("Holds")},
    )
    def post(self, request: Request, product: str) -> Response:
        """Due runs of the product (or only of an `env`, a `namespace`) wait from now on, unclaimed."""
        principal = principal_of(request)
        scope = _read(principal, product, body_of(request))
        holds.hold(scope.product, scope.environment, scope.namespace, note=scope.note, actor=principal.name)
        return Response(_shown(principal, scope.product))


class ReleaseView(APIView):
    """The end of a hold."""

    required_scope = scopes.JOBS_MANAGE

    @extend_schema(
        operation_id="release",
        summary="Release a hold",
        tags=["maintenance"],
        request={"application/json": _SCOPE},
        responses={200: ref("Holds")},
    )
    def post(self, request: Request, product: str) -> Response:
        """End the hold of the same `env` and `namespace`; `{}` ends all. Answers those that are left; twice is no error."""
        principal = principal_of(request)
        scope = _read(principal, product, body_of(request))
        holds.release(scope.product, scope.environment, scope.namespace, actor=principal.name)
        return Response(_shown(principal, scope.product))


def _shown(principal: Principal, product: Product) -> dict[str, Any]:
    """The holds that the key sees: those of the whole product, and of its own environments."""
    found = Hold.objects.select_related("product", "environment").filter(product=product)
    if principal.environment_ids is not None:
        found = found.filter(Q(environment__isnull=True) | Q(environment_id__in=principal.environment_ids))
    return {"holds": [hold_shape(hold) for hold in found.order_by("pk")]}


def _read(principal: Principal, product: str, body: dict[str, Any]) -> _Scope:
    """Raises NotFound (product, environment) and Invalid. A key of some environments must name one."""
    problems = Problems()
    reader = Reader(body, "", problems, {"env", "namespace", "note"})
    env, namespace, note = reader.text("env"), reader.text("namespace"), reader.text("note", limit=2_000)
    if namespace is not None and namespace not in registry.known():
        unknown = registry.unknown(namespace).errors[0]
        problems.add(unknown.field, unknown.detail, unknown.code)
    problems.raise_if_any()
    found = visible_product(principal, product)
    environment = None
    if env is not None or principal.environment_ids is not None:
        place = find_place(principal, found.tag, env)
        environment = Environment.objects.filter(pk=place.environment_id).first()
        if environment is None:
            detail = f"product {found.tag!r} has no environment {env!r}"
            raise NotFound(detail, code="env_not_found", errors=[FieldError("env", "not_found", detail)])
    return _Scope(found, environment, namespace or "", note or "")
