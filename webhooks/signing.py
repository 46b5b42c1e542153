"""Signatures as Standard Webhooks 1.0.0 writes them, over the exact bytes of a body. Pure.

A secret is kept in its canonical form, `whsec_` and base 64: of 24 to 64 random bytes, or of the bytes of a plain
text that somebody gave, so that any library of the standard verifies both.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import secrets
from collections.abc import Iterable

PREFIX = "whsec_"
RANDOM_BYTES = 32
SHORTEST, LONGEST = 16, 64  # bytes of a key that is given


class BadSecret(ValueError):
    """A given secret cannot be one; the text says why."""


def new_secret() -> str:
    """A random secret in its canonical form."""
    return PREFIX + base64.b64encode(secrets.token_bytes(RANDOM_BYTES)).decode()


def canonical(given: str) -> str:
    """The canonical form of a secret that somebody gave. Raises BadSecret."""
    if given.startswith(PREFIX):
        try:
            key = base64.b64decode(given.removeprefix(PREFIX), validate=True)
        except (binascii.Error, ValueError):
            raise BadSecret(f"what follows {PREFIX} is not base 64") from None
    else:
        key = given.encode()
    if not SHORTEST <= len(key) <= LONGEST:
        raise BadSecret(f"a secret has {SHORTEST} to {LONGEST} bytes, this one {len(key)}")
    return PREFIX + base64.b64encode(key).decode()


def sign(secrets_: Iterable[str], id: str, timestamp: int, body: bytes) -> str:
    """The header `webhook-signature`: one signature for each canonical secret. `timestamp` in seconds, of the attempt."""
    content = f"{id}.{timestamp}.".encode() + body
    return " ".join(
        "v1," + base64.b64encode(hmac.digest(_key(secret), content, hashlib.sha256)).decode() for secret in secrets_
    )


def _key(secret: str) -> bytes:
    return base64.b64decode(secret.removeprefix(PREFIX))
