"""What every call that writes a part of a catalog shares: who may, and how problems are told."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from drf_spectacular.utils import OpenApiParameter
from rest_framework.request import Request

from core.errors import FieldError, Invalid
from core.fields import parameters
from core.tenancy import scopes
from core.tenancy.auth import principal_of
from core.tenancy.models import Product
from core.tenancy.visibility import visible_product
from executors.catalog import editing
from executors.catalog.api.views import check_may_write, flag

FORCE = OpenApiParameter("force", bool, description="also where unfinished jobs need it")
IF_MATCH = OpenApiParameter(
    "If-Match", str, OpenApiParameter.HEADER, description="the ETag that was read: 412 where it has changed since"
)
READ_WRITE = {
    "GET": scopes.CATALOG_READ,
    "POST": scopes.CATALOG_WRITE,
    "PUT": scopes.CATALOG_WRITE,
    "PATCH": scopes.CATALOG_WRITE,
    "DELETE": scopes.CATALOG_WRITE,
}


def writable(request: Request, tag: str, *, lock: bool = False) -> Product:
    """The product, if this key may write its catalog; with `lock` nobody else writes it until the caller's
    transaction ends. Raises NotFound, Forbidden."""
    principal = principal_of(request)
    found = visible_product(principal, tag)
    check_may_write(principal, found.tag)
    return Product.objects.select_for_update().get(pk=found.pk) if lock else found


def force_of(request: Request) -> bool:
    return flag(parameters(request.query_params, {"force"}), "force")


def store(request: Request, product: Product, part: Mapping[str, Any], prefix: str) -> None:
    """Store it; problems are told at the fields of the body that was sent."""
    try:
        editing.store_part(product.tag, part, actor=principal_of(request).name)
    except Invalid as error:
        problems = [
            FieldError(problem.field.removeprefix(f"{prefix}.").removeprefix(prefix), problem.code, problem.detail)
            for problem in error.errors
        ]
        detail = f"{problems[0].field}: {problems[0].detail}".removeprefix(": ") if problems else error.detail
        raise Invalid(detail, errors=problems) from None
