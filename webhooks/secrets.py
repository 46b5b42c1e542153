"""The secrets of an endpoint: sealed for it alone, and which of them sign now.

Never logs one. A secret leaves the system once, in the answer of the call that made it.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from functools import lru_cache
from typing import NamedTuple
from uuid import UUID

from core import crypto
from core.times import from_ms, to_ms
from webhooks.models import Endpoint

OVERLAP = timedelta(hours=24)  # a secret that was replaced signs beside the new one for so long
MOST_FORMER = 5  # that sign at once: each makes the header longer, and whoever replaces more has lost track


class TooManySecrets(ValueError):
    """As many sign already as may; the text says until when."""


class Former(NamedTuple):
    """A secret that was replaced. Without a time it is the only one, and `Endpoint.old_secret_until` is its time."""

    secret: str  # canonical
    until: datetime | None


def place(endpoint: Endpoint) -> str:
    """The context that a secret is sealed for."""
    return _place(endpoint.pk)


def set_secret(endpoint: Endpoint, canonical: str) -> None:
    """Give a new endpoint its secret. The caller saves it."""
    endpoint.secret = crypto.seal(canonical, place(endpoint))


def replace_secret(endpoint: Endpoint, canonical: str, *, now: datetime) -> bool:
    """Give it another one; each that it had signs too for OVERLAP from when it was replaced. The caller saves it.

    False, and nothing is changed, where it is the one it has: of several processes that set the same secret the
    first has replaced the one before. One that cannot be opened any more is dropped. Raises TooManySecrets.
    """
    try:
        current = crypto.unseal(endpoint.secret, place(endpoint))
    except crypto.CannotOpen:
        endpoint.old_secret, endpoint.old_secret_until = "", None
        set_secret(endpoint, canonical)
        return True
    if canonical == current:
        return False
    former = [Former(current, now + OVERLAP)]
    former += [one for one in _former(endpoint) if one.until and one.until > now and one.secret != canonical]
    if len(former) > MOST_FORMER:
        raise TooManySecrets(
            f"{MOST_FORMER} secrets before this one sign still: the first of them until {former[-1].until:%Y-%m-%d %H:%M} UTC"
        )
    endpoint.old_secret = crypto.seal(_written(former), place(endpoint))
    endpoint.old_secret_until = former[0].until
    set_secret(endpoint, canonical)
    return True


def signing_secrets(secret: str, old_secret: str, endpoint_id: UUID, *, at: datetime) -> list[str]:
    """The canonical secrets that sign at that time, the newest first. The two are as they are stored, `old_secret` empty
    where its time is over. Raises crypto.CannotOpen."""
    former = _read(_opened(old_secret, endpoint_id)) if old_secret else []
    return [_opened(secret, endpoint_id), *(one.secret for one in former if one.until is None or at < one.until)]


def _former(endpoint: Endpoint) -> list[Former]:
    if not endpoint.old_secret:
        return []
    try:
        former = _read(crypto.unseal(endpoint.old_secret, place(endpoint)))
    except crypto.CannotOpen:
        return []
    return [one if one.until else one._replace(until=endpoint.old_secret_until) for one in former]


def _written(former: list[Former]) -> str:
    """One is written as it is; several each with its time in ms."""
    if len(former) == 1:
        return former[0].secret
    return " ".join(f"{one.secret}@{to_ms(one.until)}" for one in former if one.until)


def _read(text: str) -> list[Former]:
    found = (part.partition("@") for part in text.split(" "))
    return [Former(secret, from_ms(int(until)) if until else None) for secret, _, until in found]


@lru_cache(maxsize=4096)
def _opened(sealed: str, endpoint_id: UUID) -> str:
    return crypto.unseal(sealed, _place(endpoint_id))


def _place(endpoint_id: UUID) -> str:
    return crypto.context("webhook", endpoint_id)
