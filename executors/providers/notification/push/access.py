"""Access tokens of Google service accounts, kept in the process until shortly before they expire.

https://developers.google.com/identity/protocols/oauth2/service-account#httprest: an assertion signed with the
account's key (RS256) is exchanged for a token. Many messages that need one token wait for a single exchange.
"""

from __future__ import annotations

import asyncio
import time
import weakref
from dataclasses import dataclass, field

from core import clock
from executors.base import SERVICE_UNAVAILABLE, UNAUTHORIZED, VALIDATION_ERROR, AttemptFailed
from executors.providers.notification import exchange
from executors.providers.notification.delivery import Occasion

SCOPE = "https://www.googleapis.com/auth/firebase.messaging"
GRANT = "urn:ietf:params:oauth:grant-type:jwt-bearer"
ASSERTION_SECONDS = 3600  # the longest that is accepted
MARGIN_SECONDS = 60.0  # a token is renewed so long before it ends
_MOST_KEPT = 500


@dataclass(frozen=True, slots=True)
class ServiceAccount:
    email: str
    key: str = field(repr=False)  # PEM
    key_id: str
    token_uri: str


@dataclass(frozen=True, slots=True)
class _Token:
    text: str = field(repr=False)
    until: float  # monotonic seconds


class AccessTokens:
    """The tokens of one event loop."""

    def __init__(self) -> None:
        self._known: dict[ServiceAccount, asyncio.Task[_Token]] = {}

    async def get(self, account: ServiceAccount, occasion: Occasion, *, stale: str | None = None) -> str:
        """A token that is good for a while, and not `stale`, which was refused. Raises AttemptFailed."""
        known = self._known.get(account)
        if known is None or (known.done() and not _good(known, stale)):
            if len(self._known) >= _MOST_KEPT:
                self._known = {key: task for key, task in self._known.items() if not task.done() or _good(task, None)}
            known = self._known[account] = asyncio.get_running_loop().create_task(_fetched(account, occasion))
            known.add_done_callback(_heard)
        return (await asyncio.shield(known)).text  # whoever asked first may be cancelled, the others still wait


def access_tokens() -> AccessTokens:
    """The tokens of the running event loop."""
    loop = asyncio.get_running_loop()
    found = _of_loops.get(loop)
    if found is None:
        found = _of_loops[loop] = AccessTokens()
    return found


async def _fetched(account: ServiceAccount, occasion: Occasion) -> _Token:
    form = {"grant_type": GRANT, "assertion": _assertion(account)}
    try:
        answer = await exchange.call("Google", "POST", account.token_uri, occasion, headers={}, form=form)
    except exchange.Answered as error:
        if error.body.get("error") == "invalid_grant":  # 400: the key is not the account's, or is revoked
            raise AttemptFailed(UNAUTHORIZED, str(error)) from None
        raise
    token, life = answer.text("access_token"), answer.body.get("expires_in")
    if token is None:
        raise AttemptFailed(SERVICE_UNAVAILABLE, "Google answered without an access token", retryable=True)
    seconds = float(life) if isinstance(life, (int, float)) else 300.0
    return _Token(token, time.monotonic() + max(0.0, seconds - MARGIN_SECONDS))


def _assertion(account: ServiceAccount) -> str:
    import jwt  # with cryptography, 15 MB: only where Firebase is used

    now = int(clock.machine_now().timestamp())
    claims = {
        "iss": account.email,
        "scope": SCOPE,
        "aud": account.token_uri,
        "iat": now,
        "exp": now + ASSERTION_SECONDS,
    }
    key = account.key.replace("\\n", "\n")  # as it stands in a JSON file, and often in a variable
    try:
        return jwt.encode(claims, key, algorithm="RS256", headers={"kid": account.key_id} if account.key_id else None)
    except (ValueError, TypeError, jwt.PyJWTError):
        raise AttemptFailed(
            VALIDATION_ERROR, f"the private_key of {account.email} is no RSA key in PEM that can be read"
        ) from None


def _good(task: asyncio.Task[_Token], stale: str | None) -> bool:
    if task.cancelled() or task.exception() is not None:
        return False
    return task.result().text != stale and task.result().until > time.monotonic()


def _heard(task: asyncio.Task[_Token]) -> None:
    if not task.cancelled():
        task.exception()


_of_loops: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, AccessTokens] = weakref.WeakKeyDictionary()
