"""A thread of the API stays with its client while nobody else waits for one."""

from __future__ import annotations

import os
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from gunicorn.config import Config
from gunicorn.workers.gthread import TConn

from ductape_jobs import serving
from ductape_jobs.serving import ALWAYS_FREE, Log, Worker
from jobs.operations.streaming import Streams

REQUEST = b"GET / HTTP/1.1\r\nHost: here\r\n\r\n"
THREADS = ALWAYS_FREE + 1


def _application(environ: dict[str, Any], start: Callable[..., Any]) -> list[bytes]:
    start("200 OK", [("Content-Length", "2")])
    return [b"ok"]


@pytest.fixture
def worker(monkeypatch: pytest.MonkeyPatch) -> Iterator[Worker]:
    """A worker that is not running: a test is its main thread."""
    monkeypatch.setattr(serving, "STAY_MILLISECONDS", 0)
    config = Config()
    config.set("threads", THREADS)
    made = Worker(0, os.getppid(), [], None, 30, config, Log(config))
    made.wsgi = _application
    yield made
    made.tmp.close()


@pytest.fixture
def client() -> Iterator[Callable[[Worker], tuple[socket.socket, TConn]]]:
    """Connects to a worker, which has got the connection but no thread for it yet."""
    opened: list[socket.socket] = []

    def connect(worker: Worker) -> tuple[socket.socket, TConn]:
        ours, theirs = socket.socketpair()
        opened.extend((ours, theirs))
        ours.settimeout(10)
        worker._waiting += 1
        return ours, TConn(worker.cfg, theirs, ("127.0.0.1", 1), ("127.0.0.1", 8000))

    yield connect
    for each in opened:
        each.close()


def answers(client: socket.socket) -> int:
    """How many answers have come."""
    client.setblocking(False)
    try:
        return client.recv(65536).count(b"HTTP/1.1 200 OK")
    except BlockingIOError:
        return 0


def test_what_a_client_sends_next_is_answered_by_the_same_thread(worker: Worker, client: Any) -> None:
    ours, conn = client(worker)
    ours.sendall(REQUEST)
    worker.wsgi = _sends_once_more(ours)
    assert worker.handle(conn) is True  # kept, and silent
    assert answers(ours) == 2
    assert (worker._waiting, worker._staying) == (0, 0)


def test_requests_sent_at_once_are_answered_in_turn(worker: Worker, client: Any) -> None:
    ours, conn = client(worker)
    ours.sendall(REQUEST * 3)
    assert worker.handle(conn) is True
    assert answers(ours) == 3


def test_a_thread_goes_to_whoever_waits_for_one(worker: Worker, client: Any) -> None:
    ours, conn = client(worker)
    client(worker)
    ours.sendall(REQUEST)
    worker.wsgi = _sends_once_more(ours)
    assert worker.handle(conn) is True
    assert answers(ours) == 1


def test_some_threads_stay_with_no_client(worker: Worker, client: Any) -> None:
    ours, conn = client(worker)
    worker._staying = THREADS - ALWAYS_FREE
    ours.sendall(REQUEST)
    worker.wsgi = _sends_once_more(ours)
    assert worker.handle(conn) is True
    assert answers(ours) == 1


def test_a_worker_that_ends_stays_with_nobody(worker: Worker, client: Any) -> None:
    ours, conn = client(worker)

    def ends(environ: dict[str, Any], start: Callable[..., Any]) -> list[bytes]:
        worker.alive = False
        ours.sendall(REQUEST)
        return _application(environ, start)

    worker.wsgi = ends
    ours.sendall(REQUEST)
    worker.handle(conn)
    assert answers(ours) == 1


def test_a_worker_that_is_told_to_end_ends_its_streams(worker: Worker, monkeypatch: pytest.MonkeyPatch) -> None:
    opened = Streams()
    monkeypatch.setattr(serving, "streams", opened)
    worker.method_queue.init()
    worker.handle_exit(signal.SIGTERM, None)
    worker.method_queue.close()
    assert (worker.alive, opened.closing.is_set()) == (False, True)


def test_a_client_that_hangs_up_is_noticed(worker: Worker, client: Any) -> None:
    ours, conn = client(worker)
    ours.sendall(REQUEST)
    ours.shutdown(socket.SHUT_WR)
    assert worker.handle(conn) is False
    assert worker._staying == 0


def test_a_thread_waits_a_moment_for_what_comes_next(
    worker: Worker, client: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(serving, "STAY_MILLISECONDS", 10_000)
    ours, conn = client(worker)
    ours.sendall(REQUEST)
    done = threading.Thread(target=worker.handle, args=(conn,))
    done.start()
    assert ours.recv(65536)
    ours.sendall(REQUEST)
    ours.shutdown(socket.SHUT_WR)
    done.join(10)
    assert not done.is_alive()


def _sends_once_more(client: socket.socket) -> Callable[..., list[bytes]]:
    """An application during whose first answer the client sends its next request."""
    left = [REQUEST]

    def answer(environ: dict[str, Any], start: Callable[..., Any]) -> list[bytes]:
        if left:
            client.sendall(left.pop())
        return _application(environ, start)

    return answer
