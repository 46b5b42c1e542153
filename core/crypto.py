"""Secrets at rest: sealed under a ring of keys, and bound to the place they belong to.

Owns the format `v1.<key id>.<Fernet token>`. A sealed value names the key that opens it
(so that a missing key is told by its id) and holds a digest of its context, so that a row
copied to another product, environment or field does not open there. From the same ring come
keys for one purpose each, which sign and fingerprint. Never logs a value, and no error text
holds one.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping, Sequence
from functools import lru_cache

from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from django.conf import settings
from django.core.exceptions import ImproperlyConfigured

_FORMAT = "v1"
_DIGEST_BYTES = 32


class CannotOpen(Exception):
    """A sealed value does not open: its key is missing, its place is another, or it was altered."""


def context(*parts: object) -> str:
    """The name of a place, from what identifies it: `context("product", 7, "env", 3, "app", "mail")`."""
    return "/".join(str(part).replace("%", "%25").replace("/", "%2F") for part in parts)


def seal(value: str, context: str) -> str:
    """Encrypt with the first key of the ring, so that only the same `context` opens it."""
    return ring().seal(value, context)


def unseal(sealed: str, context: str) -> str:
    """The value again. Raises CannotOpen."""
    return ring().unseal(sealed, context)


def reseal(sealed: str) -> str:
    """The same value under the first key of the ring; unchanged if it already is. Raises CannotOpen."""
    return ring().reseal(sealed)


def fingerprint(value: str, purpose: str) -> str:
    """64 hexadecimal digits that are the same for the same value, and tell nothing of it to who lacks the ring."""
    return next(iter(fingerprints(value, purpose)))


def fingerprints(value: str, purpose: str) -> tuple[str, ...]:
    """The fingerprint under each key of the ring, the first one's first: as it was made before a rotation."""
    text = value.encode("utf-8", "surrogatepass")
    return tuple(hmac.new(key, text, hashlib.sha256).hexdigest() for key in ring().derived(purpose).values())


def ring() -> KeyRing:
    """The ring of FIELD_ENCRYPTION_KEYS. ImproperlyConfigured where one is not a key."""
    return _ring(tuple(settings.FIELD_ENCRYPTION_KEYS))


class KeyRing:
    """Fernet keys, the one that seals first. The others still open what they once sealed."""

    def __init__(self, keys: Sequence[str]) -> None:
        if not keys:
            raise ImproperlyConfigured("FIELD_ENCRYPTION_KEYS is empty: it needs at least one key")
        fernets = []
        for position, key in enumerate(keys, start=1):
            try:
                fernets.append(Fernet(key))
            except ValueError:
                raise ImproperlyConfigured(
                    f"FIELD_ENCRYPTION_KEYS: number {position} is not a key: it must be 32 bytes as URL-safe base 64"
                ) from None
        self.key_ids = tuple(key_id(key) for key in keys)
        self._keys = tuple(keys)
        self._fernet = MultiFernet(fernets)

    def seal(self, value: str, context: str) -> str:
        token = self._fernet.encrypt(_place(context) + value.encode("utf-8", "surrogatepass"))
        return f"{_FORMAT}.{self.key_ids[0]}.{token.decode('ascii')}"

    def unseal(self, sealed: str, context: str) -> str:
        _, token = self._split(sealed)
        try:
            plain = self._fernet.decrypt(token)
        except InvalidToken:
            raise CannotOpen(f"the sealed value of {context} was altered or cut") from None
        if not hmac.compare_digest(plain[:_DIGEST_BYTES], _place(context)):
            raise CannotOpen(f"the sealed value does not belong to {context}: it was sealed for another place")
        return plain[_DIGEST_BYTES:].decode("utf-8", "surrogatepass")

    def reseal(self, sealed: str) -> str:
        key, token = self._split(sealed)
        if key == self.key_ids[0]:
            return sealed
        try:
            return f"{_FORMAT}.{self.key_ids[0]}.{self._fernet.rotate(token).decode('ascii')}"
        except InvalidToken:
            raise CannotOpen("a sealed value was altered or cut") from None

    def derived(self, purpose: str) -> Mapping[str, bytes]:
        """For each key of the ring one of 32 bytes for `purpose` alone, by the ring's key ids, the first one first."""
        return {
            name: HKDF(hashes.SHA256(), 32, salt=None, info=b"ductape:" + purpose.encode()).derive(key.encode())
            for name, key in zip(self.key_ids, self._keys, strict=True)
        }

    def _split(self, sealed: str) -> tuple[str, bytes]:
        version, _, rest = sealed.partition(".")
        key, _, token = rest.partition(".")
        if version != _FORMAT or not token:
            raise CannotOpen("the text is not a sealed value")
        if key not in self.key_ids:
            raise CannotOpen(f"sealed under key {key}, which is not among FIELD_ENCRYPTION_KEYS: add it at the end")
        return key, token.encode("utf-8")


def key_id(key: str) -> str:
    """Eight hexadecimal digits that name a key without telling it."""
    return hashlib.sha256(b"ductape key id:" + key.encode()).hexdigest()[:8]


def _place(context: str) -> bytes:
    return hashlib.sha256(context.encode()).digest()


@lru_cache(maxsize=4)
def _ring(keys: tuple[str, ...]) -> KeyRing:
    return KeyRing(keys)
