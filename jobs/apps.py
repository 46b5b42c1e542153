"""The Django app of the jobs. It tells the catalog how to find out who uses a part of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.apps import AppConfig

if TYPE_CHECKING:
    from executors.catalog.usage import Part


class JobsConfig(AppConfig):
    name = "jobs"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        from executors.catalog import usage

        usage.ask(_unfinished_jobs)
        usage.ask_for_definitions(_definitions)


def _unfinished_jobs(part: Part) -> int:
    from jobs.uses import unfinished_jobs  # when it is asked: a worker never does

    return unfinished_jobs(part)


def _definitions(part: Part) -> list[str]:
    from jobs.uses import definitions  # as above

    return definitions(part)
