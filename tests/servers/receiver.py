"""A real HTTP receiver on a free loopback port: answers as told, and remembers what it was sent.

In a test:

    with Receiver() as receiver:
        receiver.answer("/pay", Answer(status=503), Answer(status=200))   # the last one repeats
        ... receiver.url + "/pay" ...
        assert [r.json()["amount"] for r in receiver.requests] == [5, 5]

As a process of its own (one JSON line per request, written before the answer):

    python -m tests.servers.receiver --port 9009 --log received.jsonl   # also who hung up before the answer

and then `POST /_answers {"path": "/pay", "answers": [{"status": 503}, {}]}`, `GET /_requests`,
`POST /_reset`. A path without answers gets 200 `{"ok": true}`. The receiver speaks HTTP/1.1 by
itself, so that it can break it: hang, drip, reset, hang up in the middle.
"""

from __future__ import annotations

import argparse
import asyncio
import html
import json
import os
import signal
import socket
import ssl
import struct
import sys
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any
from urllib.parse import urlencode

_REASONS = {200: "OK", 201: "Created", 204: "No Content", 302: "Found", 404: "Not Found", 429: "Too Many Requests"}


@dataclass(frozen=True, kw_only=True)
class Answer:
    """How to answer one request. Seconds; `body` may be text, bytes or a JSON value."""

    status: int = 200
    body: Any = None  # None: {"ok": true}
    headers: dict[str, str] = field(default_factory=dict)
    delay: float = 0.0  # before the answer
    drip: float = 0.0  # between one byte of the body and the next
    hang: bool = False  # never answer
    reset: bool = False  # reset the connection instead of answering
    cut: bool = False  # hang up after half of the body
    echo: bool = False  # the body is the request: method, path, headers, body
    written: str = "json"  # how that is written: one of ECHOES
    size: int = 0  # a body of that many bytes
    close: bool = False  # hang up after the answer
    garbage: bool = False  # answer something that is not HTTP

    def payload(self, request: Received) -> bytes:
        if self.echo:
            return ECHOES[self.written](request.as_dict())
        if self.size:
            return b"x" * self.size
        if self.body is None:
            return b'{"ok": true}'
        if isinstance(self.body, bytes):
            return self.body
        return self.body.encode() if isinstance(self.body, str) else json.dumps(self.body).encode()


@dataclass(frozen=True, kw_only=True)
class Received:
    """One request, as it arrived. `at` is Unix time in seconds; header names are in lower case."""

    number: int  # from 1
    at: float
    method: str
    path: str  # with the query
    headers: dict[str, str]
    body: bytes

    def json(self) -> Any:
        return json.loads(self.body)

    def as_dict(self) -> dict[str, Any]:
        body = self.body.decode("utf-8", "replace")
        return {
            "number": self.number,
            "at": self.at,
            "method": self.method,
            "path": self.path,
            "headers": self.headers,
            "body": body,
        }


