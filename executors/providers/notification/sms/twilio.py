"""SMS by Twilio's Messages resource: https://www.twilio.com/docs/messaging/api/message-resource.

It knows no idempotency key for messages. A sender that is the id of a messaging service (MG…) is told as such.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from executors.providers.notification import exchange
from executors.providers.notification.delivery import Accepted, Occasion, OneByOne, Sms

API = "https://api.twilio.com"
_SERVICE = re.compile(r"MG[0-9a-fA-F]{32}")


class Twilio(OneByOne):
    def __init__(self, settings: Mapping[str, Any], occasion: Occasion) -> None:
        self._settings, self._occasion = settings, occasion
        account = exchange.segment(settings["accountSid"])
        self._account = f"{exchange.at(settings, API)}/2010-04-01/Accounts/{account}"
        self._headers = exchange.basic(settings["accountSid"], settings["authToken"])

    async def send_one(self, message: Sms, recipient: str) -> Accepted:
        sender = self._settings["sender"]
        form = {
            "To": recipient,
            "MessagingServiceSid" if _SERVICE.fullmatch(sender) else "From": sender,
            "Body": message.text,
        }
        url = f"{self._account}/Messages.json"
        answer = await exchange.call("Twilio", "POST", url, self._occasion, headers=self._headers, form=form)
        return Accepted(answer.text("sid"))

    async def check(self) -> str:
        answer = await exchange.call("Twilio", "GET", f"{self._account}.json", self._occasion, headers=self._headers)
        return f"SMS: Twilio's account is {answer.text('status') or 'known'}"
