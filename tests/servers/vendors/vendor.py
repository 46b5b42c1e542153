"""What the receivers of vendors have in common: a request is checked, and answered as the documents say."""

from __future__ import annotations

import base64
from collections import deque
from dataclasses import dataclass
from typing import Any, Self
from urllib.parse import parse_qs

from tests.servers.receiver import Answer, Received, Receiver

SECRET = "s3cret-of-the-vendor"


class Wrong(AssertionError):
    """The request is not as the documents describe it; the text says where."""


@dataclass(frozen=True)
class Taken:
    """A message that was taken."""

    recipient: str
    fields: dict[str, Any]


class Vendor(Receiver):
    """`queue` holds answers that come first, whatever is asked; `unknown` recipients are refused as documented."""

    channel = ""
    refused_code = "VALIDATION_ERROR"  # of a recipient in `unknown`

    def __init__(self) -> None:
        super().__init__()
        self.queue: deque[Answer] = deque()
        self.taken: list[Taken] = []
        self.unknown: set[str] = set()
        self.wrong: list[str] = []

    def __enter__(self) -> Self:
        super().__enter__()
        return self

    @property
    def block(self) -> dict[str, Any]:
        """The channel's block of an environment."""
        raise NotImplementedError

    def limited(self) -> Answer:
        """Too many requests, as documented."""
        return Answer(status=429, headers={"Retry-After": "7"}, body={"message": "too many requests"})

    def reply(self, request: Received) -> Answer:
        raise NotImplementedError

    def _receive(self, method: str, path: str, headers: dict[str, str], body: bytes) -> tuple[Received, Answer]:
        request, _ = super()._receive(method, path, headers, body)
        if self.queue:
            return request, self.queue.popleft()
        try:
            return request, self.reply(request)
        except Exception as error:
            self.wrong.append(f"{type(error).__name__}: {error}")
            return request, Answer(status=418, body=str(error))


def want(actual: Any, expected: Any, what: str) -> None:
    if actual != expected:
        raise Wrong(f"{what}: {actual!r} is not {expected!r}")


def is_post(request: Received, path: str, content_type: str) -> None:
    want((request.method, request.path), ("POST", path), "method and path")
    want(request.headers.get("content-type", "").partition(";")[0], content_type, "content type")
    want(int(request.headers["content-length"]), len(request.body), "length")


def form_of(request: Received) -> dict[str, str]:
    pairs = parse_qs(request.body.decode(), keep_blank_values=True, strict_parsing=True)
    for name, values in pairs.items():
        want(len(values), 1, f"times that {name} is given")
    return {name: values[0] for name, values in pairs.items()}


def basic_of(request: Received) -> str | None:
    scheme, _, text = request.headers.get("authorization", "").partition(" ")
    return base64.b64decode(text).decode() if scheme == "Basic" else None


def only(body: dict[str, Any], *names: str) -> None:
    """No field but these."""
    want(sorted(set(body) - set(names)), [], "fields that are not documented")
