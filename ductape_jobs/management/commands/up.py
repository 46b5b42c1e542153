"""`manage.py up`: everything on this machine, until Ctrl-C. `make up` calls it."""

from __future__ import annotations

import sys
from typing import Any

from django.core.management.base import BaseCommand

from ductape_jobs import processes
from ductape_jobs.up.console import Console
from ductape_jobs.up.supervisor import Supervisor


class Command(BaseCommand):
    help = "Run broker, API, worker and scheduler on this machine, with a demo product, until Ctrl-C."
    requires_system_checks: list[str] = []  # the processes check themselves

    def handle(self, *args: Any, **options: Any) -> None:
        processes.refuse_if_unsafe()
        sys.exit(Supervisor(Console()).run())
