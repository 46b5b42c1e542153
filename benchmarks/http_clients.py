"""HTTP clients beside `core.http`, one process, against the same upstream: `python -m benchmarks.http_clients`.

Prints requests a second and the CPU time of a request, and whether a cancelled request closes its connection.
Clients that are not installed are left out: `pip install pyreqwest` adds one. docs/decisions/http-client.md
says what was made of it.
"""

from __future__ import annotations

import argparse
import asyncio
import importlib.util
import json
import os
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import uvloop

from benchmarks.measure import number
from benchmarks.upstream import upstream
from tests.servers.receiver import Answer, Receiver

BODY = json.dumps({"userId": "user_123", "email": "a@example.com"}).encode()
HEADERS = {
    "content-type": "application/json", "authorization": "Bearer a-token-of-some-length", "x-attempt": "1",
    "idempotency-key": "job_01kb0000000000000000000000:1", "x-job-id": "job_01kb0000000000000000000000",
    "x-scheduled-for": "1767323045000",
}  # fmt: skip
TIMEOUT = 30.0

Post = Callable[[str], Awaitable[None]]


@asynccontextmanager
async def guarded() -> AsyncIterator[Post]:
    """core.http, all its guards on."""
    from core import http

    async def post(url: str) -> None:
        await http.send(http.HttpRequest(method="POST", url=url, headers=HEADERS, body=BODY, timeout=TIMEOUT))

    yield post
    await http.close()


@asynccontextmanager
async def bare_aiohttp() -> AsyncIterator[Post]:
    """aiohttp without a guard: what core.http costs is the difference."""
    import aiohttp

    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:

        async def post(url: str) -> None:
            async with session.post(url, data=BODY, headers=HEADERS) as answer:
                await answer.read()

        yield post


@asynccontextmanager
async def pyreqwest() -> AsyncIterator[Post]:
    """pyreqwest as it would have to be used: nothing unpacked or followed, the answer read piece by piece."""
    from pyreqwest.client import ClientBuilder  # type: ignore[import-not-found,unused-ignore]  # installed by hand

    builder = ClientBuilder().follow_redirects(False).no_proxy()
    async with builder.gzip(False).deflate(False).brotli(False).zstd(False).build() as client:

        async def post(url: str) -> None:
            async with asyncio.timeout(TIMEOUT):
                async with client.post(url).headers(HEADERS).body_bytes(BODY).build_streamed() as answer:
                    await answer.body_reader.read(1024 * 1024)

        yield post


CLIENTS = {"core.http (aiohttp, guarded)": guarded, "aiohttp, bare": bare_aiohttp, "pyreqwest": pyreqwest}


async def rate(post: Post, url: str, requests: int, at_once: int) -> tuple[float, float]:
    """(requests a second, µs of CPU time a request)."""
    left = iter(range(requests))

    async def sender() -> None:
        for _ in left:
            await post(url)

    began, cpu = time.perf_counter(), time.process_time()
    await asyncio.gather(*(sender() for _ in range(at_once)))
    return requests / (time.perf_counter() - began), 1e6 * (time.process_time() - cpu) / requests


async def closes_when_cancelled(post: Post) -> bool:
    """Whether the other side sees the connection close within two seconds of a cancel."""
    with Receiver() as receiver:
        receiver.answer("/", Answer(hang=True))
        request = asyncio.ensure_future(post(receiver.url + "/"))
        while not receiver.requests:
            await asyncio.sleep(0.01)
        request.cancel()
        await asyncio.gather(request, return_exceptions=True)
        until = time.monotonic() + 2
        while receiver.open_connections and time.monotonic() < until:
            await asyncio.sleep(0.01)
        return not receiver.open_connections


async def measure(name: str, url: str, requests: int, at_once: int) -> None:
    async with CLIENTS[name]() as post:
        await rate(post, url, at_once * 5, at_once)
        per_second, cpu = await rate(post, url, requests, at_once)
        closes = await closes_when_cancelled(post)
    cancelled = "closes" if closes else "LEAVES OPEN"
    print(
        f"{name:30} {number(per_second):>8} requests/s {cpu:6.0f} µs CPU   a cancelled request {cancelled} its connection"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--requests", type=int, default=20_000)
    parser.add_argument("--at-once", type=int, default=100)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="bench-") as name:
        os.environ.setdefault("DATA_DIR", name)
        os.environ.setdefault("DJANGO_SETTINGS_MODULE", "ductape_jobs.settings")
        import django

        django.setup()
        with upstream(Path(name)) as url:
            for client in CLIENTS:
                if client == "pyreqwest" and importlib.util.find_spec("pyreqwest") is None:
                    print(f"{client:30} is not installed")
                    continue
                uvloop.run(measure(client, f"{url}/users/user_123/welcome", arguments.requests, arguments.at_once))


if __name__ == "__main__":
    main()
