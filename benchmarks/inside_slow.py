"""Slow database jobs for the row P13, made inside the project.

`python -m benchmarks.inside_slow seed URL… | create N SECONDS` with the project's environment variables: a database of
the catalog for each URL, and N queued jobs, spread over them, that each sleep so long in the server.
"""

from __future__ import annotations

import sys

from benchmarks.inside import ENV, PRODUCT


def seed(urls: list[str]) -> None:
    """The databases, beside what the catalog has already."""
    from executors.catalog import document
    from executors.catalog.schema import read_document

    databases = [
        {"tag": f"slow-{number}", "type": "postgresql", "envs": {ENV: {"connection_url": url}}}
        for number, url in enumerate(urls)
    ]
    document.store(PRODUCT, read_document({"databases": databases}, PRODUCT))


def create(count: int, seconds: float) -> None:
    """All visible at once, then one wake-up."""
    from django.db import transaction

    from core.clock import database_now
    from core.tenancy.models import Environment
    from executors.catalog.models import Component
    from jobs import wakeup
    from jobs.lifecycle.create import NewJob, create_jobs
    from jobs.schedule import Schedule

    environment = Environment.objects.get(product__tag=PRODUCT, slug=ENV)
    tags = list(Component.objects.filter(product=environment.product_id, kind="database").values_list("tag", flat=True))
    raw = {"query": "SELECT pg_sleep($1)::text AS slept", "params": [seconds]}
    jobs = [
        NewJob(
            product_id=environment.product_id,
            environment_id=environment.pk,
            namespace="databases",
            target={"database": tags[number % len(tags)], "operation": "raw"},
            input=raw,
            schedule=Schedule(),
            timeout=round((seconds + 60) * 1000),
        )
        for number in range(count)
    ]
    with transaction.atomic():
        create_jobs(jobs, now=database_now())
    wakeup.wake(["default"])


def main() -> None:
    import django

    django.setup()
    command, *arguments = sys.argv[1:]
    if command == "seed":
        seed(arguments)
    else:
        create(int(arguments[0]), float(arguments[1]))


if __name__ == "__main__":
    main()
