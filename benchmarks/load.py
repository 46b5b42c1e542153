"""A load generator for the REST API: so many keep-alive connections, each sending one request after the other."""

from __future__ import annotations

import asyncio
import http.client
import json
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit


@dataclass(kw_only=True, slots=True)
class Answers:
    """What came back: how often each status, and how long each took in ms."""

    statuses: Counter[int] = field(default_factory=Counter)
    milliseconds: list[float] = field(default_factory=list)
    seconds: float = 0.0

    @property
    def per_second(self) -> float:
        return len(self.milliseconds) / self.seconds


def post(url: str, body: Mapping[str, Any], *, key: str, connections: int, seconds: float) -> Answers:
    """POST `body` over and over on each connection for that long."""
    return asyncio.run(_post(url, json.dumps(body).encode(), key, connections, seconds))


def get(url: str, *, key: str, times: int) -> Answers:
    """GET it so often on one connection, one after the other. RuntimeError for any answer but 200."""
    parts = urlsplit(url)
    answers = Answers()
    client = http.client.HTTPConnection(parts.hostname or "127.0.0.1", parts.port or 80, timeout=60)
    begin = time.perf_counter()
    for _ in range(times):
        at = time.perf_counter()
        client.request("GET", f"{parts.path}?{parts.query}", headers={"Authorization": f"Bearer {key}"})
        answer = client.getresponse()
        body = answer.read()
        answers.milliseconds.append((time.perf_counter() - at) * 1000)
        answers.statuses[answer.status] += 1
        if answer.status != 200:
            raise RuntimeError(f"GET {url}: {answer.status} {body.decode()[:500]}")
    answers.seconds = time.perf_counter() - begin
    client.close()
    return answers


async def _post(url: str, body: bytes, key: str, connections: int, seconds: float) -> Answers:
    parts = urlsplit(url)
    head = (
        f"POST {parts.path} HTTP/1.1\r\nHost: {parts.netloc}\r\nAuthorization: Bearer {key}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    answers = Answers()
    begin = time.perf_counter()
    end = begin + seconds
    request = head.encode() + body
    senders = [
        _send(parts.hostname or "127.0.0.1", parts.port or 80, request, end, answers) for _ in range(connections)
    ]
    await asyncio.gather(*senders)
    answers.seconds = time.perf_counter() - begin
    return answers


async def _send(host: str, port: int, request: bytes, end: float, answers: Answers) -> None:
    """Raw HTTP/1.1: a client library would take more of the two cores than the server it measures."""
    reader = writer = None
    while (at := time.perf_counter()) < end:
        if reader is None or writer is None:
            reader, writer = await asyncio.open_connection(host, port)
        writer.write(request)
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").lower()
        length = int(head.split("content-length:", 1)[1].split("\r\n", 1)[0])
        await reader.readexactly(length)
        answers.statuses[int(head.split(" ", 2)[1])] += 1
        answers.milliseconds.append((time.perf_counter() - at) * 1000)
        if "connection: close" in head:
            writer.close()
            reader = writer = None
    if writer is not None:
        writer.close()
