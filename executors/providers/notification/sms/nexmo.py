"""SMS by Vonage (formerly Nexmo): its SMS API, https://developer.vonage.com/en/api/sms.

It answers 200 whatever becomes of a message; the status of each part says that
(https://developer.vonage.com/messaging/sms/guides/troubleshooting-sms). It knows no idempotency key; the run is
told as `client-ref`, which its receipts bring back.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from executors import base
from executors.base import AttemptFailed
from executors.providers.notification import exchange
from executors.providers.notification.delivery import Accepted, Occasion, OneByOne, Sms

API = "https://rest.nexmo.com"
_LONGEST_REFERENCE = 100
# GSM 03.38 with its extension: whatever is not in it is sent as Unicode.
_GSM = frozenset(
    "@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞÆæßÉ !\"#¤%&'()*+,-./0123456789:;<=>?¡ABCDEFGHIJKLMNOPQRSTUVWXYZÄÖÑÜ§"
    "¿abcdefghijklmnopqrstuvwxyzäöñüà^{}\\[~]|€"
)
_CODES = {  # of a part's status; any other is VALIDATION_ERROR
    "1": base.RATE_LIMITED,  # throttled
    "4": base.UNAUTHORIZED,
    "5": base.SERVICE_UNAVAILABLE,  # internal error
    "7": base.FORBIDDEN,  # the number is barred
    "8": base.FORBIDDEN,  # the account is barred
    "9": base.FORBIDDEN,  # no credit left
    "10": base.RATE_LIMITED,  # too many connections
    "11": base.FORBIDDEN,  # the account may not use HTTP
    "14": base.UNAUTHORIZED,  # signature
    "29": base.FORBIDDEN,  # a number that a trial account may not reach
}
_RETRYABLE = frozenset({base.RATE_LIMITED, base.SERVICE_UNAVAILABLE})


class Nexmo(OneByOne):
    def __init__(self, settings: Mapping[str, Any], occasion: Occasion) -> None:
        self._settings, self._occasion = settings, occasion
        self._api = exchange.at(settings, API)
        self._headers = exchange.basic(settings["apiKey"], settings["apiSecret"])

    async def send_one(self, message: Sms, recipient: str) -> Accepted:
        form = {
            "from": self._settings["sender"].removeprefix("+"),
            "to": recipient.removeprefix("+"),
            "text": message.text,
            "type": "text" if _GSM.issuperset(message.text) else "unicode",
            "client-ref": self._occasion.run_key[:_LONGEST_REFERENCE],
        }
        url = f"{self._api}/sms/json"
        answer = await exchange.call("Vonage", "POST", url, self._occasion, headers=self._headers, form=form)
        parts = answer.body.get("messages")
        if not isinstance(parts, list) or not parts or not all(isinstance(part, dict) for part in parts):
            raise AttemptFailed(base.SERVICE_UNAVAILABLE, "Vonage answered without any message", retryable=True)
        for part in parts:
            if (status := str(part.get("status"))) != "0":
                code = _CODES.get(status, base.VALIDATION_ERROR)
                told = self._occasion.redact(str(part.get("error-text", "")))[:300]
                # A message of several parts of which some were taken is not sent again: its reader has those.
                retryable = code in _RETRYABLE and part is parts[0]
                raise AttemptFailed(code, f"Vonage answered status {status}: {told}", retryable=retryable)
        return Accepted(str(parts[0].get("message-id")))

    async def check(self) -> str:
        url = f"{self._api}/account/get-balance"
        answer = await exchange.call("Vonage", "GET", url, self._occasion, headers=self._headers)
        return f"SMS: Vonage accepts the key; its balance is {answer.body.get('value', 'unknown')}"
