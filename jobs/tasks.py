"""The Celery entry points: one, and it only rings the run loop's bell."""

from __future__ import annotations

from celery import shared_task

from jobs import wakeup
from jobs.worker import ring


@shared_task(name=wakeup.CELERY_TASK, ignore_result=True)
def wake(queue: str) -> None:
    """There is work in `queue`: let this process's run loop look. Returns at once."""
    wakeup.answered(queue)
    ring(queue)
