"""E-mail by Postmark's API: https://postmarkapp.com/developer/api/email-api.

A message that it does not take is answered with 422 and an ErrorCode of its own
(https://postmarkapp.com/developer/api/overview#error-codes). It knows no idempotency key; the run is told as metadata.
"""

from __future__ import annotations

from collections.abc import Mapping
from email.utils import formataddr
from typing import Any

from executors import base
from executors.base import AttemptFailed
from executors.providers.notification import exchange
from executors.providers.notification.delivery import Accepted, Email, Occasion, OneByOne

API = "https://api.postmarkapp.com"
_SENDING_NOT_ALLOWED = frozenset({400, 401, 405, 412, 413})  # sender unknown or unconfirmed, no credit, account held


class Postmark(OneByOne):
    def __init__(self, settings: Mapping[str, Any], occasion: Occasion) -> None:
        self._settings, self._occasion = settings, occasion
        self._api = exchange.at(settings, API)
        self._headers = {"x-postmark-server-token": settings["serverToken"]}

    async def send_one(self, message: Email, recipient: str) -> Accepted:
        body = {
            "From": formataddr((self._settings.get("sender_name", ""), self._settings["sender_email"])),
            "To": recipient,
            "Subject": message.subject,
            "HtmlBody": message.html,
            "TextBody": message.text,
            "MessageStream": self._settings.get("message_stream", "outbound"),
            "Metadata": {"run": self._occasion.run_key},
        }
        url = f"{self._api}/email"
        try:
            answer = await exchange.call("Postmark", "POST", url, self._occasion, headers=self._headers, json=body)
        except exchange.Answered as error:
            if error.body.get("ErrorCode") in _SENDING_NOT_ALLOWED:
                raise AttemptFailed(base.FORBIDDEN, str(error)) from None
            raise
        if answer.body.get("ErrorCode", 0) != 0:
            told = self._occasion.redact(str(answer.body.get("Message", "")))[:300]
            raise AttemptFailed(base.VALIDATION_ERROR, f"Postmark did not take the message: {told}")
        return Accepted(answer.text("MessageID"))

    async def check(self) -> str:
        answer = await exchange.call("Postmark", "GET", f"{self._api}/server", self._occasion, headers=self._headers)
        return f"e-mail: Postmark's server {answer.text('Name') or 'without a name'} accepts the token"
