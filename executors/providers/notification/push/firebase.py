"""Push by Firebase Cloud Messaging, HTTP v1: one call for each token.

https://firebase.google.com/docs/reference/fcm/rest/v1/projects.messages/send, its errors:
https://firebase.google.com/docs/reference/fcm/rest/v1/ErrorCode. The access token comes from the service account
(`push.access`). It knows no idempotency key.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from executors import base
from executors.base import Failed
from executors.providers.notification import exchange
from executors.providers.notification.delivery import Accepted, Occasion, OneByOne, Push, Refused
from executors.providers.notification.push.access import ServiceAccount, access_tokens
from executors.templates import as_text

API = "https://fcm.googleapis.com"
GOOGLE_TOKENS = "https://oauth2.googleapis.com/token"
_ERROR_TYPE = "type.googleapis.com/google.firebase.fcm.v1.FcmError"


class Firebase(OneByOne):
    def __init__(self, settings: Mapping[str, Any], occasion: Occasion) -> None:
        self._occasion = occasion
        credentials = settings["credentials"]
        project = exchange.segment(credentials["project_id"])
        self._url = f"{exchange.at(settings, API)}/v1/projects/{project}/messages:send"
        self._account = ServiceAccount(
            email=credentials["client_email"],
            key=credentials["private_key"],
            key_id=credentials.get("private_key_id", ""),
            token_uri=credentials.get("token_uri", GOOGLE_TOKENS),
        )

    async def send_one(self, message: Push, recipient: str) -> Accepted | Refused:
        said = {name: text for name, text in (("title", message.title), ("body", message.body)) if text}
        written: dict[str, Any] = {"token": recipient, "notification": said}
        if message.data:
            written["data"] = {name: as_text(value) for name, value in message.data.items()}  # of texts only
        token = await access_tokens().get(self._account, self._occasion)
        try:
            answer = await self._call(token, written)
        except exchange.Answered as error:
            if error.status != 401:
                return self._refused(error)
            # The token may have been revoked; nothing was sent.
            token = await access_tokens().get(self._account, self._occasion, stale=token)
            try:
                answer = await self._call(token, written)
            except exchange.Answered as again:
                return self._refused(again)
        return Accepted(answer.text("name"))

    async def _call(self, token: str, message: Mapping[str, Any]) -> exchange.Answer:
        headers = {"authorization": f"Bearer {token}"}
        return await exchange.call(
            "Firebase", "POST", self._url, self._occasion, headers=headers, json={"message": message}
        )

    def _refused(self, error: exchange.Answered) -> Refused:
        failed = error.failed
        if _error_code(error.body) == "UNREGISTERED":
            told = "Firebase: the device is not registered any more: forget its token"
            return Refused(Failed(code=base.NOT_FOUND, message=told, retryable=False), gone=True)
        return Refused(failed)

    async def check(self) -> str:
        await access_tokens().get(self._account, self._occasion)
        return f"push: Google gives {self._account.email} a token for Firebase"


def _error_code(body: Mapping[str, Any]) -> str:
    error = body.get("error")
    details = error.get("details") if isinstance(error, dict) else None
    for detail in details if isinstance(details, list) else []:
        if isinstance(detail, dict) and detail.get("@type") == _ERROR_TYPE:
            return str(detail.get("errorCode", ""))
    return ""
