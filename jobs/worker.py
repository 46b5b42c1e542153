"""The Celery bootstep that starts, wakes, drains and stops the run loop of a worker process.

Celery's part is the process: remote control, signals, the connection to the broker. The loop runs
in a thread beside it, so that it goes on when the broker is away, and Celery goes on answering
when the loop is busy.
"""

from __future__ import annotations

import json
import logging
import os
import threading
import time
from typing import Any

from celery import bootsteps
from celery.signals import worker_shutting_down
from django.conf import settings

from jobs import extensions, notices
from jobs.runner import Runner

logger = logging.getLogger(__name__)

EXIT_SECONDS = 29.0  # a drain takes up to 25 s, recording what is left a moment more
EXIT_FAILED = 70  # EX_SOFTWARE

_runner: Runner | None = None


def ring(queue: str) -> None:
    """A wake-up arrived in this process."""
    if _runner is not None:
        _runner.ring(queue)


class RunLoop(bootsteps.StartStopStep):
    """Starts with the worker, before it has reached a broker."""

    requires = ("celery.worker.components:Pool",)

    def __init__(self, worker: Any, **kwargs: Any) -> None:
        super().__init__(worker, **kwargs)
        isolated = frozenset(settings.ISOLATED_QUEUES)
        crews = {queue: make for queue, make in extensions.crews().items() if queue in settings.QUEUES}
        room = {
            queue: settings.ISOLATED_CONCURRENCY if queue in isolated else settings.CONCURRENCY
            for queue in settings.QUEUES
            if queue not in crews
        }
        self._runner = Runner(room, isolated=isolated, crews=crews)
        self._thread = threading.Thread(target=self._serve, name="run-loop", daemon=True)
        self._ending = False
        self._ear = notices.Ear(notices.STOPPED, lambda text: self._runner.stop_runs(set(json.loads(text))))

    def start(self, worker: Any) -> None:
        global _runner
        _runner = self._runner
        worker_shutting_down.connect(self._drain, weak=False)
        self._thread.start()
        self._ear.start()

    def _serve(self) -> None:
        """The run loop. A worker without one would look alive and do nothing: then the process ends."""
        try:
            self._runner.serve()
        except BaseException:
            logger.critical("the run loop has failed: exiting, its runs will be taken back", exc_info=True)
            _exit()

    def _drain(self, **_: Any) -> None:
        """On SIGTERM, at once: Celery itself gets to `stop` only after its own business."""
        if not self._ending:
            self._ending = True
            threading.Thread(target=_end_in_time, name="last-resort", daemon=True).start()
        self._runner.drain()

    def stop(self, worker: Any) -> None:
        self._drain()
        self._thread.join()
        self._ear.close()

    terminate = stop


def _end_in_time() -> None:
    """End the process whatever hangs: a database that does not answer holds the threads that ask it."""
    time.sleep(EXIT_SECONDS)
    logger.error("the worker did not end in %d s: exiting, its runs will be taken back", EXIT_SECONDS)
    _exit()


def _exit() -> None:
    logging.shutdown()
    os._exit(EXIT_FAILED)
