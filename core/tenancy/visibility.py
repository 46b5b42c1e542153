"""What a key may see: its own product, its own environments. All else does not exist for it (404).

Owns the one place where a tag from outside becomes a row's id. Places that were found are kept
for a few seconds, so that a dispatch costs no query for them.
"""

from __future__ import annotations

from dataclasses import dataclass

from django.db.models import QuerySet

from core.errors import FieldError, Invalid, NotFound
from core.fields import nearest
from core.shortcache import ShortCache
from core.tenancy.auth import Principal
from core.tenancy.models import Environment, Product

KEPT_SECONDS = 2.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Place:
    """An environment of a product, by id and by name."""

    product_id: int
    product: str  # tag
    environment_id: int
    env: str  # slug


def visible_products(principal: Principal) -> QuerySet[Product]:
    """The products that exist for this key."""
    if principal.product_id is None:
        return Product.objects.all()
    return Product.objects.filter(pk=principal.product_id)


def visible_environments(principal: Principal) -> QuerySet[Environment]:
    """The environments, of whatever product, that exist for this key."""
    environments = Environment.objects.all()
    if principal.product_id is not None:
        environments = environments.filter(product_id=principal.product_id)
    if principal.environment_ids is not None:
        environments = environments.filter(pk__in=principal.environment_ids)
    return environments


def sees(principal: Principal, *, product_id: int, environment_id: int | None = None) -> bool:
    """Whether a row of this product (and environment) exists for this key."""
    if not principal.is_operator and product_id != principal.product_id:
        return False
    return environment_id is None or principal.environment_ids is None or environment_id in principal.environment_ids


def visible_product(principal: Principal, tag: str | None) -> Product:
    """The product of that tag, or (None) the key's only one. Raises Invalid, NotFound."""
    if tag is None:
        if principal.is_operator:
            raise _missing("product", "an operator key sees all products")
        return visible_products(principal).get()
    product = visible_products(principal).filter(tag=bare_tag(tag)).first() if "\x00" not in tag else None
    if product is None:
        raise _no_product(principal, tag)
    return product


def find_place(principal: Principal, product: str | None, env: str | None) -> Place:
    """Where a job is to run. Either may be left out where the key allows just one. Raises Invalid, NotFound."""
    key = (principal.product_id, principal.environment_ids, product, env)
    return _places.get(key, lambda: _find(principal, product, env))


def forget_places() -> None:
    """Ask the database again, in this process: after products or environments changed."""
    _places.forget()


def bare_tag(tag: str) -> str:
    """A product's tag without its workspace: `ductape:shop` is `shop` here."""
    return tag.rpartition(":")[2]


def _find(principal: Principal, product_tag: str | None, slug: str | None) -> Place:
    product = visible_product(principal, product_tag)
    environments = visible_environments(principal).filter(product=product)
    if slug is None:
        found = list(environments[:2])
        if len(found) != 1:
            raise _missing("env", f"the key sees several environments of product {product.tag!r}, or none")
        environment = found[0]
    else:
        match = environments.filter(slug=slug).first() if "\x00" not in slug else None
        if match is None:
            meant = nearest(slug, list(environments.values_list("slug", flat=True)[:200]))
            detail = f"product {product.tag!r} has no environment {slug!r}: " + (
                f"did you mean {meant!r}?" if meant else f"add it with PUT /v1/products/{product.tag}/catalog"
            )
            raise NotFound(detail, code="env_not_found", errors=[FieldError("env", "not_found", detail)])
        environment = match
    return Place(
        product_id=product.pk, product=product.tag, environment_id=environment.pk, env=environment.slug
    )  # fmt: skip


def _missing(field: str, why: str) -> Invalid:
    detail = f"name the {'product' if field == 'product' else 'environment'}: {why}"
    return Invalid.field(field, detail, code="required")


def _no_product(principal: Principal, tag: str) -> NotFound:
    shown = tag[:120]
    meant = nearest(shown, list(visible_products(principal).values_list("tag", flat=True)[:200]))
    way_out = f"did you mean {meant!r}?" if meant else f"create it with PUT /v1/products/{shown}/catalog"
    detail = f"there is no product {shown!r}: {way_out}"
    return NotFound(detail, code="product_not_found", errors=[FieldError("product", "not_found", detail)])


_places: ShortCache[tuple[int | None, frozenset[int] | None, str | None, str | None], Place] = ShortCache(
    seconds=KEPT_SECONDS
)
