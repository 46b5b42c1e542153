"""`python -m benchmarks.peers.beat_entries N EVERY HEAD`: N periodic tasks of django-celery-beat.

Each runs every EVERY seconds, their first times evenly over that, the first HEAD seconds from now.
A task's argument is its first nominal time: by it the lateness is known. Prints the first time of all.
"""

from __future__ import annotations

import json
import sys
import time
from datetime import UTC, datetime

import django
from django.core.management import call_command


def main() -> None:
    count, every, head = int(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3])
    django.setup()
    from django_celery_beat.models import IntervalSchedule, PeriodicTask, PeriodicTasks

    call_command("migrate", verbosity=0)
    interval, _ = IntervalSchedule.objects.get_or_create(every=every, period=IntervalSchedule.SECONDS)
    PeriodicTask.objects.all().delete()
    begin = time.time() + head
    firsts = [begin + index * every / count for index in range(count)]
    PeriodicTask.objects.bulk_create(
        [
            PeriodicTask(
                name=f"entry {index}",
                task="noop",
                interval=interval,
                args=json.dumps([first]),
                last_run_at=datetime.fromtimestamp(first - every, UTC),
            )
            for index, first in enumerate(firsts)
        ],
        batch_size=1_000,
    )
    PeriodicTasks.update_changed()
    print(begin)


if __name__ == "__main__":
    main()
