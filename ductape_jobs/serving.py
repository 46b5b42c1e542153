"""The API and the admin under gunicorn, configured here instead of in a file.

The application is loaded once, before gunicorn forks: the processes that serve share its memory
and are ready at once. Nothing that must not cross a fork (a connection, a thread) is opened
while it loads; what the parent may have opened is closed before.
"""

from __future__ import annotations

import gc
import os
import select
import threading
from pathlib import Path
from types import FrameType
from typing import Any

from django.conf import settings
from django.core.handlers.wsgi import WSGIHandler
from django.db import connections
from gunicorn import util
from gunicorn.app.base import BaseApplication
from gunicorn.glogging import Logger
from gunicorn.workers.gthread import TConn, ThreadWorker

from ductape_jobs import refusals
from jobs.operations.streaming import streams

SHARED_MEMORY = Path("/dev/shm")  # noqa: S108 - where heartbeats cost no disk; nothing secret is written

STAY_MILLISECONDS = 5  # a busy client's next request comes sooner; nobody else waits much longer for a thread
ALWAYS_FREE = 2  # threads that stay with no client


class Log(Logger):
    """Gunicorn's own lines in the form of all others: through the root logger, in text or JSON."""

    def setup(self, cfg: Any) -> None:
        super().setup(cfg)
        self.error_log.handlers.clear()
        self.error_log.propagate = True


class Worker(ThreadWorker):
    """Threads that stay for a moment with the client they have just answered.

    Gunicorn's own hand every connection back to the process's main thread after each request, which
    watches it and gives it out again. Under load that is a third of all that Python does here, and each
    way is a change of threads. So a thread looks for its client's next request itself, as long as no
    other client waits for a thread.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._counting = threading.Lock()
        self._waiting = 0  # connections given to the threads that no thread has taken yet
        self._staying = 0  # threads that look for their client's next request

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Begin to stop, as gunicorn's own; streams, which end by nothing else, end too."""
        super().handle_exit(sig, frame)
        streams.close()

    def handle_error(self, req: Any, client: Any, addr: Any, exc: BaseException) -> None:
        """Tell the client what is wrong with a request that Django never saw; gunicorn's own tells it in HTML."""
        refused = refusals.refusal(exc)
        if refused is None:
            super().handle_error(req, client, addr, exc)
            return
        self.log.warning("a request from %s was refused: %s", (addr or ("",))[0], exc)
        try:
            util.write_nonblock(client, refusals.answer(refused))
        except OSError:
            self.log.debug("nobody waits for the answer to a refused request")

    def enqueue_req(self, conn: TConn) -> None:
        with self._counting:
            self._waiting += 1
        super().enqueue_req(conn)

    def handle(self, conn: TConn) -> Any:
        """Answer requests of a connection until it falls silent, ends, or others wait. What gunicorn's own returns."""
        with self._counting:
            self._waiting -= 1
        result = super().handle(conn)
        while result is True and self._next_has_come(conn):
            result = super().handle(conn)
        return result

    def _next_has_come(self, conn: TConn) -> bool:
        """Whether this thread is to answer the next request, too; waits for it for a moment."""
        with self._counting:
            if not self.alive or self._waiting or self._staying >= self.cfg.threads - ALWAYS_FREE:
                return False
            self._staying += 1
        try:
            if conn.parser.unreader.buf.getvalue():
                return True
            poll = select.poll()
            poll.register(conn.sock, select.POLLIN)
            return bool(poll.poll(STAY_MILLISECONDS))
        finally:
            with self._counting:
                self._staying -= 1


class Server(BaseApplication):
    """Gunicorn's application object for this project."""

    def load_config(self) -> None:
        options: dict[str, Any] = {
            "bind": f"{settings.HOST}:{settings.PORT}",
            "worker_class": Worker,
            "workers": settings.API_PROCESSES,
            "threads": settings.API_THREADS,
            # A call may wait a minute (`?wait=`); the worker itself answers gunicorn all the while.
            "timeout": 90,
            "graceful_timeout": settings.API_DRAIN_SECONDS,
            "keepalive": 65,  # longer than the usual proxy's, so that it is the proxy who hangs up
            "preload_app": True,
            "control_socket_disable": True,  # else gunicorn opens one in the home folder
            "worker_tmp_dir": str(SHARED_MEMORY) if os.access(SHARED_MEMORY, os.W_OK) else None,
            "limit_request_line": refusals.LONGEST_LINE,
            "logger_class": Log,
            "proc_name": "ductape-api",
        }
        for name, value in options.items():
            self.cfg.set(name, value)

    def load(self) -> WSGIHandler:
        """The WSGI application, its URLs and everything behind them loaded."""
        from django.urls import get_resolver

        from ductape_jobs.wsgi import application

        _ = get_resolver().url_patterns
        connections.close_all()
        gc.collect()
        gc.freeze()  # what is loaded stays shared between the processes: the collector never writes to it
        return application
