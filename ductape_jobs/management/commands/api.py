"""`manage.py api`: the process that serves the API and the admin."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand

from ductape_jobs import processes


class Command(BaseCommand):
    help = "Serve the API and the admin on PORT."
    requires_system_checks: list[str] = []  # our own, below; Django's are `manage.py check --deploy`'s

    def handle(self, *args: Any, **options: Any) -> None:
        # It does not wait for the database: it answers without one too, and says so in /readyz.
        processes.refuse_if_unsafe()
        processes.become_api()
