"""The scheduler process: django-celery-beat's DatabaseScheduler with our scheduler beside it.

Beat's own tick runs django-celery-beat's periodic tasks (maintenance, and what operators add in
the admin). Jobs are promoted by a thread of their own, started before beat connects to a broker,
so that promotion neither waits for Redis nor dies with it.
"""

from __future__ import annotations

import logging
import signal
from typing import Any

from celery.apps.beat import Beat
from celery.beat import Service
from django.db import Error as DatabaseError
from django.db import close_old_connections
from django_celery_beat.schedulers import DatabaseScheduler

from jobs.scheduler import SchedulerThread

logger = logging.getLogger(__name__)

RETRY_SECONDS = 5.0  # when beat's own tables or the broker cannot be reached


class JobBeat(Beat):
    """Celery's beat, which the first SIGTERM or SIGINT ends and no later one interrupts in that.

    Beat's own handler stops the scheduler (or makes one) from within the signal; a second signal in the
    middle of that would wait for a lock which the first one holds.
    """

    def install_sync_handler(self, service: Service) -> None:
        def end(*_: Any) -> None:
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
            signal.signal(signal.SIGINT, signal.SIG_IGN)
            raise SystemExit

        signal.signal(signal.SIGTERM, end)
        signal.signal(signal.SIGINT, end)


class JobScheduler(DatabaseScheduler):
    """`celery beat -S jobs.beat.JobScheduler`; any number of these may run at once."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self._jobs: SchedulerThread | None = None
        if not kwargs.get("lazy"):
            self._jobs = SchedulerThread()
            self._jobs.start()
        super().__init__(*args, **kwargs)

    def tick(self, *args: Any, **kwargs: Any) -> float:
        """Beat's own tick; a database or broker that is away delays it and ends nothing."""
        close_old_connections()
        try:
            return float(super().tick(*args, **kwargs))
        except (DatabaseError, OSError) as error:
            logger.warning("periodic tasks wait, trying again in %s s: %s", RETRY_SECONDS, error)
            return RETRY_SECONDS

    def setup_schedule(self) -> None:
        try:
            super().setup_schedule()
        except DatabaseError as error:
            logger.warning("periodic tasks cannot be read yet: %s", error)

    def close(self) -> None:
        if self._jobs is not None:
            self._jobs.stop()
        super().close()
