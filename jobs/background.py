"""The …-many calls that are too large for a request, in a thread of the scheduler's process.

Any number of schedulers may run at once: an operation is taken in the database (`jobs.operations.many`).
"""

from __future__ import annotations

import logging
import threading

from django.db import InterfaceError, OperationalError, connection

from jobs.operations import many

logger = logging.getLogger(__name__)

IDLE_SECONDS = 1.0


def go_on(stopped: threading.Event) -> None:
    """Until `stopped`: one operation after the other, each for a while."""
    pause = IDLE_SECONDS
    while not stopped.wait(pause):
        try:
            pause = 0.0 if many.go_on_with_one() else IDLE_SECONDS
        except (OperationalError, InterfaceError):  # the database is away: it is waited for elsewhere
            pause = _after_a_failure()
        except Exception:
            # Dying quietly, this would leave operations undone until the next start.
            logger.exception("an operation cannot go on, trying again")
            pause = _after_a_failure()
    connection.close()


def _after_a_failure() -> float:
    connection.close()
    return IDLE_SECONDS
