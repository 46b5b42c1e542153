"""Webhook endpoints and events for row P10, made inside the project.

`python -m benchmarks.inside_webhooks endpoints URL … | owe N | spread PER_SECOND SECONDS` with the project's
environment variables. Events are written as the transitions write them: wanted, with what they are about.
"""

from __future__ import annotations

import sys
import time
from typing import Any

from benchmarks.inside import CHUNK, ENV, PRODUCT

STEP_SECONDS = 0.02  # between two commits of spread events


def endpoints(urls: list[str]) -> None:
    """These alone are told, of everything."""
    from core import crypto
    from core.clock import database_now
    from core.ids import new_uuid
    from jobs.listening import EVERY_PRODUCT, listen
    from jobs.states import EventType
    from webhooks.models import Endpoint
    from webhooks.signing import new_secret

    now = database_now()
    made = []
    for url in urls:
        id = new_uuid()
        secret = crypto.seal(new_secret(), crypto.context("webhook", id))
        made.append(Endpoint(id=id, url=url, events=["*"], secret=secret, created_at=now, updated_at=now))
    Endpoint.objects.bulk_create(made)
    listen([(EVERY_PRODUCT, type) for type in EventType])


def owe(count: int) -> None:
    """Events that are all visible at once."""
    from django.db import transaction

    from jobs.listening import ring

    with transaction.atomic():
        for first in range(0, count, CHUNK):
            _write(min(CHUNK, count - first))
    ring()


def spread(per_second: int, seconds: float) -> None:
    """So many events a second, evenly, each in a small transaction as outcomes are."""
    from jobs.listening import ring

    began, written = time.monotonic(), 0
    while (passed := time.monotonic() - began) < seconds:
        due = int(passed * per_second) - written
        if due > 0:
            _write(due)
            written += due
            ring()
        time.sleep(STEP_SECONDS)
    time.sleep(10 * STEP_SECONDS)  # the last notice goes out in a thread of this process


def _write(count: int) -> None:
    from core.clock import database_now
    from core.ids import new_uuid
    from core.tenancy.models import Environment
    from jobs.models import JobEvent

    place = Environment.objects.get(product__tag=PRODUCT, slug=ENV)
    at = database_now()
    about: dict[str, Any] = {
        "product_id": place.product_id, "environment_id": place.pk, "namespace": "actions", "labels": {"team": "billing"},
        "scheduled_at": int(at.timestamp() * 1000), "execution_count": 1, "error": None,
    }  # fmt: skip
    JobEvent.objects.bulk_create(
        JobEvent(
            job_id=new_uuid(),
            seq=2,
            type="job.completed",
            status="completed",
            number=1,
            wanted=True,
            about=about,
            at=at,
        )
        for _ in range(count)
    )


def main() -> None:
    import django

    django.setup()
    command, *arguments = sys.argv[1:]
    if command == "endpoints":
        endpoints(arguments)
    elif command == "owe":
        owe(int(arguments[0]))
    else:
        spread(int(arguments[0]), float(arguments[1]))


if __name__ == "__main__":
    main()
