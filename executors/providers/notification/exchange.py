"""A provider's HTTP API: one exchange over the guarded client, its errors told alike for all providers.

Owns the bounds of an exchange. What an answer means beyond its status is the provider's to say.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, urlencode

from core import clock, http, strictjson
from executors import base
from executors.base import AttemptFailed, Failed, redacted
from executors.catalog.sealed import secret_forms
from executors.exchange.answers import failed_answer, failed_exchange
from executors.exchange.bodies import content_type, encoded
from executors.providers.notification.delivery import Occasion

EXCHANGE_SECONDS = 30.0  # at most, of one
_MOST_BYTES = 256 * 1024  # of an answer


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer with a status of success. `body` is {} where it is no JSON object."""

    body: Mapping[str, Any]
    headers: Mapping[str, str]

    def text(self, name: str) -> str | None:
        value = self.body.get(name)
        return str(value) if isinstance(value, (str, int)) and value != "" else None


async def call(
    who: str,
    method: str,
    url: str,
    occasion: Occasion,
    *,
    headers: Mapping[str, str],
    json: Any = None,
    form: Mapping[str, str] | None = None,
    parts: Mapping[str, str] | None = None,
) -> Answer:
    """One exchange with `who`; what is sent is JSON, a form, or a form of parts (multipart). `headers` log in.

    Raises AttemptFailed where there is no answer, Answered for any status but 2xx.
    """
    body, sent = None, dict(headers)
    if json is not None:
        body, sent["content-type"] = strictjson.dumps(json), "application/json"
    elif form is not None:
        body, sent["content-type"] = urlencode(form).encode(), "application/x-www-form-urlencoded"
    elif parts is not None:
        body, sent["content-type"] = (
            encoded(parts, "formdata", occasion.run_key),
            content_type("formdata", occasion.run_key),
        )
    sent.setdefault("accept", "application/json")
    request = http.HttpRequest(
        method=method, url=url, headers=sent, body=body,
        timeout=occasion.left(EXCHANGE_SECONDS), max_response_bytes=_MOST_BYTES, truncate=True,
    )  # fmt: skip
    hidden = secret_forms([text for value in headers.values() for text in (value, value.partition(" ")[2])])

    def redact(text: str) -> str:
        """Without the login either, as it was sent: an answer may repeat the request."""
        return redacted(occasion.redact(text), hidden)

    try:
        response = await http.send(request)
    except http.HttpError as error:
        raise raised(failed_exchange(error, redact=redact)) from None
    if not 200 <= response.status < 300:
        failed = failed_answer(who, response, now=clock.machine_now(), redact=redact)
        if response.status == 402:
            failed = Failed(code=base.FORBIDDEN, message=failed.message, retryable=False)
        raise Answered(failed, response.status, _object(response.body))
    return Answer(_object(response.body), response.headers)


class Answered(AttemptFailed):
    """The provider answered that it did not take the message."""

    def __init__(self, failed: Failed, status: int, body: Mapping[str, Any]) -> None:
        super().__init__(
            failed.code,
            failed.message,
            retryable=failed.retryable,
            retry_after=failed.retry_after,
            result=failed.result,
        )
        self.status = status
        self.body = body


def raised(failed: Failed) -> AttemptFailed:
    return AttemptFailed(
        failed.code, failed.message, retryable=failed.retryable, retry_after=failed.retry_after, result=failed.result
    )


def basic(user: str, password: str) -> dict[str, str]:
    """The Authorization header of RFC 7617."""
    return {"authorization": "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()}


def at(settings: Mapping[str, Any], default: str) -> str:
    """Where an API is: the environment's own base_url, else the vendor's."""
    return str(settings.get("base_url") or default).rstrip("/")


def segment(text: str) -> str:
    """A text as one segment of a path."""
    return quote(text, safe="")


def _object(body: bytes) -> Mapping[str, Any]:
    try:
        value = strictjson.loads(body)
    except strictjson.NotJSON:
        return {}
    return value if isinstance(value, dict) else {}
