"""SMS by Plivo's Message API: https://www.plivo.com/docs/messaging/api/messages/.

`apiKey` is its Auth ID, and an Auth Token belongs to it. It knows no idempotency key.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from executors import base
from executors.base import AttemptFailed
from executors.providers.notification import exchange
from executors.providers.notification.delivery import Accepted, Occasion, OneByOne, Sms

API = "https://api.plivo.com"


class Plivo(OneByOne):
    def __init__(self, settings: Mapping[str, Any], occasion: Occasion) -> None:
        self._settings, self._occasion = settings, occasion
        self._account = f"{exchange.at(settings, API)}/v1/Account/{exchange.segment(settings['apiKey'])}/"
        self._headers = exchange.basic(settings["apiKey"], settings["authToken"])

    async def send_one(self, message: Sms, recipient: str) -> Accepted:
        body = {"src": self._settings["sender"], "dst": recipient.removeprefix("+"), "text": message.text}
        url = f"{self._account}Message/"
        answer = await exchange.call("Plivo", "POST", url, self._occasion, headers=self._headers, json=body)
        ids = answer.body.get("message_uuid")
        if not isinstance(ids, list) or not ids:
            raise AttemptFailed(base.VALIDATION_ERROR, f"Plivo queued no message for {recipient}")
        return Accepted(str(ids[0]))

    async def check(self) -> str:
        await exchange.call("Plivo", "GET", self._account, self._occasion, headers=self._headers)
        return "SMS: Plivo accepts the Auth ID and token"
