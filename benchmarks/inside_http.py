"""HTTP jobs for the rows P2 and P3, made inside the project: an app at the upstream, and actions of it.

`python -m benchmarks.inside_http seed URL | create N` with the project's environment variables.
"""

from __future__ import annotations

import sys

from benchmarks.inside import BODY, CHUNK, ENV, PRODUCT

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
    from core.tenancy.models import Environment
    from jobs import wakeup
    from jobs.lifecycle.create import NewJob, create_jobs
    from jobs.schedule import Schedule

    environment = Environment.objects.get(product__tag=PRODUCT, slug=ENV)
    job = NewJob(
        product_id=environment.product_id,
        environment_id=environment.pk,
        namespace="actions",
        target=TARGET,
        input=BODY,
        schedule=Schedule(),
    )
    with transaction.atomic():
        for first in range(0, count, CHUNK):
            create_jobs([job] * min(CHUNK, count - first), now=database_now())
    wakeup.wake(["default"])


def main() -> None:
    import django

    django.setup()
    command, argument = sys.argv[1:]
    if command == "seed":
        seed(argument)
    else:
        create(int(argument))


if __name__ == "__main__":
    main()
