"""The sealed part of a component or connection, opened; and every form in which a secret may appear in a text."""

from __future__ import annotations

import json
from collections.abc import Iterable
from urllib.parse import quote

from core import crypto
from executors.catalog.models import Component, Connection
from executors.catalog.values import Unreadable

_SHORTEST_REDACTED = 4  # characters; a shorter secret is in every text by chance


def open_sealed(row: Component | Connection) -> dict[str, str]:
    """The secrets of a row by path (`auth.token`, `smtp.auth.pass`). Raises Unreadable."""
    if not row.secrets:
        return {}
    try:
        opened: dict[str, str] = json.loads(crypto.unseal(row.secrets, row.place))
    except crypto.CannotOpen as error:
        raise Unreadable(
            f"the secrets of {row} cannot be read: {error}. Set them again", code="secret_unreadable"
        ) from None
    return opened


def secret_forms(values: Iterable[str]) -> tuple[str, ...]:
    """Secrets as they may appear in a text, longest first: plain, in JSON, percent-encoded."""
    forms: set[str] = set()
    for value in values:
        forms |= {value, json.dumps(value)[1:-1], json.dumps(value, ensure_ascii=False)[1:-1], quote(value, safe="")}
    return tuple(sorted((form for form in forms if len(form) >= _SHORTEST_REDACTED), key=len, reverse=True))
