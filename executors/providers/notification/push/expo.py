"""Push by Expo's service: https://docs.expo.dev/push-notifications/sending-notifications/.

One call takes up to 100 messages, and answers a ticket for each, in order. A ticket says that Expo took the message;
its receipt, some minutes later, is not asked for.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from executors import base
from executors.base import AttemptFailed, Failed
from executors.providers.notification import exchange
from executors.providers.notification.delivery import Accepted, Occasion, Push, Refused, Report

API = "https://exp.host"
_CODES = {
    "DeviceNotRegistered": base.NOT_FOUND,
    "MessageTooBig": base.VALIDATION_ERROR,
    "MessageRateExceeded": base.RATE_LIMITED,
    "MismatchSenderId": base.FORBIDDEN,
    "InvalidCredentials": base.UNAUTHORIZED,
}


class Expo:
    at_once = 100

    def __init__(self, settings: Mapping[str, Any], occasion: Occasion) -> None:
        self._occasion = occasion
        self._api = exchange.at(settings, API)
        token = settings.get("credentials", {}).get("accessToken")
        self._headers = {"authorization": f"Bearer {token}"} if token else {}

    async def send(self, message: Push, recipients: Sequence[str], report: Report) -> None:
        said = {"title": message.title, "body": message.body, "data": dict(message.data)}
        said = {name: value for name, value in said.items() if value}
        url = f"{self._api}/--/api/v2/push/send"
        body = [{"to": token, **said} for token in recipients]
        answer = await exchange.call("Expo", "POST", url, self._occasion, headers=self._headers, json=body)
        tickets = answer.body.get("data")
        if not isinstance(tickets, list) or len(tickets) != len(recipients):
            told = self._occasion.redact(str(answer.body.get("errors", "")))[:300]
            raise AttemptFailed(base.SERVICE_UNAVAILABLE, f"Expo answered no ticket for each: {told}", retryable=True)
        for token, ticket in zip(recipients, tickets, strict=True):
            await report(token, self._read(ticket if isinstance(ticket, dict) else {}))

    def _read(self, ticket: Mapping[str, Any]) -> Accepted | Refused:
        if ticket.get("status") == "ok":
            return Accepted(str(ticket["id"]) if "id" in ticket else None)
        details = ticket.get("details")
        error = str(details.get("error", "")) if isinstance(details, dict) else ""
        code = _CODES.get(error, base.VALIDATION_ERROR)
        told = self._occasion.redact(str(ticket.get("message") or error or "no reason"))[:300]
        failed = Failed(code=code, message=f"Expo: {told}", retryable=code == base.RATE_LIMITED)
        return Refused(failed, gone=error == "DeviceNotRegistered")

    async def check(self) -> str:
        # Asking for no receipts is the one call that sends nothing and needs the token.
        url = f"{self._api}/--/api/v2/push/getReceipts"
        await exchange.call("Expo", "POST", url, self._occasion, headers=self._headers, json={"ids": []})
        return "push: Expo answers"
