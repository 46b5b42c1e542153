"""Tokens by OAuth 2.0 client credentials, kept in the process until shortly before they expire.

Owns the one call that fetches a token (guarded, like every other), and that a thousand runs which
need the same one wait for a single such call. Never sends the request that the token is for.
"""

from __future__ import annotations

import asyncio
import base64
import time
import weakref
from dataclasses import dataclass, field
from urllib.parse import quote, urlencode

from core import clock, http, strictjson
from executors import base
from executors.base import Failed, longest_first, redacted
from executors.catalog.actions import TokenRequest
from executors.catalog.sealed import secret_forms
from executors.exchange.answers import failed_answer, failed_exchange

FETCH_SECONDS = 15.0  # at most; an attempt that has less time left still waits no longer than that
MARGIN_SECONDS = 30.0  # a token is renewed so long before it ends, or after nine tenths of a short life
DEFAULT_LIFE_SECONDS = 300.0  # of a token whose answer does not say (RFC 6749 leaves it open)
_MOST_BYTES = 64 * 1024
_MOST_KEPT = 4096


@dataclass(frozen=True, slots=True)
class Token:
    """A token as it is sent. Its repr does not show it."""

    authorization: str = field(repr=False)
    until: float  # monotonic seconds
    forms: tuple[str, ...] = field(repr=False)  # as it may appear in a text


class NoToken(Exception):
    """The token could not be got; `failed` is what that means for the attempt."""

    def __init__(self, failed: Failed) -> None:
        super().__init__(failed.message)
        self.failed = failed


class Tokens:
    """The tokens of one event loop."""

    def __init__(self) -> None:
        self._known: dict[TokenRequest, asyncio.Task[Token]] = {}

    async def get(self, request: TokenRequest, *, stale: Token | None = None) -> Token:
        """A token that is good for a while, and not `stale`, which was refused. Raises NoToken."""
        known = self._known.get(request)
        if known is None or (known.done() and not self._good(known, stale)):
            if len(self._known) >= _MOST_KEPT:
                self._known = {key: task for key, task in self._known.items() if not task.done() or self._good(task)}
            known = self._known[request] = asyncio.get_running_loop().create_task(_fetch(request))
            known.add_done_callback(_retrieve)
        return await asyncio.shield(known)  # whoever asked first may be cancelled, the others still wait

    @staticmethod
    def _good(task: asyncio.Task[Token], stale: Token | None = None) -> bool:
        if task.cancelled() or task.exception() is not None:
            return False
        token = task.result()
        return token is not stale and token.until > time.monotonic()


def tokens() -> Tokens:
    """The tokens of the running event loop."""
    loop = asyncio.get_running_loop()
    found = _tokens.get(loop)
    if found is None:
        found = _tokens[loop] = Tokens()
    return found


async def _fetch(request: TokenRequest) -> Token:
    hidden = secret_forms([request.client_secret])

    def redact(text: str) -> str:
        return redacted(text, hidden)

    form = {"grant_type": "client_credentials", "scope": request.scope, "audience": request.audience}
    headers = {"content-type": "application/x-www-form-urlencoded", "accept": "application/json"}
    if request.in_body:
        form |= {"client_id": request.client_id, "client_secret": request.client_secret}
    else:
        pair = f"{quote(request.client_id, safe='')}:{quote(request.client_secret, safe='')}"  # RFC 6749 §2.3.1
        encoded = base64.b64encode(pair.encode()).decode()
        hidden = longest_first(hidden, (encoded,))
        headers["authorization"] = f"Basic {encoded}"
    body = urlencode({name: value for name, value in form.items() if value}).encode()
    try:
        response = await http.send(
            http.HttpRequest(
                method="POST", url=request.url, headers=headers, body=body, timeout=FETCH_SECONDS,
                max_response_bytes=_MOST_BYTES,
            )
        )  # fmt: skip
    except http.HttpError as error:
        raise NoToken(_as_token(failed_exchange(error, redact=redact))) from None
    if not 200 <= response.status < 300:
        failed = failed_answer("the token endpoint", response, now=clock.machine_now(), redact=redact)
        if not failed.retryable:  # whatever the status: these credentials are not taken
            failed = Failed(code=base.UNAUTHORIZED, message=failed.message, retryable=False)
        raise NoToken(failed)
    return _read(response)


def _read(response: http.HttpResponse) -> Token:
    try:
        answer = strictjson.loads(response.body)
    except strictjson.NotJSON:
        answer = None
    token = answer.get("access_token") if isinstance(answer, dict) else None
    if not isinstance(answer, dict) or not isinstance(token, str) or not token:
        message = "the token endpoint answered no JSON object with an access_token"
        raise NoToken(Failed(code=base.UNAUTHORIZED, message=message, retryable=False))
    kind = answer.get("token_type")
    if not isinstance(kind, str) or kind.lower() == "bearer":
        kind = "Bearer"
    life = answer.get("expires_in")
    if isinstance(life, str) and life.isdecimal():
        life = float(life[:12])
    if isinstance(life, bool) or not isinstance(life, (int, float)) or life <= 0:
        life = DEFAULT_LIFE_SECONDS
    until = time.monotonic() + max(life - MARGIN_SECONDS, life * 0.9)
    return Token(authorization=f"{kind} {token}", until=until, forms=secret_forms([token]))


def _as_token(failed: Failed) -> Failed:
    return Failed(code=failed.code, message=f"the token: {failed.message}", retryable=failed.retryable)


def _retrieve(task: asyncio.Task[Token]) -> None:
    """Take note of an exception that nobody may be left to hear."""
    if not task.cancelled():
        task.exception()


_tokens: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, Tokens] = weakref.WeakKeyDictionary()
