"""What a product declares besides its components, one at a time: a call is a small catalog document, stored as such.

Owns what session configurations and caches have in common over HTTP; their views are in `sessions` and `caches`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from django.db import transaction
from rest_framework.request import Request
from rest_framework.response import Response

from core.errors import Conflict, Invalid, NotFound
from core.fields import nearest
from core.openapi import ref
from core.tenancy.auth import principal_of
from core.tenancy.models import Product
from core.tenancy.parsing import body_of
from executors.catalog import document, editing
from executors.catalog.api.writing import CHANGED, force_of, readable, store, unchanged, writable
from executors.catalog.declarations import Declaration
from executors.catalog.etags import etag_of_text

PROBLEMS = {409: ref("Problem"), **CHANGED}


def answer(entry: Mapping[str, Any], *, status: int = 200) -> Response:
    """One of them as it is shown, with its ETag."""
    return Response(entry, status=status, headers={"ETag": etag_of(entry)})


def listed(request: Request, product: str, declaration: Declaration) -> dict[str, Any]:
    """All of a product's."""
    return {declaration.plural: document.declared(readable(request, product), declaration)}


def one(product: Product, declaration: Declaration, tag: str) -> dict[str, Any]:
    """One of them. Raises NotFound, with the nearest tag."""
    rows = {entry["tag"]: entry for entry in document.declared(product, declaration)}
    if tag not in rows:
        meant = nearest(tag, list(rows))
        detail = f"product {product.tag!r} has no {declaration.name} {tag[:120]!r}"
        code = "session_not_found" if declaration.name == "session" else "cache_not_found"
        raise NotFound(detail + (f": did you mean {meant!r}?" if meant else ""), code=code)
    return rows[tag]


@transaction.atomic
def create(request: Request, tag_of_product: str, declaration: Declaration) -> dict[str, Any]:
    """A new one. Raises Conflict where there is one of its tag."""
    product, entry = writable(request, tag_of_product, lock=True), body_of(request)
    tag = entry.get("tag")
    if any(shown["tag"] == tag for shown in document.declared(product, declaration)):
        detail = f"product {product.tag!r} has a {declaration.name} {str(tag)[:120]!r} already: change it with PATCH"
        raise Conflict(detail, code="exists")
    store(request, product, {declaration.plural: [entry]}, f"{declaration.plural}.0")
    return one(product, declaration, str(tag))


def change(request: Request, tag_of_product: str, declaration: Declaration, tag: str) -> dict[str, Any]:
    """Change the fields that are given; `null` takes one away. In a transaction of the caller's. Raises Changed."""
    product, given = writable(request, tag_of_product, lock=True), body_of(request)
    before = one(product, declaration, tag)
    unchanged(request, lambda: etag_of(before))
    if given.get("tag", tag) != tag:
        raise Invalid.field("tag", f"cannot be changed: make a new {declaration.name}")
    merged = {name: value for name, value in {**before, **given}.items() if value is not None}
    store(request, product, {declaration.plural: [merged]}, f"{declaration.plural}.0")
    return one(product, declaration, tag)


def remove(request: Request, tag_of_product: str, declaration: Declaration, tag: str) -> None:
    """Remove it. Raises Conflict where unfinished jobs need it, unless the query says `force`; Changed.

    In a transaction of the caller's.
    """
    product, force = writable(request, tag_of_product, lock=True), force_of(request)
    before = one(product, declaration, tag)
    unchanged(request, lambda: etag_of(before))
    editing.remove_declared(product, declaration, tag, actor=principal_of(request).name, force=force)


def etag_of(entry: Mapping[str, Any]) -> str:
    """Of a declaration as it is shown."""
    return etag_of_text(json.dumps(entry, sort_keys=True))
