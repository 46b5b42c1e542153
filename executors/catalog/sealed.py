"""The sealed part of a component or connection, opened or shown; and every form in which a secret may appear in a text."""

from __future__ import annotations

import html
import json
from collections.abc import Iterable, Iterator
from typing import Any
from urllib.parse import quote, quote_plus

from core import crypto
from executors.base import SHORTEST_SECRET
from executors.catalog.entries import with_values
from executors.catalog.models import Component, Connection
from executors.catalog.values import Unreadable

SET = {"set": True}  # in place of a secret
_SHORTEST_PART = 2  # characters; one is in every text
_GO = str.maketrans({sign: f"\\u{ord(sign):04x}" for sign in "<>&"})


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


def shown_whole(row: Component | Connection) -> dict[str, Any]:
    """The settings with a marker where a secret is set. Raises Unreadable."""
    return with_values(row.settings, dict.fromkeys(open_sealed(row), SET))


def shown(row: Component | Connection) -> dict[str, Any]:
    """The same; a secret that no key opens counts as not set."""
    try:
        return shown_whole(row)
    except Unreadable:
        return dict(row.settings)


def secret_forms(values: Iterable[str]) -> tuple[str, ...]:
    """Secrets as they may appear in a text, longest first: plain, and as JSON, URLs, forms and HTML have them."""
    forms: set[str] = set()
    for value in filter(_can_be_told, values):
        forms |= {value, *_in_json(value), quote(value, safe=""), quote_plus(value), html.escape(value)}
    return tuple(sorted(forms, key=len, reverse=True))


def _in_json(value: str) -> Iterator[str]:
    """As its writers differ: non-ASCII escaped or not, PHP's escape of `/`, Go's of what HTML has a meaning for."""
    escaped, told = json.dumps(value)[1:-1], json.dumps(value, ensure_ascii=False)[1:-1]
    yield from (escaped, told, escaped.replace("/", "\\/"), told.translate(_GO))


def _can_be_told(value: str) -> bool:
    """Whether a text can be looked through for it: a short one must have a letter or digit to stand alone."""
    return len(value) >= SHORTEST_SECRET or (len(value) >= _SHORTEST_PART and any(map(str.isalnum, value)))
