"""`manage.py scheduler`: the process that promotes what is due and takes back what was lost."""

from __future__ import annotations

import sys
from typing import Any

from django.core.management.base import BaseCommand

from ductape_jobs import processes


class Command(BaseCommand):
    help = "Promote due jobs, take back lost runs, run the periodic tasks. Any number of these may run at once."
    requires_system_checks: list[str] = []  # all of them would load the API and the admin into every scheduler

    def handle(self, *args: Any, **options: Any) -> None:
        processes.refuse_if_unsafe()
        processes.wait_for_database()
        sys.exit(processes.become_scheduler())
