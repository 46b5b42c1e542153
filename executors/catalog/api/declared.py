"""What a product declares besides its components, one at a time: a call is a small catalog document, stored as such.

Owns what session configurations and caches have in common over HTTP; their views are in `sessions` and `caches`.
"""

from __future__ import annotations

from typing import Any

from drf_spectacular.utils import OpenApiParameter
from rest_framework.request import Request

from core.errors import Conflict, FieldError, Invalid, NotFound
from core.fields import nearest, parameters
from core.tenancy import scopes
from core.tenancy.auth import principal_of
from core.tenancy.models import Product
from core.tenancy.parsing import body_of
from core.tenancy.visibility import visible_product
from executors.catalog import document, editing
from executors.catalog.api.views import check_may_write, flag
from executors.catalog.declarations import Declaration

FORCE = OpenApiParameter("force", bool, description="also where unfinished jobs need it")
READ_WRITE = {
    "GET": scopes.CATALOG_READ,
    "POST": scopes.CATALOG_WRITE,
    "PATCH": scopes.CATALOG_WRITE,
    "DELETE": scopes.CATALOG_WRITE,
}


def listed(request: Request, product: str, declaration: Declaration) -> dict[str, Any]:
    """All of a product's."""
    return {declaration.plural: document.declared(visible_product(principal_of(request), product), declaration)}


def one(product: Product, declaration: Declaration, tag: str) -> dict[str, Any]:
    """One of them. Raises NotFound, with the nearest tag."""
    rows = {entry["tag"]: entry for entry in document.declared(product, declaration)}
    if tag not in rows:
        meant = nearest(tag, list(rows))
        detail = f"product {product.tag!r} has no {declaration.name} {tag[:120]!r}"
        code = "session_not_found" if declaration.name == "session" else "cache_not_found"
        raise NotFound(detail + (f": did you mean {meant!r}?" if meant else ""), code=code)
    return rows[tag]


def create(request: Request, tag_of_product: str, declaration: Declaration) -> dict[str, Any]:
    """A new one. Raises Conflict where there is one of its tag."""
    product, entry = writable(request, tag_of_product), body_of(request)
    tag = entry.get("tag")
    if any(shown["tag"] == tag for shown in document.declared(product, declaration)):
        detail = f"product {product.tag!r} has a {declaration.name} {str(tag)[:120]!r} already: change it with PATCH"
        raise Conflict(detail, code="exists")
    _store(request, product, declaration, entry)
    return one(product, declaration, str(tag))


def change(request: Request, tag_of_product: str, declaration: Declaration, tag: str) -> dict[str, Any]:
    """Change the fields that are given; `null` takes one away."""
    product, given = writable(request, tag_of_product), body_of(request)
    before = one(product, declaration, tag)
    if given.get("tag", tag) != tag:
        raise Invalid.field("tag", f"cannot be changed: make a new {declaration.name}")
    merged = {name: value for name, value in {**before, **given}.items() if value is not None}
    _store(request, product, declaration, merged)
    return one(product, declaration, tag)


def remove(request: Request, tag_of_product: str, declaration: Declaration, tag: str) -> None:
    """Remove it. Raises Conflict where unfinished jobs need it, unless the query says `force`."""
    product = writable(request, tag_of_product)
    force = flag(parameters(request.query_params, {"force"}), "force")
    one(product, declaration, tag)
    editing.remove_declared(product, declaration, tag, actor=principal_of(request).name, force=force)


def writable(request: Request, tag: str) -> Product:
    """The product, if this key may write its catalog. Raises NotFound, Forbidden."""
    principal = principal_of(request)
    found = visible_product(principal, tag)
    check_may_write(principal, found.tag)
    return found


def _store(request: Request, product: Product, declaration: Declaration, entry: dict[str, Any]) -> None:
    """Store it; problems are told at the fields of the body that was sent."""
    prefix = f"{declaration.plural}.0"
    try:
        editing.store_part(product.tag, {declaration.plural: [entry]}, actor=principal_of(request).name)
    except Invalid as error:
        problems = [
            FieldError(each.field.removeprefix(f"{prefix}.").removeprefix(prefix), each.code, each.detail)
            for each in error.errors
        ]
        raise (Invalid.fields(problems) if problems else error) from None
