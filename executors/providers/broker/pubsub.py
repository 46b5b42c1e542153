"""Google Cloud Pub/Sub by its REST API over the guarded HTTP client.

A message counts as published when the service has answered with its id. Logs in with a JWT that the service account
signs for this one service; an emulator is asked without any.
https://cloud.google.com/pubsub/docs/reference/rest/v1/projects.topics/publish
"""

from __future__ import annotations

import base64
import os
from collections.abc import Mapping
from typing import Any, Final

import jwt

from core import clock, http, strictjson
from executors.base import UNAUTHORIZED, VALIDATION_ERROR, AttemptFailed
from executors.exchange.answers import failed_answer, failed_exchange
from executors.providers.broker.endpoints import CONNECT_SECONDS
from executors.providers.broker.message import Message

_SERVICE: Final = "https://pubsub.googleapis.com"
_AUDIENCE: Final = "https://pubsub.googleapis.com/"
_TOKEN_SECONDS: Final = 3600
_RENEWED_SECONDS: Final = 300  # before its end


async def open_publisher(connection: Mapping[str, Any]) -> PubSubPublisher:
    """Nothing is connected: the HTTP client keeps the connections."""
    return PubSubPublisher(connection)


class PubSubPublisher:
    """Keeps a token until shortly before it ends."""

    def __init__(self, connection: Mapping[str, Any]) -> None:
        self._project = connection["projectId"]
        emulator = connection.get("emulatorHost") or os.environ.get("PUBSUB_EMULATOR_HOST")
        self._account = None if emulator else _account(connection)
        self._endpoint = f"http://{emulator}" if emulator else connection.get("endpoint_url") or _SERVICE
        self._endpoint = self._endpoint.rstrip("/")
        self._token: tuple[str, float] | None = None

    def is_broken(self) -> bool:
        return False

    async def publish(self, message: Message) -> Mapping[str, Any]:
        topic = message.to if message.to.startswith("projects/") else f"projects/{self._project}/topics/{message.to}"
        asked: dict[str, Any] = {
            "data": base64.b64encode(message.body).decode(),
            "attributes": {**message.headers, "content-type": message.content_type},
        }
        if message.key is not None:
            asked["orderingKey"] = message.key
        answer = await self._asked("POST", f"/v1/{topic}:publish", {"messages": [asked]}, message.seconds)
        ids = answer.get("messageIds")
        if not isinstance(ids, list) or len(ids) != 1:
            raise AttemptFailed(VALIDATION_ERROR, f"{self._where} answered without the message's id")
        return {"topic": topic, "message_id": str(ids[0])}

    async def about(self) -> str:
        await self._asked("GET", f"/v1/projects/{self._project}/topics?pageSize=1", None, CONNECT_SECONDS)
        return f"Pub/Sub, project {self._project}"

    async def close(self) -> None:
        """The HTTP client closes its connections."""

    @property
    def _where(self) -> str:
        return f"Pub/Sub at {self._endpoint.partition('://')[2]}"

    async def _asked(self, method: str, path: str, body: Any, seconds: float) -> Mapping[str, Any]:
        headers = {"Content-Type": "application/json"} if body is not None else {}
        if self._account is not None:
            headers["Authorization"] = f"Bearer {self._login(self._account)}"
        request = http.HttpRequest(
            method=method, url=self._endpoint + path, headers=headers, timeout=seconds,
            body=strictjson.dumps(body) if body is not None else None,
        )  # fmt: skip
        try:
            response = await http.send(request)
        except http.HttpError as error:
            failed = failed_exchange(error)
            raise AttemptFailed(failed.code, failed.message, retryable=failed.retryable) from None
        if response.status != 200:
            failed = failed_answer(self._where, response, now=clock.machine_now())
            raise AttemptFailed(failed.code, failed.message, retryable=failed.retryable, retry_after=failed.retry_after)
        try:
            answer = strictjson.loads(response.body)
        except strictjson.NotJSON:
            answer = None
        if not isinstance(answer, dict):
            raise AttemptFailed(VALIDATION_ERROR, f"{self._where} answered what is no JSON object")
        return answer

    def _login(self, account: Mapping[str, str]) -> str:
        now = clock.machine_now().timestamp()
        if self._token is None or self._token[1] - _RENEWED_SECONDS < now:
            name = account["client_email"]
            claims = {"iss": name, "sub": name, "aud": _AUDIENCE, "iat": int(now), "exp": int(now) + _TOKEN_SECONDS}
            key_id = {"kid": account["private_key_id"]} if "private_key_id" in account else {}
            try:
                signed = jwt.encode(claims, account["private_key"], algorithm="RS256", headers=key_id)
            except (ValueError, TypeError, jwt.PyJWTError):
                told = "the private_key of its credentials is no RSA key in PEM"
                raise AttemptFailed(UNAUTHORIZED, f"Pub/Sub, project {self._project}: {told}") from None
            self._token = signed, now + _TOKEN_SECONDS
        return self._token[0]


def _account(connection: Mapping[str, Any]) -> Mapping[str, str]:
    account: Any = connection.get("credentials")
    if account is None:
        try:
            account = strictjson.loads(str(connection.get("credentialsJson", "")).encode())
        except strictjson.NotJSON:
            account = None
    if not isinstance(account, dict) or not all(
        isinstance(account.get(name), str) for name in ("client_email", "private_key")
    ):
        told = "the credentials are not the JSON of a service account: client_email and private_key are needed"
        raise AttemptFailed(VALIDATION_ERROR, told)
    return account
