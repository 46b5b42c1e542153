"""What a call of the Python client costs beside bare httpx and requests:
`PYTHONPATH=clients/python/src python -m benchmarks.client_overhead`.

One dispatch after the other over a kept connection, by each in turn, to a server in a process of its own that knows one
answer; then a thousand at once over one asynchronous client. Prints µs of wall and of CPU time a call, and ratios.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import httpx
import requests
import uvloop

from benchmarks.measure import number
from ductape import AsyncDuctape, Ductape
from tests.servers.local import ROOT, free_port, process, wait_until

KEY = "a-key-of-at-least-thirty-two-characters"
INPUT = {"userId": "user_123", "email": "a@example.com"}
BODY = {"product": "shop", "env": "prd", "app": "mail", "event": "send", "input": INPUT}
RESULT = {
    "job_id": "job_01kb0000000000000000000000",
    "status": "queued",
    "scheduled_at": 1_767_323_045_000,
    "recurring": False,
}
AT_ONCE = 1_000


class _Answering(asyncio.Protocol):
    """Finds the end of each request, and answers a dispatch."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport: asyncio.WriteTransport = transport  # type: ignore[assignment]  # uvloop's own class
        self._buffer = b""
        body = json.dumps(RESULT).encode()
        head = f"HTTP/1.1 201 Created\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
        self._answer = head.encode() + body

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        while (end := self._buffer.find(b"\r\n\r\n")) >= 0:
            head = self._buffer[:end].lower()
            found = head.find(b"content-length:")
            length = int(head[found + 15 :].split(b"\r\n", 1)[0]) if found >= 0 else 0
            if len(self._buffer) < end + 4 + length:
                return
            self._buffer = self._buffer[end + 4 + length :]
            self._transport.write(self._answer)


async def _serve(port: int) -> None:
    server = await asyncio.get_running_loop().create_server(_Answering, "127.0.0.1", port)
    await server.serve_forever()


def measure(call: Callable[[], object], calls: int) -> tuple[float, float]:
    """(µs of wall time, µs of CPU time) of one call."""
    for _ in range(50):
        call()
    began, cpu = time.perf_counter(), time.process_time()
    for _ in range(calls):
        call()
    return 1e6 * (time.perf_counter() - began) / calls, 1e6 * (time.process_time() - cpu) / calls


async def at_once(url: str) -> tuple[float, float]:
    """(seconds, seconds of CPU time) of AT_ONCE dispatches at once over one client; any error ends it."""
    async with AsyncDuctape(url, KEY, product="shop", env="prd") as client:
        await client.actions.dispatch(app="mail", event="send", input=INPUT)
        began, cpu = time.perf_counter(), time.process_time()
        calls = [client.actions.dispatch(app="mail", event="send", input=INPUT) for _ in range(AT_ONCE)]
        await asyncio.gather(*calls)
        return time.perf_counter() - began, time.process_time() - cpu


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.client_overhead")
    parser.add_argument("--calls", type=int, default=2_000)
    parser.add_argument("--repetitions", type=int, default=5)
    options = parser.parse_args()
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    path = f"{url}/v1/actions/dispatch"
    headers = {"Authorization": f"Bearer {KEY}"}
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        command = [sys.executable, "-m", "benchmarks.client_overhead", "serve", str(port)]
        with process(command, log=Path(folder) / "server.log", cwd=ROOT):
            wait_until(lambda: _listens(url), "the server answers")
            with (
                httpx.Client() as bare,
                requests.Session() as session,
                Ductape(url, KEY, product="shop", env="prd") as own,
            ):
                session.trust_env = False
                calls: dict[str, Callable[[], object]] = {
                    "httpx": lambda: bare.post(path, json=BODY, headers=headers).json(),
                    "requests": lambda: session.post(path, json=BODY, headers=headers).json(),
                    "ductape": lambda: own.actions.dispatch(app="mail", event="send", input=INPUT),
                }
                found: dict[str, list[tuple[float, float]]] = {who: [] for who in calls}
                for _ in range(options.repetitions):
                    for who, call in calls.items():
                        found[who].append(measure(call, options.calls))
            many = [asyncio.run(at_once(url)) for _ in range(options.repetitions)]
    medians = {who: tuple(map(statistics.median, zip(*some, strict=True))) for who, some in found.items()}
    for who, (wall, cpu) in medians.items():
        ratio = cpu / medians["httpx"][1]
        print(f"{who:10} {number(wall):>8} µs a call, {number(cpu):>8} µs of CPU time: {ratio:.2f} × httpx")
    seconds, cpu = map(statistics.median, zip(*many, strict=True))
    print(f"{AT_ONCE} at once over one AsyncDuctape: {seconds:.2f} s, {cpu:.2f} s of CPU time, no error")
    return 0


def _listens(url: str) -> bool:
    try:
        return requests.post(url, timeout=2).status_code == 201
    except requests.ConnectionError:
        return False


if __name__ == "__main__":
    if sys.argv[1:2] == ["serve"]:
        uvloop.run(_serve(int(sys.argv[2])))
        sys.exit(0)
    sys.exit(main())
