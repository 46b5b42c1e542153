"""Amazon SQS by its JSON protocol over the guarded HTTP client; requests are signed by botocore's signer.

A message counts as published when SQS has answered with its id and the digest of what we sent.
https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_SendMessage.html
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any, Final

from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from core import clock, http, strictjson
from executors.base import (
    FORBIDDEN,
    NOT_FOUND,
    RATE_LIMITED,
    SERVICE_UNAVAILABLE,
    UNAUTHORIZED,
    VALIDATION_ERROR,
    AttemptFailed,
)
from executors.exchange.answers import failed_exchange, retry_after
from executors.providers.broker.endpoints import CONNECT_SECONDS
from executors.providers.broker.kind import queue_urls
from executors.providers.broker.message import Message

_UNAUTHORIZED: Final = (
    "InvalidClientTokenId", "UnrecognizedClient", "SignatureDoesNotMatch", "InvalidSignature", "ExpiredToken",
    "MissingAuthenticationToken", "IncompleteSignature", "InvalidSecurity", "InvalidAccessKeyId",
)  # fmt: skip


async def open_publisher(connection: Mapping[str, Any]) -> SqsPublisher:
    """Nothing is connected: the HTTP client keeps the connections."""
    return SqsPublisher(connection)


class SqsPublisher:
    """Asks for the URL of a queue once."""

    def __init__(self, connection: Mapping[str, Any]) -> None:
        self._region = connection["region"]
        domain = "amazonaws.com.cn" if self._region.startswith("cn-") else "amazonaws.com"
        self._endpoint = connection.get("endpoint_url") or f"https://sqs.{self._region}.{domain}"
        self._endpoint = self._endpoint.rstrip("/") + "/"
        self._queues = connection.get("queueUrls", {})
        self._found: dict[str, str] = {}
        self._signer = SigV4Auth(
            Credentials(connection["accessKeyId"], connection["secretAccessKey"], connection.get("sessionToken")),
            "sqs",
            self._region,
        )

    def is_broken(self) -> bool:
        return False

    async def publish(self, message: Message) -> Mapping[str, Any]:
        url = await self._queue_url(message)
        attributes = {**message.headers, "content-type": message.content_type}
        asked: dict[str, Any] = {
            "QueueUrl": url,
            "MessageBody": message.body.decode("utf-8", "replace"),
            "MessageAttributes": {
                name: {"DataType": "String", "StringValue": value} for name, value in attributes.items() if value
            },
        }
        group = message.options.get("group_id") or message.key
        if url.endswith(".fifo"):
            asked["MessageGroupId"] = group or message.tag
            asked["MessageDeduplicationId"] = hashlib.sha256(message.id.encode()).hexdigest()
        elif group is not None:
            asked["MessageGroupId"] = group
        if "delay_seconds" in message.options:
            asked["DelaySeconds"] = message.options["delay_seconds"]
        answer = await self._asked("SendMessage", asked, message.seconds)
        digest = hashlib.md5(asked["MessageBody"].encode(), usedforsecurity=False).hexdigest()
        if answer.get("MD5OfMessageBody") != digest or not answer.get("MessageId"):
            told = "answered with the digest of another message"
            raise AttemptFailed(SERVICE_UNAVAILABLE, f"{self._where} {told}", retryable=True)
        sequence = {"sequence_number": answer["SequenceNumber"]} if answer.get("SequenceNumber") else {}
        return {"queue_url": url, "message_id": answer["MessageId"], **sequence}

    async def about(self) -> str:
        await self._asked("ListQueues", {"MaxResults": 1}, CONNECT_SECONDS)
        return f"SQS in {self._region}"

    async def close(self) -> None:
        """The HTTP client closes its connections."""

    @property
    def _where(self) -> str:
        return f"SQS at {self._endpoint.partition('://')[2].rstrip('/')}"

    async def _queue_url(self, message: Message) -> str:
        of_topic = queue_urls(message.topic.get("queueUrls") or {}) or {}
        url = of_topic.get(message.env) or self._queues.get(message.tag) or self._queues.get(message.to)
        if url is not None:
            return str(url)
        if message.to.startswith(("https://", "http://")):
            return message.to
        if message.to not in self._found:
            answer = await self._asked("GetQueueUrl", {"QueueName": message.to}, message.seconds)
            self._found[message.to] = str(answer.get("QueueUrl", ""))
        return self._found[message.to]

    async def _asked(self, action: str, body: Mapping[str, Any], seconds: float) -> Mapping[str, Any]:
        data = strictjson.dumps(body)
        request = AWSRequest(
            method="POST", url=self._endpoint, data=data,
            headers={"Content-Type": "application/x-amz-json-1.0", "X-Amz-Target": f"AmazonSQS.{action}"},
        )  # fmt: skip
        self._signer.add_auth(request)
        try:
            response = await http.send(
                http.HttpRequest(
                    method="POST", url=self._endpoint, headers=dict(request.headers.items()), body=data, timeout=seconds
                )
            )
        except http.HttpError as error:
            failed = failed_exchange(error)
            raise AttemptFailed(failed.code, failed.message, retryable=failed.retryable) from None
        try:
            answer = strictjson.loads(response.body) if response.body else {}
        except strictjson.NotJSON:
            answer = {}
        if response.status == 200 and isinstance(answer, dict):
            return answer
        raise self._failed(response, answer if isinstance(answer, dict) else {})

    def _failed(self, response: http.HttpResponse, answer: Mapping[str, Any]) -> AttemptFailed:
        name = str(answer.get("__type", "")).rpartition("#")[2]
        code, retryable = failure(name, response.status)
        text = str(answer.get("message") or answer.get("Message") or response.reason)[:300]
        return AttemptFailed(
            code,
            f"{self._where} answered {response.status} {name}: {text}".replace("  ", " "),
            retryable=retryable,
            retry_after=retry_after(response, now=clock.machine_now()) if retryable else None,
        )


def failure(name: str, status: int) -> tuple[str, bool]:
    """The code of an error that SQS names, and whether another attempt may help."""
    if "NonExistentQueue" in name or "QueueDoesNotExist" in name:
        return NOT_FOUND, False
    if name.startswith(_UNAUTHORIZED):
        return UNAUTHORIZED, False
    if "Throttl" in name or name in {"OverLimit", "RequestLimitExceeded"} or status == 429:
        return RATE_LIMITED, True
    if "AccessDenied" in name or name == "NotAuthorized":
        return FORBIDDEN, False
    if status >= 500:
        return SERVICE_UNAVAILABLE, True
    return (UNAUTHORIZED if status == 401 else FORBIDDEN if status == 403 else VALIDATION_ERROR), False
