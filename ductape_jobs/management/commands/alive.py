"""`manage.py alive`: for a container's health check: is the worker or scheduler of this host at work?"""

from __future__ import annotations

import socket
from datetime import timedelta
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.db import Error as DatabaseError

from core.clock import database_now
from jobs.models import Scheduler, Worker

SEEN_WITHIN = timedelta(seconds=20)  # a scheduler shows up every 5 s


class Command(BaseCommand):
    help = "Succeed if a worker of this host holds a lease, or a scheduler of it was seen lately."
    requires_system_checks: list[str] = []

    def handle(self, *args: Any, **options: Any) -> None:
        host = socket.gethostname()
        try:
            now = database_now()
            worker = Worker.objects.filter(host=host, stopped_at__isnull=True, lease_until__gt=now).exists()
            scheduler = Scheduler.objects.filter(host=host, seen_at__gt=now - SEEN_WITHIN).exists()
        except DatabaseError as error:
            # The processes wait for it. To replace them meanwhile would help nobody.
            self.stdout.write(f"not known: the database does not answer ({str(error).strip()})")
            return
        if not worker and not scheduler:
            raise CommandError(f"no worker and no scheduler of host {host!r} is at work")
        self.stdout.write(" and ".join(["worker"] * worker + ["scheduler"] * scheduler) + " at work")
