"""The API and the admin under gunicorn, configured here instead of in a file.

The application is loaded once, before gunicorn forks: the processes that serve share its memory
and are ready at once. Nothing that must not cross a fork (a connection, a thread) is opened
while it loads; what the parent may have opened is closed before.
"""

from __future__ import annotations

import gc
import os
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.handlers.wsgi import WSGIHandler
from django.db import connections
from gunicorn.app.base import BaseApplication
from gunicorn.glogging import Logger

SHARED_MEMORY = Path("/dev/shm")  # noqa: S108 - where heartbeats cost no disk; nothing secret is written


class Log(Logger):
    """Gunicorn's own lines in the form of all others: through the root logger, in text or JSON."""

    def setup(self, cfg: Any) -> None:
        super().setup(cfg)
        self.error_log.handlers.clear()
        self.error_log.propagate = True


class Server(BaseApplication):
    """Gunicorn's application object for this project."""

    def load_config(self) -> None:
        options: dict[str, Any] = {
            "bind": f"{settings.HOST}:{settings.PORT}",
            "worker_class": "gthread",
            "workers": settings.API_PROCESSES,
            "threads": settings.API_THREADS,
            # A call may wait a minute (`?wait=`); the worker itself answers gunicorn all the while.
            "timeout": 90,
            "graceful_timeout": settings.API_DRAIN_SECONDS,
            "keepalive": 65,  # longer than the usual proxy's, so that it is the proxy who hangs up
            "preload_app": True,
            "control_socket_disable": True,  # else gunicorn opens one in the home folder
            "worker_tmp_dir": str(SHARED_MEMORY) if os.access(SHARED_MEMORY, os.W_OK) else None,
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
