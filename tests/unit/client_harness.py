"""The client against a server of the test's own making, by both of its surfaces."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from ductape import AsyncDuctape, Ductape
from ductape._async import transport as asynchronous
from ductape._sync import transport as synchronous

BASE = "http://jobs.test:8000"
JOB: dict[str, Any] = {
    "id": "job_1", "status": "queued", "namespace": "actions", "product": "shop", "env": "prd",
    "target": {"app": "mail", "event": "send"}, "scheduled_at": 1_795_557_206_555, "recurring": False,
    "execution_count": 0, "successful_executions": 0, "failed_executions": 0, "consecutive_failures": 0, "retries": 0,
    "retry_count": 0, "timeout": 60_000, "priority": 5, "queue": "default", "labels": {}, "input": {}, "schedule": {},
    "created_at": 1_795_557_206_000, "updated_at": 1_795_557_206_000,
}  # fmt: skip
DISPATCHED = {"job_id": "job_1", "status": "queued", "scheduled_at": 1_795_557_206_555, "recurring": False}

Handler = Callable[[httpx.Request], httpx.Response]


class Surface:
    """One of the two clients. `ask` runs a call to its end; `pauses` are what it slept between tries, in seconds."""

    def __init__(self, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
        self.kind = kind
        self.pauses: list[float] = []
        self.requests: list[httpx.Request] = []

        async def sleep(seconds: float) -> None:
            self.pauses.append(seconds)

        monkeypatch.setattr(asynchronous, "sleep", sleep)
        monkeypatch.setattr(synchronous, "sleep", self.pauses.append)

    def client(self, handler: Handler, **options: Any) -> Any:
        """A client whose requests `handler` answers."""

        def seen(request: httpx.Request) -> httpx.Response:
            self.requests.append(request)
            return handler(request)

        transport = httpx.MockTransport(seen)
        if self.kind == "async":
            return AsyncDuctape(BASE, "key", http=httpx.AsyncClient(transport=transport), **options)
        return Ductape(BASE, "key", http=httpx.Client(transport=transport), **options)

    def ask(self, call: Any) -> Any:
        """The result of a call: of a coroutine, an iterator of either sort, or what it is already."""
        if inspect.iscoroutine(call):
            return asyncio.run(call)
        if inspect.isasyncgen(call):
            return asyncio.run(_gathered(call))
        return list(call) if inspect.isgenerator(call) else call


async def _gathered(call: Any) -> list[Any]:
    return [each async for each in call]


def in_order(*answers: httpx.Response | Exception) -> Handler:
    """Each answer once, the last one again and again."""
    left = list(answers)

    def handler(request: httpx.Request) -> httpx.Response:
        answer = left.pop(0) if len(left) > 1 else left[0]
        if isinstance(answer, Exception):
            raise answer
        return httpx.Response(answer.status_code, headers=answer.headers, content=answer.content)

    return handler


def problem(status: int, code: str, /, **more: Any) -> httpx.Response:
    headers = more.pop("headers", {})
    body = {
        "type": f"urn:ductape:problem:{code}", "title": "t", "status": status, "detail": f"{code} happened", "code": code,
        "errors": [], "request_id": "r1", **more,
    }  # fmt: skip
    return httpx.Response(status, json=body, headers={"Content-Type": "application/problem+json", **headers})