class Receiver:
    """The server, in a thread with its own event loop. Every method is safe from any thread."""

    def __init__(
        self, *, port: int = 0, log: IO[str] | None = None, keep: int | None = None, tls: ssl.SSLContext | None = None
    ) -> None:
        self._port = port
        self._tls = tls
        self._log = log
        self.requests: deque[Received] = deque(maxlen=keep)
        self._answers: dict[str, list[Answer]] = {}
        self._count = 0
        self._changed = threading.Condition()
        self._ready = threading.Event()
        self._thread = threading.Thread(target=self._run, name="receiver", daemon=True)
        self._loop: asyncio.AbstractEventLoop
        self._stopping: asyncio.Event
        self.connections = 0  # opened so far
        self.open_connections: set[_Connection] = set()
        self.url = ""

    def __enter__(self) -> Receiver:
        self._thread.start()
        if not self._ready.wait(5) or not self.url:
            raise RuntimeError(f"the receiver did not start on port {self._port}")
        return self

    def __exit__(self, *exc: object) -> None:
        self._loop.call_soon_threadsafe(self._stopping.set)
        self._thread.join(5)

    def answer(self, path: str, *answers: Answer) -> None:
        """Answer requests to `path` (without the query) in this order; the last answer repeats."""
        self._answers[path] = list(answers)

    def reset(self) -> None:
        """Forget all answers and requests."""
        self._answers.clear()
        self.requests.clear()

    def wait_for(self, count: int, *, timeout: float = 5.0) -> list[Received]:
        """The requests, once there are at least `count`. AssertionError when the time is over."""
        with self._changed:
            if not self._changed.wait_for(lambda: len(self.requests) >= count, timeout):
                raise AssertionError(f"{len(self.requests)} of {count} requests came within {timeout} s")
            return list(self.requests)

    def _run(self) -> None:
        asyncio.run(self._serve())

    async def _serve(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._stopping = asyncio.Event()
        try:
            server = await self._loop.create_server(
                lambda: _Connection(self), "127.0.0.1", self._port, backlog=4096, ssl=self._tls
            )
        except OSError:
            self._ready.set()
            return
        scheme = "https" if self._tls is not None else "http"
        self.url = f"{scheme}://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        self._ready.set()
        await self._stopping.wait()
        server.close()
        for connection in list(self.open_connections):
            connection.abort()

    def _receive(self, method: str, path: str, headers: dict[str, str], body: bytes) -> tuple[Received, Answer]:
        self._count += 1
        request = Received(
            number=self._count, at=time.time(), method=method, path=path, headers=headers, body=body
        )  # fmt: skip
        bare = path.partition("?")[0]
        if bare.startswith("/_"):
            return request, self._control(bare, body)
        if self._log is not None:
            self._log.write(json.dumps(request.as_dict()) + "\n")
            self._log.flush()
        with self._changed:
            self.requests.append(request)
            self._changed.notify_all()
        answers = self._answers.get(bare)
        if not answers:
            return request, _OK
        return request, answers.pop(0) if len(answers) > 1 else answers[0]

    def _hung_up(self, request: Received) -> None:
        """The caller closed its connection before it had the answer."""
        if self._log is not None:
            self._log.write(json.dumps({"hung_up": request.number, "at": time.time()}) + "\n")
            self._log.flush()

    def _control(self, path: str, body: bytes) -> Answer:
        if path == "/_answers":
            told = json.loads(body)
            self.answer(told["path"], *[Answer(**answer) for answer in told["answers"]])
        elif path == "/_reset":
            self.reset()
        elif path == "/_requests":
            return Answer(body=[request.as_dict() for request in list(self.requests)])
        else:
            return Answer(status=404)
        return Answer()


class _Connection(asyncio.Protocol):
    """One connection: requests are read and answered in turn."""

    def __init__(self, receiver: Receiver) -> None:
        self._receiver = receiver
        self._buffer = b""
        self._task: asyncio.Task[None] | None = None
        self._waiting: Received  # the request that `_task` answers
        self._transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._receiver.connections += 1
        self._receiver.open_connections.add(self)

    def connection_lost(self, exc: Exception | None) -> None:
        self._receiver.open_connections.discard(self)
        if self._task is not None:
            self._receiver._hung_up(self._waiting)
            self._task.cancel()

    def abort(self) -> None:
        self._transport.abort()

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        if self._task is None:
            self._advance()

    def _advance(self) -> None:
        while self._task is None and (parsed := _parse(self._buffer)) is not None:
            method, path, headers, body, length = parsed
            self._buffer = self._buffer[length:]
            request, answer = self._receiver._receive(method, path, headers, body)
            if not (answer.delay or answer.drip or answer.hang or answer.reset or answer.cut):
                self._transport.write(_message(answer, answer.payload(request), method))
                if answer.close or answer.garbage:
                    self._transport.close()
                continue
            self._waiting = request
            self._task = asyncio.get_running_loop().create_task(self._slowly(request, answer))

    async def _slowly(self, request: Received, answer: Answer) -> None:
        await asyncio.sleep(answer.delay)
        if answer.hang:
            await asyncio.Event().wait()
        if answer.reset:
            connection: socket.socket = self._transport.get_extra_info("socket")
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self._transport.abort()
            return
        message = _message(answer, answer.payload(request), request.method)
        if answer.cut:
            self._transport.write(message[: -max(1, len(answer.payload(request)) // 2)])
            self._transport.close()
            return
        if answer.drip:
            head, gap, body = message.partition(b"\r\n\r\n")
            self._transport.write(head + gap)
            for position in range(len(body)):
                self._transport.write(body[position : position + 1])
                await asyncio.sleep(answer.drip)
        else:
            self._transport.write(message)
        self._task = None
        if answer.close:
            self._transport.close()
        self._advance()


_OK = Answer()


def _as_go_has_it(value: Any) -> bytes:
    text = json.dumps(value, ensure_ascii=False)
    return "".join(f"\\u{ord(sign):04x}" if sign in "<>&" else sign for sign in text).encode()


ECHOES: dict[str, Callable[[dict[str, Any]], bytes]] = {
    "json": lambda value: json.dumps(value).encode(),
    "php": lambda value: json.dumps(value).replace("/", "\\/").encode(),
    "go": _as_go_has_it,
    "escaped": lambda value: "".join(
        sign if sign not in "/&<>-+=" else f"\\u{ord(sign):04X}" for sign in json.dumps(value)
    ).encode(),
    "form": lambda value: urlencode(value).encode(),
    "html": lambda value: f"<pre>{html.escape(value['body'], quote=False)}</pre>".encode(),
    "bytes": lambda value: b"\x00\xff" + value["body"].encode(),
}
ECHO_TYPES = {
    "form": "application/x-www-form-urlencoded", "html": "text/html", "bytes": "application/octet-stream",
}  # fmt: skip


def _message(answer: Answer, body: bytes, method: str) -> bytes:
    if answer.garbage:
        return b"\x00\x01 this is not HTTP\r\n\r\n"
    lines = [f"HTTP/1.1 {answer.status} {_REASONS.get(answer.status, 'Status')}"]
    lines += [f"{name}: {value}" for name, value in answer.headers.items()]
    if not any(name.lower() == "content-type" for name in answer.headers):
        lines.append("Content-Type: application/json")
    if answer.status == 204:
        body = b""
    else:
        lines.append(f"Content-Length: {len(body)}")
    if answer.close:
        lines.append("Connection: close")
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1") + (b"" if method == "HEAD" else body)


def _parse(buffer: bytes) -> tuple[str, str, dict[str, str], bytes, int] | None:
    """The first whole request of the buffer and its length, or None while it is not complete."""
    end = buffer.find(b"\r\n\r\n")
    if end < 0:
        return None
    first, *lines = buffer[:end].decode("latin-1").split("\r\n")
    method, path, _ = first.split(" ", 2)
    headers = {name.strip().lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    start = end + 4
    if "chunked" in headers.get("transfer-encoding", ""):
        body = b""
        while True:
            line_end = buffer.find(b"\r\n", start)
            if line_end < 0:
                return None
            size = int(buffer[start:line_end].split(b";")[0], 16)
            start = line_end + 2
            if len(buffer) < start + size + 2:
                return None
            body += buffer[start : start + size]
            start += size + 2
            if size == 0:
                return method, path, headers, body, start
    length = int(headers.get("content-length", "0"))
    if len(buffer) < start + length:
        return None
    return method, path, headers, buffer[start : start + length], start + length


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.servers.receiver")
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--log", type=Path, help="append one JSON line per request")
    parser.add_argument("--keep", type=int, default=10_000, help="requests kept for /_requests")
    options = parser.parse_args()
    log = options.log.open("a", encoding="utf-8") if options.log else None
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    with Receiver(port=options.port, log=log, keep=options.keep) as receiver:
        sys.stdout.write(f"{receiver.url} pid {os.getpid()}\n")
        sys.stdout.flush()
        stop.wait()
    if log is not None:
        log.close()


if __name__ == "__main__":
    main()
