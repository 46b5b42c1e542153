"""What a scheduler's process does beside scheduling, a thread each: …-many calls too large for a request, and counting runs.

Any number of schedulers may run at once: an operation is taken in the database (`jobs.operations.many`), and the
position of the count is a lock (`jobs.tally`).
"""

from __future__ import annotations

import logging
import threading

from django.db import InterfaceError, OperationalError, connection

from jobs import tally
from jobs.operations import many

logger = logging.getLogger(__name__)

IDLE_SECONDS = 1.0
COUNT_SECONDS = 2.0  # between two counts: statistics read so much themselves


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


def count_runs(stopped: threading.Event) -> None:
    """Until `stopped`: count what has ended, every few seconds."""
    while not stopped.wait(COUNT_SECONDS):
        try:
            tally.bring_up_to_date()
        except (OperationalError, InterfaceError):  # as above
            connection.close()
        except Exception:
            logger.exception("runs cannot be counted, trying again")
            connection.close()
    connection.close()


def _after_a_failure() -> float:
    connection.close()
    return IDLE_SECONDS
