"""A receiver for the demo's jobs: it answers what it was sent, slowly or unwillingly if asked to.

`/say` answers at once; `/slow` after three seconds; `/flaky` answers 503 twice and then works,
counted per `Idempotency-Key`, so that retries can be watched.
"""

from __future__ import annotations

import json
import threading
import time
from collections import OrderedDict
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from ductape_jobs.up.console import Console

SLOW_SECONDS = 3.0
FLAKY_FAILURES = 2
MOST_REMEMBERED = 1000
LONGEST_BODY = 10 * 1024 * 1024


class Echo:
    """The receiver, in a thread, on a free loopback port near the wanted one."""

    def __init__(self, console: Console, wanted_port: int) -> None:
        self._console = console
        self._failures: OrderedDict[str, int] = OrderedDict()
        self._lock = threading.Lock()
        self._server = _bind(wanted_port, self._handler())
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"

    def start(self) -> None:
        threading.Thread(target=self._server.serve_forever, name="echo", daemon=True).start()

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def answer(self, path: str, key: str, sent: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        """Status and body for a request to `path`, after the time it takes."""
        if path == "/slow":
            time.sleep(SLOW_SECONDS)
        if path == "/flaky":
            with self._lock:
                failures = self._failures.get(key, 0)
                if failures < FLAKY_FAILURES:
                    self._failures[key] = failures + 1
                    while len(self._failures) > MOST_REMEMBERED:
                        self._failures.popitem(last=False)
                    return 503, {"error": f"not now ({failures + 1} of {FLAKY_FAILURES})"}
                self._failures.pop(key, None)
        return 200, {"you_sent": sent}

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        echo, console = self, self._console

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            timeout = 75

            def do_POST(self) -> None:
                length = int(self.headers.get("Content-Length") or 0)
                if length > LONGEST_BODY:
                    self.send_error(413)
                    return
                body = self.rfile.read(length).decode("utf-8", "replace")
                try:
                    shown: Any = json.loads(body)
                except ValueError:
                    shown = body
                path = self.path.partition("?")[0]
                sent = {"method": self.command, "path": self.path, "body": shown}
                status, answer = echo.answer(path, self.headers.get("Idempotency-Key", ""), sent)
                payload = json.dumps(answer).encode()
                try:
                    self.send_response(status)
                    self.send_header("Content-Type", "application/json")
                    self.send_header("Content-Length", str(len(payload)))
                    self.end_headers()
                    self.wfile.write(payload)
                except ConnectionError:  # its job was cancelled or timed out meanwhile
                    console.line("echo", f"{self.command} {self.path}: the caller hung up")
                    return
                console.line("echo", f"{self.command} {self.path} {body[:200]} → {status}")

            do_GET = do_PUT = do_PATCH = do_DELETE = do_POST  # noqa: N815 - the names that http.server calls

            def log_message(self, format: str, *args: Any) -> None:
                """Said above, in fewer words."""

        return Handler


def _bind(wanted_port: int, handler: type[BaseHTTPRequestHandler]) -> ThreadingHTTPServer:
    try:
        return ThreadingHTTPServer(("127.0.0.1", wanted_port), handler)
    except (OSError, OverflowError):
        return ThreadingHTTPServer(("127.0.0.1", 0), handler)
