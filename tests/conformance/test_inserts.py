"""However many jobs are stored at once, in whatever transaction: the rows are the same."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.db import IntegrityError, connection, transaction

from core.clock import database_now
from jobs.lifecycle.create import Draft, NewJob, draft, store, store_many
from jobs.lifecycle.sql import prepared
from jobs.lifecycle.sql.inserts import FEW
from jobs.models import Execution, Job
from jobs.schedule import parse_schedule
from tests.conformance.world import environment

pytestmark = pytest.mark.django_db(transaction=True)

ODD = "tab\t line\n return\r back\\slash \"quoted\" 'single' 100 % %s %(x)s $1 {braces} é 漢 🙂 \u2028 \\N"


def drafts(count: int) -> list[Draft]:
    """Of every kind: due, to come, recurring, with and without what may be left out."""
    place, now = environment(), database_now()
    schedules: list[Any] = [
        None,
        {"every": 60_000, "limit": 3},
        {"cron": "0 9 * * 1", "tz": "Europe/Berlin"},
        {"start_at": (now + timedelta(days=400)).isoformat()},
    ]
    made = []
    for index in range(count):
        given = schedules[index % len(schedules)]
        request = NewJob(
            product_id=place.product_id,
            environment_id=place.pk,
            namespace="test",
            target={"event": ODD if index % 2 else "plain"},
            input={"text": ODD, "number": 1.5e300, "list": [None, True, {"n": index}]} if index % 3 else {},
            schedule=parse_schedule(given, now=now),
            schedule_as_given=given or {},
            labels={"team": ODD} if index % 2 else {},
            queue=("default", ODD[:60])[index % 2],
            concurrency_key="" if index % 2 else ODD,
            concurrency_limit=index + 1,
            unique_key=None if index % 3 else f"{ODD}{index}",
            retries=index,
            retry_config={"jitter": False} if index % 2 else {},
        )
        made.append(draft(request, now=now))
    return made


def stored() -> tuple[list[Any], list[Any]]:
    """All rows, and none of them afterwards."""
    jobs: list[Any] = list(Job.objects.order_by("id").values())
    runs: list[Any] = [{**run, "id": None} for run in Execution.objects.order_by("job_id").values()]
    Execution.objects.all().delete()
    Job.objects.all().delete()
    return jobs, runs


@pytest.mark.parametrize("count", [1, 4, FEW, FEW + 1])
def test_every_way_to_store_jobs_writes_the_same_rows(count: int) -> None:
    new = drafts(count)

    store_many(new)
    alone = stored()
    with transaction.atomic():
        store_many(new)
    within = stored()
    for each in new:
        assert store(each)
    one_by_one = stored()

    assert len(alone[0]) == count
    assert len(alone[1]) == sum(each.run is not None for each in new)
    assert alone == within == one_by_one


@pytest.mark.parametrize("count", [2, FEW + 1])
def test_one_job_that_cannot_be_stored_keeps_out_all(count: int) -> None:
    new = drafts(count)
    with pytest.raises(IntegrityError):
        store_many([*new[:-1], new[0]])
    assert stored() == ([], [])


def test_behind_a_pooler_that_forgets_prepared_statements_no_dispatch_is_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prepared, "_pooled", False)
    first, second, third = drafts(3)
    store_many([first])
    if connection.vendor == "postgresql":
        with connection.cursor() as sql:
            sql.execute("DEALLOCATE ALL")  # what the next transaction meets on another server connection
    store_many([second])
    store_many([third])
    assert Job.objects.count() == 3
