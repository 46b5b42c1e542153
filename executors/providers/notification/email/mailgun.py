"""E-mail by Mailgun's messages API, in the region of its domain.

https://documentation.mailgun.com/docs/mailgun/api-reference/send/mailgun/messages/post-v3--domain-name--messages.
It knows no idempotency key; the run is told as a variable (`v:run`), which its events show.
"""

from __future__ import annotations

from collections.abc import Mapping
from email.utils import formataddr
from typing import Any

from executors.providers.notification import exchange
from executors.providers.notification.delivery import Accepted, Email, Occasion, OneByOne

APIS = {"us": "https://api.mailgun.net", "eu": "https://api.eu.mailgun.net"}


class Mailgun(OneByOne):
    def __init__(self, settings: Mapping[str, Any], occasion: Occasion) -> None:
        self._settings, self._occasion = settings, occasion
        self._api = exchange.at(settings, APIS[settings.get("region", "us")])
        self._domain = exchange.segment(settings["domain"])
        self._headers = exchange.basic("api", settings["apiKey"])

    async def send_one(self, message: Email, recipient: str) -> Accepted:
        parts = {
            "from": formataddr((self._settings.get("sender_name", ""), self._settings["sender_email"])),
            "to": recipient,
            "subject": message.subject,
            "text": message.text,
            "html": message.html,
            "v:run": self._occasion.run_key,
        }
        url = f"{self._api}/v3/{self._domain}/messages"
        answer = await exchange.call("Mailgun", "POST", url, self._occasion, headers=self._headers, parts=parts)
        return Accepted(answer.text("id"))

    async def check(self) -> str:
        url = f"{self._api}/v4/domains/{self._domain}"
        answer = await exchange.call("Mailgun", "GET", url, self._occasion, headers=self._headers)
        domain = answer.body.get("domain")
        state = domain.get("state", "unknown") if isinstance(domain, dict) else "unknown"
        return f"e-mail: Mailgun knows the domain {self._settings['domain']} (state {state})"
