"""The secrets of an endpoint: sealed for it alone, and which of them sign now.

Never logs one. A secret leaves the system once, in the answer of the call that made it.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from core import crypto
from webhooks.models import Endpoint

OVERLAP = timedelta(hours=24)  # the old secret signs beside the new one for so long


def place(endpoint: Endpoint) -> str:
    """The context that a secret is sealed for."""
    return crypto.context("webhook", endpoint.pk)


def set_secret(endpoint: Endpoint, canonical: str) -> None:
    """Give a new endpoint its secret. The caller saves it."""
    endpoint.secret = crypto.seal(canonical, place(endpoint))


def replace_secret(endpoint: Endpoint, canonical: str, *, now: datetime) -> None:
    """Give it another one; the one it had signs too for OVERLAP. The caller saves it."""
    endpoint.old_secret, endpoint.old_secret_until = endpoint.secret, now + OVERLAP
    set_secret(endpoint, canonical)


def signing_secrets(endpoint: Endpoint, *, now: datetime) -> tuple[str, ...]:
    """The canonical secrets that sign at this moment, the newest first. Raises crypto.CannotOpen."""
    sealed = [endpoint.secret]
    if endpoint.old_secret and endpoint.old_secret_until is not None and now < endpoint.old_secret_until:
        sealed.append(endpoint.old_secret)
    return tuple(crypto.unseal(each, place(endpoint)) for each in sealed)
