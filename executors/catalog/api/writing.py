"""What every call that reads or writes a part of a catalog shares: who may, and how problems are told."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from drf_spectacular.utils import OpenApiParameter
from rest_framework.request import Request

from core.errors import FieldError, Forbidden, Invalid, NotFound
from core.fields import parameters
from core.openapi import ref
from core.tenancy import scopes
from core.tenancy.auth import Principal, principal_of
from core.tenancy.models import Product
from core.tenancy.parsing import without_body
from core.tenancy.visibility import visible_product, visible_products
from executors.catalog import editing
from executors.catalog.etags import check_match

FORCE = OpenApiParameter("force", bool, description="also where unfinished jobs need it")
IF_MATCH = OpenApiParameter(
    "If-Match", str, OpenApiParameter.HEADER, description="the ETag that was read: 412 where it has changed since"
)
ETAG = OpenApiParameter(
    "ETag", str, OpenApiParameter.HEADER, response=[200, 201], description="which version it is: for `If-Match`"
)
CHANGED = {412: ref("Problem")}
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


def readable(request: Request, tag: str) -> Product:
    """The product, if this key sees it, for a call that takes no parameters. Raises NotFound, Invalid."""
    parameters(request.query_params, ())
    return visible_product(principal_of(request), tag)


def force_of(request: Request) -> bool:
    if request.method == "DELETE":
        without_body(request)
    return flag(parameters(request.query_params, {"force"}), "force")


def unchanged(request: Request, current: Callable[[], str | None]) -> None:
    """Raise Changed where the caller read another version than is there. Inside the transaction that writes."""
    check_match(request.headers.get("If-Match"), current)


def store(request: Request, product: Product, part: Mapping[str, Any], prefix: str, *, force: bool = False) -> None:
    """Store it; problems are told at the fields of the body that was sent."""
    try:
        editing.store_part(product.tag, part, actor=principal_of(request).name, force=force)
    except Invalid as error:
        problems = [
            FieldError(problem.field.removeprefix(f"{prefix}.").removeprefix(prefix), problem.code, problem.detail)
            for problem in error.errors
        ]
        detail = f"{problems[0].field}: {problems[0].detail}".removeprefix(": ") if problems else error.detail
        raise Invalid(detail, errors=problems) from None


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
