"""The Celery entry points: the bell of the run loop, and the maintenance that beat sends now and then."""

from __future__ import annotations

from celery import shared_task

from jobs import chores, wakeup
from jobs.worker import ring


@shared_task(name=wakeup.CELERY_TASK, ignore_result=True)
def wake(queue: str) -> None:
    """There is work in `queue`: let this process's run loop look. Returns at once."""
    wakeup.answered(queue)
    ring(queue)


@shared_task(name="jobs.prune", ignore_result=True)
def prune() -> None:
    """Delete what ended long ago, unless somebody did lately. Returns at once."""
    chores.prune_beside()
