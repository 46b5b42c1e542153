"""A receiver for the demo's jobs: it answers what it was sent, slowly or unwillingly if asked to.

`/say` answers at once; `/slow` after three seconds; `/flaky` answers 503 twice and then works,
counted per `Idempotency-Key`, so that retries can be watched. One thread serves them all: a burst
of a thousand calls costs a thousand open connections, nothing more.
"""

from __future__ import annotations

import asyncio
import json
import socket
import threading
from collections import OrderedDict
from typing import Any

from aiohttp import web

from ductape_jobs.up.console import Console

SLOW_SECONDS = 3.0
FLAKY_FAILURES = 2
MOST_REMEMBERED = 1000
LONGEST_BODY = 10 * 1024 * 1024
BACKLOG = 1024  # connections that wait to be accepted: a worker opens hundreds at the same moment
KEEP_ALIVE_SECONDS = 75.0
STOP_SECONDS = 5.0


class Echo:
    """The receiver, in a thread, on a free loopback port near the wanted one."""

    def __init__(self, console: Console, wanted_port: int) -> None:
        self._console = console
        self._failures: OrderedDict[str, int] = OrderedDict()
        self._socket = _listening(wanted_port)
        self._loop = asyncio.new_event_loop()
        self._told_to_stop = asyncio.Event()
        self._thread = threading.Thread(target=self._run, name="echo", daemon=True)
        self.url = f"http://127.0.0.1:{self._socket.getsockname()[1]}"

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Hang up on everybody."""
        self._loop.call_soon_threadsafe(self._told_to_stop.set)
        self._thread.join(STOP_SECONDS)

    def _run(self) -> None:
        try:
            self._loop.run_until_complete(self._serve_until_told())
        finally:
            self._loop.close()

    async def _serve_until_told(self) -> None:
        application = web.Application(client_max_size=LONGEST_BODY)
        application.router.add_route("*", "/{path:.*}", self._serve)
        runner = web.AppRunner(
            application, access_log=None, keepalive_timeout=KEEP_ALIVE_SECONDS, shutdown_timeout=0, handle_signals=False
        )
        await runner.setup()
        try:
            await web.SockSite(runner, self._socket, backlog=BACKLOG).start()
            await self._told_to_stop.wait()
        finally:
            await runner.cleanup()

    async def _serve(self, request: web.Request) -> web.Response:
        body = (await request.read()).decode("utf-8", "replace")
        try:
            shown: Any = json.loads(body)
        except ValueError:
            shown = body
        if request.path == "/slow":
            await asyncio.sleep(SLOW_SECONDS)
        sent = {"method": request.method, "path": request.path_qs, "body": shown}
        status, answer = self._answer(request.path, request.headers.get("Idempotency-Key", ""), sent)
        said = f"{request.method} {request.path_qs}"
        if request.transport is None:  # its job was cancelled or timed out meanwhile
            self._console.line("echo", f"{said}: the caller hung up")
        else:
            self._console.line("echo", f"{said} {body[:200]} → {status}")
        return web.json_response(answer, status=status)

    def _answer(self, path: str, key: str, sent: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        if path == "/flaky":
            failures = self._failures.get(key, 0)
            if failures < FLAKY_FAILURES:
                self._failures[key] = failures + 1
                while len(self._failures) > MOST_REMEMBERED:
                    self._failures.popitem(last=False)
                return 503, {"error": f"not now ({failures + 1} of {FLAKY_FAILURES})"}
            self._failures.pop(key, None)
        return 200, {"you_sent": sent}


def _listening(wanted_port: int) -> socket.socket:
    """Callers are let in from now on, and answered once the thread runs."""
    try:
        return socket.create_server(("127.0.0.1", wanted_port if wanted_port < 65536 else 0), backlog=BACKLOG)
    except OSError:
        return socket.create_server(("127.0.0.1", 0), backlog=BACKLOG)
