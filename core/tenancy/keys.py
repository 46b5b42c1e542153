"""API keys: made, shown once, revoked.

Owns the format `jk_<8 characters>_<43 characters>`. The key itself is never stored: its
SHA-256 is, and its first part, by which it is found and shown.
"""

from __future__ import annotations

import hashlib
import secrets
import string
from collections.abc import Iterable
from datetime import datetime
from typing import NamedTuple

from django.db import transaction

from core import clock
from core.errors import Invalid
from core.tenancy import scopes as known_scopes
from core.tenancy.auth import forget_keys
from core.tenancy.models import ApiKey, Environment, Product

_ALPHABET = string.ascii_letters + string.digits
_NAME_CHARACTERS = 8
_SECRET_CHARACTERS = 43  # 256 bits


class MadeKey(NamedTuple):
    """A new key; `text` is what its owner keeps, and is nowhere else."""

    key: ApiKey
    text: str


def make_key() -> str:
    """The text of a new key."""
    return f"jk_{_random(_NAME_CHARACTERS)}_{_random(_SECRET_CHARACTERS)}"


def prefix_of(text: str) -> str:
    """The part that may be shown and by which the key is found: `jk_` and eight characters."""
    return text[: 3 + _NAME_CHARACTERS]


def digest_of(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


@transaction.atomic
def create(
    *,
    name: str,
    product: Product | None,
    environments: Iterable[Environment] = (),
    scopes: Iterable[str] = known_scopes.ALL,
    expires_at: datetime | None = None,
) -> MadeKey:
    """Store a new key. No product: an operator key. Raises Invalid (scopes, a foreign environment)."""
    allowed = known_scopes.check_scopes(scopes)
    limited_to = list(environments)
    for environment in limited_to:
        if product is None or environment.product_id != product.pk:
            raise Invalid.field("environments", f"environment {environment.slug!r} is not one of the key's product")
    text = make_key()
    key = ApiKey.objects.create(
        name=name,
        product=product,
        prefix=prefix_of(text),
        digest=digest_of(text),
        scopes=sorted(allowed),
        expires_at=expires_at,
    )
    key.environments.set(limited_to)
    return MadeKey(key, text)


def revoke(key: ApiKey) -> None:
    """From now on the key opens nothing; other processes notice within `auth.KEPT_SECONDS`."""
    ApiKey.objects.filter(pk=key.pk, revoked_at__isnull=True).update(revoked_at=clock.database_now())
    forget_keys()


def _random(length: int) -> str:
    return "".join(secrets.choice(_ALPHABET) for _ in range(length))
