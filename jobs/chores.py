"""Maintenance that must be done now and then by somebody: a chore is taken in the database.

Every scheduler sends every periodic task, so a task may come several times at once; only who
takes the chore does it. A taker that dies leaves it undone until the next time: chores may wait.
"""

from __future__ import annotations

import logging
import threading
from datetime import timedelta

from django.conf import settings
from django.db import Error as DatabaseError
from django.db import connection

from core.clock import database_now
from core.times import EPOCH
from executors import caching
from executors.sessions import counting
from jobs import extensions, slots
from jobs.lifecycle.prune import prune
from jobs.models import Chore
from jobs.operations import idempotency, many

logger = logging.getLogger(__name__)

PRUNE = "prune"
PRUNE_EVERY = timedelta(minutes=50)  # a little less than the task's hour, so that none is passed over
PRUNE_SECONDS = 120.0  # what is left is done the next time


def take(name: str, every: timedelta) -> bool:
    """Whether the caller is to do the chore now. True for one caller in that time."""
    now = database_now()
    Chore.objects.bulk_create([Chore(name=name, free_at=EPOCH)], ignore_conflicts=True)
    return Chore.objects.filter(name=name, free_at__lte=now).update(free_at=now + every) == 1


def prune_beside() -> None:
    """Prune in a thread, so that the worker goes on hearing wake-ups."""
    threading.Thread(target=_prune_in_turn, name="prune", daemon=True).start()


def _prune_in_turn() -> None:
    try:
        if not take(PRUNE, PRUNE_EVERY):
            return
        idempotency.prune()
        caching.prune()
        counting.prune()
        many.prune()
        if settings.RETENTION_DAYS > 0:  # 0: everything is kept
            slots.prune(timedelta(days=settings.RETENTION_DAYS))
            done = prune(timedelta(days=settings.RETENTION_DAYS), seconds=PRUNE_SECONDS)
            logger.info(
                "pruned %d jobs, %d runs, %d events older than %d days%s",
                done.jobs, done.runs, done.events, settings.RETENTION_DAYS, "" if done.finished else "; more is left",
            )  # fmt: skip
        for prune_others in extensions.loaded("prune"):
            if told := prune_others(PRUNE_SECONDS):
                logger.info("pruned %s", told)
    except DatabaseError as error:
        logger.warning("not pruned, the next time will do it: %s", str(error).strip())
    finally:
        connection.close()
