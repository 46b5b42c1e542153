"""`manage.py worker`: the process that runs jobs."""

from __future__ import annotations

import sys
from typing import Any

from django.core.management.base import BaseCommand

from ductape_jobs import processes


class Command(BaseCommand):
    help = "Run the jobs of QUEUES, CONCURRENCY at once."
    requires_system_checks: list[str] = []  # all of them would load the API and the admin into every worker

    def handle(self, *args: Any, **options: Any) -> None:
        processes.refuse_if_unsafe()
        processes.wait_for_database()
        sys.exit(processes.become_worker())
