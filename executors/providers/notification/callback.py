"""A message as a call to the team's own service: method, URL with `:params`, and what it needs to log in.

What the message says comes before the environment's `auth`. Carries the same headers about its run as any call of an
action, an idempotency key among them; the receiver's answer is not kept, but for its status.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from core import clock, http, strictjson
from core.times import to_ms
from executors.base import redacted
from executors.catalog.resolve import PATH_PARAMETER
from executors.catalog.sealed import secret_forms
from executors.exchange.answers import failed_answer, failed_exchange
from executors.exchange.placing import Placed
from executors.exchange.urls import url_of
from executors.providers.notification.delivery import Accepted, Callback, Occasion, OneByOne
from executors.providers.notification.exchange import EXCHANGE_SECONDS, raised
from executors.templates import as_text

_MOST_BYTES = 64 * 1024


class CallbackSender(OneByOne):
    def __init__(self, settings: Mapping[str, Any], occasion: Occasion) -> None:
        self._url, self._method = str(settings["url"]), settings.get("method", "POST")
        self._auth: Mapping[str, Any] = settings.get("auth", {})
        self._occasion = occasion
        texts = [text for name in ("headers", "query", "params") for text in self._auth.get(name, {}).values()]
        texts += [text for text in self._auth.get("body", {}).values() if isinstance(text, str)]
        self._hidden = secret_forms(texts)

    async def send_one(self, message: Callback, recipient: str) -> Accepted:
        try:
            response = await http.send(self._request(message))
        except http.HttpError as error:
            raise raised(failed_exchange(error, redact=self._redact)) from None
        if not 200 <= response.status < 300:
            raise raised(failed_answer("the callback", response, now=clock.machine_now(), redact=self._redact))
        return Accepted(more={"status": response.status})

    async def check(self) -> str:
        return "callback: not tried, as a call would be taken for a message"

    def _request(self, message: Callback) -> http.HttpRequest:
        """Raises http.InvalidRequest."""
        body = self._body(message.body)
        headers = {name.lower(): as_text(value) for name, value in self._auth.get("headers", {}).items()}
        if body is not None:
            headers.setdefault("content-type", "application/json")
        headers |= {name.lower(): as_text(value) for name, value in message.headers.items()}
        headers["idempotency-key"] = self._occasion.run_key
        headers["x-job-id"] = self._occasion.job_id
        headers["x-attempt"] = str(self._occasion.attempt)
        headers["x-scheduled-for"] = str(to_ms(self._occasion.scheduled_at))
        params = {**self._auth.get("params", {}), **message.params}
        query = {name: _in_query(value) for name, value in {**self._auth.get("query", {}), **message.query}.items()}
        names = tuple(dict.fromkeys(PATH_PARAMETER.findall(self._url)))
        url = url_of(self._url, path_parameters=names, query=(), placed=Placed(params=params, query=query))
        return http.HttpRequest(
            method=self._method, url=url, headers=headers, body=body,
            timeout=self._occasion.left(EXCHANGE_SECONDS), max_response_bytes=_MOST_BYTES, truncate=True,
        )  # fmt: skip

    def _body(self, said: Any) -> bytes | None:
        auth = self._auth.get("body", {})
        if self._method == "GET":
            return None
        if auth and (said is None or isinstance(said, Mapping)):
            said = {**auth, **(said or {})}
        return None if said is None else strictjson.dumps(said)

    def _redact(self, text: str) -> str:
        return redacted(self._occasion.redact(text), self._hidden)


def _in_query(value: Any) -> Any:
    if isinstance(value, list):
        return [as_text(member) for member in value]
    return as_text(value)
