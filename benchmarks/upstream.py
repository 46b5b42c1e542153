"""The upstream of the HTTP rows: answers every request with 200 and a small JSON object, at once or later:
when the request was there.

`python -m benchmarks.upstream PORT DELAY_SECONDS`: one process, one loop. It does no more with a request
than find its end, so that what calls it is measured and not this.
"""

from __future__ import annotations

import asyncio
import socket
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import uvloop

from tests.servers.local import ROOT, free_port, process, wait_until

_ANSWER = b'HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 25\r\n\r\n{"at": %017.6f}'


class _Connection(asyncio.Protocol):
    def __init__(self, delay: float) -> None:
        self._delay = delay
        self._buffer = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport: asyncio.WriteTransport = transport  # type: ignore[assignment]  # uvloop's own class

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        while (end := self._buffer.find(b"\r\n\r\n")) >= 0:
            head = self._buffer[:end].lower()
            found = head.find(b"content-length:")
            length = int(head[found + 15 :].split(b"\r\n", 1)[0]) if found >= 0 else 0
            if len(self._buffer) < end + 4 + length:
                return
            self._buffer = self._buffer[end + 4 + length :]
            at = time.time()
            if self._delay:
                asyncio.get_running_loop().call_later(self._delay, self._answer, at)
            else:
                self._answer(at)

    def _answer(self, at: float) -> None:
        if not self._transport.is_closing():
            self._transport.write(_ANSWER % at)


@contextmanager
def upstream(folder: Path, *, delay: float = 0.0) -> Iterator[str]:
    """The upstream as a process of its own; its URL."""
    port = free_port()
    command = [sys.executable, "-m", "benchmarks.upstream", str(port), str(delay)]
    with process(command, log=folder / "upstream.log", cwd=ROOT):
        wait_until(lambda: _listens(port), "the upstream listens")
        yield f"http://127.0.0.1:{port}"


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


async def _serve(port: int, delay: float) -> None:
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: _Connection(delay), "127.0.0.1", port, backlog=4096)
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(_serve(int(sys.argv[1]), float(sys.argv[2])))
