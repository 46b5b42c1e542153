"""E-mail by Twilio SendGrid's v3 API.

https://www.twilio.com/docs/sendgrid/api-reference/mail-send/mail-send, its errors:
https://www.twilio.com/docs/sendgrid/api-reference/mail-send/errors. It knows no idempotency key; the run is told as a
custom argument, by which its events can be told apart.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from executors.providers.notification import exchange
from executors.providers.notification.delivery import Accepted, Email, Occasion, OneByOne

API = "https://api.sendgrid.com"


class SendGrid(OneByOne):
    def __init__(self, settings: Mapping[str, Any], occasion: Occasion) -> None:
        self._settings, self._occasion = settings, occasion
        self._api = exchange.at(settings, API)
        self._headers = {"authorization": f"Bearer {settings['apiKey']}"}

    async def send_one(self, message: Email, recipient: str) -> Accepted:
        sender = {"email": self._settings["sender_email"]}
        if self._settings.get("sender_name"):
            sender["name"] = self._settings["sender_name"]
        body = {
            "personalizations": [{"to": [{"email": recipient}]}],
            "from": sender,
            "subject": message.subject,
            # In this order, as it asks for.
            "content": [{"type": "text/plain", "value": message.text}, {"type": "text/html", "value": message.html}],
            "custom_args": {"run": self._occasion.run_key},
        }
        url = f"{self._api}/v3/mail/send"
        answer = await exchange.call("SendGrid", "POST", url, self._occasion, headers=self._headers, json=body)
        return Accepted(answer.headers.get("x-message-id"))

    async def check(self) -> str:
        await exchange.call("SendGrid", "GET", f"{self._api}/v3/scopes", self._occasion, headers=self._headers)
        return "e-mail: SendGrid accepts the key"
