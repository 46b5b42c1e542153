"""HTTP jobs for the rows P2, P3 and P13, made inside the project: an app at the upstream, and actions of it.

`python -m benchmarks.inside_http seed URL | create N | spread N SECONDS HEAD` with the project's environment variables.
"""

from __future__ import annotations

import dataclasses
import sys
from typing import Any

from benchmarks.inside import BODY, CHUNK, ENV, PRODUCT, create_spread

TARGET = {"app": "upstream", "event": "post"}


def seed(url: str) -> None:
    """The app, with what actions usually have: a login from a secret, a path parameter, a schema."""
    from executors.catalog import document
    from executors.catalog.schema import read_document

    schema = {"type": "object", "required": ["email"], "properties": {"email": {"type": "string"}}}
    catalog = {
        "secrets": [{"key": "TOKEN", "value": "a-token-of-some-length"}],
        "apps": [
            {
                "tag": "upstream",
                "auth": {"type": "bearer", "token": "$Secret{TOKEN}"},
                "envs": {ENV: {"base_url": url}},
                "events": [{"tag": "post", "method": "POST", "resource": "/users/:userId/welcome", "body": schema}],
            }
        ],
    }
    document.store(PRODUCT, read_document(catalog, PRODUCT))


def create(count: int) -> None:
    """Queued jobs, all visible at once, then one wake-up."""
    from django.db import transaction

    from core.clock import database_now
    from jobs import wakeup
    from jobs.lifecycle.create import create_jobs
    from jobs.schedule import Schedule

    job = _job(Schedule())
    with transaction.atomic():
        for first in range(0, count, CHUNK):
            create_jobs([job] * min(CHUNK, count - first), now=database_now())
    wakeup.wake(["default"])


def spread(count: int, seconds: float, head: float) -> None:
    """One-offs with a `start_at`, evenly over `seconds`, the first one `head` seconds from now."""
    from jobs.schedule import Schedule

    job = _job(Schedule())
    create_spread(lambda at: dataclasses.replace(job, schedule=Schedule(start_at=at)), count, seconds, head)


def _job(schedule: Any) -> Any:
    from core.tenancy.models import Environment
    from jobs.lifecycle.create import NewJob

    environment = Environment.objects.get(product__tag=PRODUCT, slug=ENV)
    return NewJob(
        product_id=environment.product_id,
        environment_id=environment.pk,
        namespace="actions",
        target=TARGET,
        input=BODY,
        schedule=schedule,
    )


def main() -> None:
    import django

    django.setup()
    command, *arguments = sys.argv[1:]
    if command == "seed":
        seed(arguments[0])
    elif command == "create":
        create(int(arguments[0]))
    else:
        spread(int(arguments[0]), float(arguments[1]), float(arguments[2]))


if __name__ == "__main__":
    main()
