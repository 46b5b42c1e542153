"""The scheduler process: django-celery-beat's DatabaseScheduler with our scheduler beside it.

Beat's own tick runs django-celery-beat's periodic tasks (maintenance, and what operators add in
the admin). Jobs are promoted by a thread of their own, started before beat connects to a broker,
so that promotion neither waits for Redis nor dies with it.

A signal only leaves a byte, which the main thread looks for between two ticks. Raised from within the
signal, SystemExit would be lost whenever it falls into a destructor or a callback (Python prints
"Exception ignored in" and goes on), and might leave the lock of an import held.
"""

from __future__ import annotations

import logging
import os
import select
import signal
import threading
import time
from typing import Any

from celery.apps.beat import Beat
from celery.beat import Service
from celery.exceptions import OperationalError
from django.db import Error as DatabaseError
from django.db import close_old_connections
from django_celery_beat.schedulers import DatabaseScheduler

from jobs.scheduler import SchedulerThread

logger = logging.getLogger(__name__)

RETRY_SECONDS = 5.0  # when beat's own tables or the broker cannot be reached
ENDING_SECONDS = 12.0  # after a signal: a main thread that hangs until then (in a connect, say) is given up
ALREADY_WAITED = 0.001  # what a tick answers: beat writes its schedule only after a pause

# Python's C code writes a byte for each signal, in whichever thread it arrives. Nobody reads them: once told,
# everybody who looks sees it.
_told_to_end, _tell_to_end = os.pipe()
os.set_blocking(_tell_to_end, False)


class JobBeat(Beat):
    """Celery's beat, which the first SIGTERM or SIGINT ends, wherever it is, and no later one interrupts in that."""

    def install_sync_handler(self, service: Service) -> None:
        threading.Thread(target=_give_up_a_main_thread_that_hangs, name="ending", daemon=True).start()
        signal.set_wakeup_fd(_tell_to_end, warn_on_full_buffer=False)
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: None)


class JobScheduler(DatabaseScheduler):
    """`celery beat -S jobs.beat.JobScheduler`; any number of these may run at once."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self._jobs: SchedulerThread | None = None
        if not kwargs.get("lazy"):
            self._jobs = SchedulerThread()
            self._jobs.start()
        super().__init__(*args, **kwargs)

    def tick(self, *args: Any, **kwargs: Any) -> float:
        """Beat's own tick and the pause after it; SystemExit when a signal came. A database or broker
        that is away delays it and ends nothing."""
        _end_if_told(within=0)
        _end_if_told(within=max(0.0, self._tick(*args, **kwargs)))  # just before a task is due, beat answers less
        return ALREADY_WAITED

    def setup_schedule(self) -> None:
        try:
            super().setup_schedule()
        except DatabaseError as error:
            logger.warning("periodic tasks cannot be read yet: %s", error)

    def close(self) -> None:
        if self._jobs is not None:
            self._jobs.stop()
        super().close()

    def _tick(self, *args: Any, **kwargs: Any) -> float:
        close_old_connections()
        try:
            _ = self.producer  # connected before a task is taken as due, which is else skipped without a broker
            return float(super().tick(*args, **kwargs) or 0.0)
        except (DatabaseError, OperationalError, OSError) as error:
            logger.warning("periodic tasks wait, trying again in %s s: %s", RETRY_SECONDS, error)
            return RETRY_SECONDS

    def _ensure_connected(self) -> Any:
        """One attempt: Celery's own hundred attempts are made within one tick, deaf to signals."""
        return self.connection.ensure_connection(max_retries=0)


def _end_if_told(*, within: float) -> None:
    """SystemExit as soon as a signal comes; else it returns after `within` seconds."""
    if _is_told_to_end(within):
        raise SystemExit


def _give_up_a_main_thread_that_hangs() -> None:
    """As good as a kill, which loses nothing: a batch in progress is rolled back, and due again elsewhere."""
    _is_told_to_end(None)
    time.sleep(ENDING_SECONDS)
    logger.warning("not ended %s s after the signal: given up", ENDING_SECONDS)
    os._exit(1)


def _is_told_to_end(within: float | None) -> bool:
    readable, _, _ = select.select([_told_to_end], [], [], within)
    return bool(readable)
