"""Whether a webhook comes from the installation that has the secret: Standard Webhooks, as its specification says.

https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import json
import time
from collections.abc import Mapping

from ductape.errors import BrokenAnswer, InvalidArgument, WebhookVerificationError
from ductape.reading import read
from ductape.results.event import WebhookEvent

_PREFIX = "whsec_"
TOLERANCE = 300  # seconds
_MOST_DIGITS = 15  # of a number of seconds: longer ones are nobody's clock
_ENCODED = "surrogatepass"  # half a pair is no UTF-8 of anybody's: it is refused as any other change is


def verify_webhook(
    payload: bytes | str,
    headers: Mapping[str, str],
    secret: str,
    tolerance: float = TOLERANCE,
    *,
    now: float | None = None,
) -> WebhookEvent:
    """The event, if one of the signatures is of this secret and the time is at most `tolerance` seconds away.

    `payload` is the body exactly as it was received: JSON that was read and written again has other bytes. `secret` is
    `whsec_…`, or the text that was given where the webhook was made. Raises WebhookVerificationError.
    """
    body = payload.encode(errors=_ENCODED) if isinstance(payload, str) else payload
    if not isinstance(body, (bytes, bytearray, memoryview)):
        raise InvalidArgument("payload", "must be the raw body, bytes or str: not what was read from it")
    found = {name.lower(): value for name, value in headers.items()}
    message_id, timestamp, signatures = (_header(found, f"webhook-{part}") for part in ("id", "timestamp", "signature"))
    if not (timestamp.isascii() and timestamp.isdigit() and len(timestamp) <= _MOST_DIGITS):
        raise WebhookVerificationError("webhook-timestamp is not a number of seconds")
    age = (time.time() if now is None else now) - int(timestamp)
    if abs(age) > tolerance:
        said = "ago" if age > 0 else "in the future"
        raise WebhookVerificationError(f"it was signed {abs(age):.0f} s {said}; {tolerance} s are allowed")
    wanted = _signature(_key(secret), message_id, timestamp, bytes(body))
    if not any(hmac.compare_digest(wanted, each) for each in _given(signatures)):
        raise WebhookVerificationError("no signature in webhook-signature is of this secret and this body")
    try:
        return read(WebhookEvent, json.loads(body), id=message_id)
    except (ValueError, BrokenAnswer) as error:
        raise WebhookVerificationError(f"it is signed, but is not an event: {error}") from error


def _signature(key: bytes, message_id: str, timestamp: str, body: bytes) -> bytes:
    return hmac.new(key, f"{message_id}.{timestamp}.".encode(errors=_ENCODED) + body, hashlib.sha256).digest()


def _key(secret: str) -> bytes:
    """Raises InvalidArgument."""
    if not isinstance(secret, str) or not secret:
        raise InvalidArgument("secret", "must be the webhook's secret, whsec_…")
    if not secret.startswith(_PREFIX):
        return secret.encode()
    try:
        key = base64.b64decode(secret.removeprefix(_PREFIX), validate=True)
    except binascii.Error:
        raise InvalidArgument("secret", "begins with whsec_, but what follows is not base64") from None
    if not key:
        raise InvalidArgument("secret", "is empty")
    return key


def _given(signatures: str) -> list[bytes]:
    """Those of version 1; others, and what is no base64, count for nothing."""
    found = []
    for each in signatures.split():
        version, _, value = each.partition(",")
        if version == "v1":
            try:
                found.append(base64.b64decode(value, validate=True))
            except binascii.Error:
                continue
    return found


def _header(headers: Mapping[str, str], name: str) -> str:
    value = headers.get(name, "")
    if not value:
        raise WebhookVerificationError(f"the header {name} is missing")
    return value
