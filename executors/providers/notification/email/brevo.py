"""E-mail by Brevo's API: https://developers.brevo.com/reference/sendtransacemail.

Its idempotency key stands among the headers of the message, a UUID that it keeps for 30 minutes; a key that it knows is
answered as a duplicate (https://developers.brevo.com/docs/heterogenous-versions-batch-emails).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from executors.providers.notification import exchange
from executors.providers.notification.channels import EMAIL
from executors.providers.notification.delivery import Accepted, Email, Occasion, OneByOne

API = "https://api.brevo.com"


class Brevo(OneByOne):
    def __init__(self, settings: Mapping[str, Any], occasion: Occasion) -> None:
        self._settings, self._occasion = settings, occasion
        self._api = exchange.at(settings, API)
        self._headers = {"api-key": settings["apiKey"]}

    async def send_one(self, message: Email, recipient: str) -> Accepted:
        sender = {"email": self._settings["sender_email"]}
        if self._settings.get("sender_name"):
            sender["name"] = self._settings["sender_name"]
        body = {
            "sender": sender,
            "to": [{"email": recipient}],
            "subject": message.subject,
            "htmlContent": message.html,
            "textContent": message.text,
            "headers": {"idempotencyKey": self._occasion.key(EMAIL.name, recipient)},
        }
        url = f"{self._api}/v3/smtp/email"
        try:
            answer = await exchange.call("Brevo", "POST", url, self._occasion, headers=self._headers, json=body)
        except exchange.Answered as error:
            if error.body.get("code") == "duplicate_parameter":  # of which only the key can be one
                return Accepted()  # an earlier attempt got through, and did not hear of it
            raise
        return Accepted(answer.text("messageId"))

    async def check(self) -> str:
        answer = await exchange.call("Brevo", "GET", f"{self._api}/v3/account", self._occasion, headers=self._headers)
        return f"e-mail: Brevo accepts the key of {answer.text('email') or 'an account'}"
