"""The Django app of the roof: it brings the commands and the system checks."""

from __future__ import annotations

from django.apps import AppConfig


class RoofConfig(AppConfig):
    name = "ductape_jobs"
    verbose_name = "Ductape Jobs"

    def ready(self) -> None:
        from ductape_jobs import checks  # noqa: F401 - registers them
