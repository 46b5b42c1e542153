"""What a key may do, by name. A scope never says *where*: that is the key's product and environments."""

from __future__ import annotations

from collections.abc import Iterable

from core.errors import FieldError, Invalid
from core.fields import suggestion

JOBS_READ = "jobs:read"
JOBS_DISPATCH = "jobs:dispatch"
JOBS_MANAGE = "jobs:manage"
CATALOG_READ = "catalog:read"
CATALOG_WRITE = "catalog:write"
WEBHOOKS_MANAGE = "webhooks:manage"
KEYS_MANAGE = "keys:manage"

ALL = frozenset(
    {JOBS_READ, JOBS_DISPATCH, JOBS_MANAGE, CATALOG_READ, CATALOG_WRITE, WEBHOOKS_MANAGE, KEYS_MANAGE}
)  # fmt: skip


def check_scopes(scopes: Iterable[str]) -> frozenset[str]:
    """The scopes as a set. Raises Invalid naming each that does not exist."""
    given = frozenset(scopes)
    errors = [
        FieldError("scopes", "unknown_scope", f"there is no scope {scope!r}: {suggestion(scope, ALL)}")
        for scope in sorted(given - ALL)
    ]
    if errors:
        raise Invalid(errors[0].detail, errors=errors)
    return given
