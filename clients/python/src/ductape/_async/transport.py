"""Sends a call: one pool of connections, tries, pauses, and what each failure is called."""

from __future__ import annotations

import time
import uuid
from asyncio import sleep
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import TypeVar

import httpx

from ductape import interception
from ductape.answers import Answer
from ductape.call import Call
from ductape.configuration import LONGEST_KEEP, Configuration
from ductape.errors import ConnectionFailed, TimedOut
from ductape.gates import AsyncGate
from ductape.retrying import RetryPolicy

T = TypeVar("T")


class AsyncTransport:
    """Safe to be used by many at once. `http` is used as it is, and closed by whoever made it."""

    def __init__(self, configuration: Configuration, http: httpx.AsyncClient | None = None) -> None:
        self.configuration = configuration
        self._policy = RetryPolicy(retries=configuration.retries)
        self._own = http is None
        most = configuration.max_connections
        self._gate = AsyncGate(most)
        self._http = http or httpx.AsyncClient(
            limits=httpx.Limits(
                max_connections=None, max_keepalive_connections=most, keepalive_expiry=LONGEST_KEEP
            )
        )  # fmt: skip

    async def aclose(self) -> None:
        if self._own:
            await self._http.aclose()

    async def send(self, call: Call[T]) -> T:
        """The call's result. Raises ApiError, ConnectionFailed, TimedOut, BrokenAnswer, InvalidArgument."""
        content = call.content()
        headers = self._headers(call)
        deadline = time.monotonic() + self.configuration.total_timeout + call.wait
        tries, may_be_done = 0, False
        while True:
            tries += 1
            left = deadline - time.monotonic()
            try:
                answer = await self._try(call, content, headers, left)
            except httpx.TransportError as failure:
                left = deadline - time.monotonic()
                pause = self._policy.pause_after_failure(call, failure, tries=tries, left=left)
                if pause is None:
                    raise self._failed(call, failure, tries) from failure
                may_be_done = True
            else:
                if answer.status < 400 or answer.status in call.accepted:
                    return call.read(answer)
                if answer.status == 404 and call.method == "DELETE" and may_be_done:
                    return call.read(answer)  # an earlier try has deleted it, only its answer was lost
                left = deadline - time.monotonic()
                pause = self._policy.pause_after_answer(call, answer, tries=tries, left=left)
                if pause is None:
                    raise answer.error()
                may_be_done = may_be_done or answer.status >= 500
            await sleep(pause)

    @asynccontextmanager
    async def stream(self, call: Call[T], quiet: float) -> AsyncIterator[httpx.Response]:
        """An answer that goes on; more than `quiet` seconds without a byte are a failure.

        Raises httpx.TransportError as it is, and ApiError.
        """
        timeout = httpx.Timeout(self.configuration.timeout, read=quiet)
        request = self._http.build_request(
            call.method, self.configuration.address + call.target, headers=self._headers(call), timeout=timeout
        )
        handler = interception.current()
        response = await self._http.send(request, stream=True) if handler is None else handler(request)
        try:
            if response.status_code >= 400:
                raise _answer(response, await response.aread()).error()
            yield response
        finally:
            await response.aclose()

    async def _try(self, call: Call[T], content: bytes | None, headers: Mapping[str, str], left: float) -> Answer:
        """One try. Raises httpx.TransportError."""
        waiting = time.monotonic()
        async with self._gate.place(left):  # to wait for a place is not the server's fault: it has its full time then
            left -= time.monotonic() - waiting
            longest = max(min(self.configuration.timeout + call.wait, left), 0.001)
            request = self._http.build_request(
                call.method, self.configuration.address + call.target, content=content, headers=headers, timeout=longest
            )
            handler = interception.current()
            response = await self._http.send(request) if handler is None else handler(request)
        return _answer(response, response.content)

    def _headers(self, call: Call[T]) -> dict[str, str]:
        """All tries have the same, so that a dispatch which is sent again is carried out once."""
        headers = {**self.configuration.headers, **call.headers}
        if call.body is not None:
            headers["Content-Type"] = "application/json"
        if call.keyed and "idempotency_key" not in (call.body or {}):
            headers["Idempotency-Key"] = str(uuid.uuid4())
        return headers

    def _failed(self, call: Call[T], failure: httpx.TransportError, tries: int) -> ConnectionFailed:
        what = f"{call.method} {self.configuration.address}{call.path}"
        told = f"{type(failure).__name__}: {failure}" if str(failure) else type(failure).__name__
        kind = TimedOut if isinstance(failure, httpx.TimeoutException) else ConnectionFailed
        times = "once" if tries == 1 else f"{tries} times"
        return kind(f"{what}, tried {times}: {told} – {kind.advice}")


def _answer(response: httpx.Response, content: bytes) -> Answer:
    headers = {name.lower(): value for name, value in response.headers.items()}
    return Answer(status=response.status_code, headers=headers, content=content)
