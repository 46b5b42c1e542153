"""What is not understood as HTTP is told as a problem, too, and the connection ends."""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Iterator

import pytest
from gunicorn.config import Config
from gunicorn.workers.gthread import TConn

from ductape_jobs.refusals import LONGEST_LINE
from ductape_jobs.serving import Log, Worker
from tests.documented import check_problem


@pytest.fixture
def worker() -> Iterator[Worker]:
    """A worker that is not running, and never comes to its application."""
    config = Config()
    config.set("limit_request_line", LONGEST_LINE)
    made = Worker(0, os.getppid(), [], None, 30, config, Log(config))
    yield made
    made.tmp.close()


def told(worker: Worker, request: bytes) -> tuple[int, dict[str, str], dict[str, object]]:
    """Status, headers and body of the answer to a request."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        ours.settimeout(10)
        ours.sendall(request)
        worker._waiting += 1
        assert worker.handle(TConn(worker.cfg, theirs, ("127.0.0.1", 1), ("127.0.0.1", 8000))) is not True
        head, _, body = ours.recv(100_000).partition(b"\r\n\r\n")
    first, *lines = head.decode().split("\r\n")
    headers = dict(line.split(": ", 1) for line in lines)
    assert headers["Content-Length"] == str(len(body))
    return int(first.split()[1]), headers, json.loads(body)


@pytest.mark.parametrize(
    ("request_sent", "status", "code"),
    [
        (b"GET /v1/jobs?q=" + b"x" * LONGEST_LINE + b" HTTP/1.1\r\nHost: here\r\n\r\n", 414, "uri_too_long"),
        (b"GET / HTTP/1.1\r\n" + b"X-A: a\r\n" * 150 + b"\r\n", 431, "headers_too_large"),
        (b"GET / HTTP/1.1\r\nX-A: " + b"a" * 9_000 + b"\r\n\r\n", 431, "headers_too_large"),
        (b"GET / HTTP/1.1\r\nno colon\r\n\r\n", 400, "malformed_request"),
        (b"nonsense\r\n\r\n", 400, "malformed_request"),
        (b"GET / HTTP/9.9\r\n\r\n", 400, "malformed_request"),
    ],
)
def test_what_is_not_understood_as_http_is_told_as_a_problem(
    worker: Worker, request_sent: bytes, status: int, code: str
) -> None:
    answered, headers, body = told(worker, request_sent)

    assert (answered, body["status"], body["code"]) == (status, status, code)
    assert headers["Content-Type"] == "application/problem+json"
    assert headers["Connection"] == "close"
    assert headers["X-Request-Id"] == body["request_id"] != ""
    check_problem(body)


def test_a_line_that_is_not_too_long_is_understood(worker: Worker) -> None:
    worker.wsgi = lambda environ, start: start("200 OK", [("Content-Length", "0")]) and []
    ours, theirs = socket.socketpair()
    with ours, theirs:
        ours.settimeout(10)
        ours.sendall(b"GET /v1/jobs?q=" + b"x" * (LONGEST_LINE - 100) + b" HTTP/1.1\r\nHost: here\r\n\r\n")
        worker._waiting += 1
        worker.handle(TConn(worker.cfg, theirs, ("127.0.0.1", 1), ("127.0.0.1", 8000)))
        assert ours.recv(1_000).startswith(b"HTTP/1.1 200 OK\r\n")
