"""What it costs that somebody could listen: statements of a transition with a listener, without one, and of others."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from core.clock import database_now
from jobs.lifecycle import intervene
from jobs.lifecycle.create import NewJob, draft, store
from jobs.listening import EVERY_PRODUCT, listen
from jobs.schedule import parse_schedule
from jobs.states import EventType
from tests.conformance.world import (
    RECURRING,
    claim_one,
    complete,
    environment,
    make_due,
    new_job,
    postpone,
    worker,
)

pytestmark = pytest.mark.django_db(transaction=True)
LOOK = 'FROM "jobs_listener" LIMIT 1'  # whether to ring at all: once a second and process, whatever happens


def _statements_of_a_life() -> dict[str, list[str]]:
    """What the database is asked in each transition of a few jobs."""
    found: dict[str, list[str]] = {}
    place, now, owner = environment(), database_now(), worker()

    def note(transition: str, do: Callable[[], Any]) -> Any:
        with CaptureQueriesContext(connection) as asked:
            result = do()
        found[transition] = [query["sql"] for query in asked.captured_queries if LOOK not in query["sql"]]
        return result

    request = NewJob(
        product_id=place.product_id, environment_id=place.pk, namespace="noop", target={"event": "nothing"}, input={},
        schedule=parse_schedule({}, now=now),
    )  # fmt: skip
    ready = draft(request, now=now)
    note("dispatch", lambda: store(ready))
    run = note("claim", lambda: claim_one(worker_id=owner))
    note("settle", lambda: complete(run))
    new_job()
    run = claim_one(worker_id=owner)
    note("back-off", lambda: postpone(run, delay_ms=3_600_000))
    busy = new_job(RECURRING)
    claim_one(busy, worker_id=owner)
    note("skip", lambda: make_due(busy))
    job = new_job(RECURRING)
    note("pause", lambda: intervene.pause(job.pk))
    note("resume", lambda: intervene.resume(job.pk))
    note("cancel", lambda: intervene.cancel(job.pk))
    return found


def _counted(statements: dict[str, list[str]]) -> Counter[str]:
    return Counter({transition: len(asked) for transition, asked in statements.items()})


def test_what_nobody_listens_to_costs_no_statement() -> None:
    """Whether somebody does is asked within the statement that makes the transition, by an index; only where it is told
    at all is there another one. What is said of others costs nothing either."""
    _statements_of_a_life()  # what a process does once
    nobody = _statements_of_a_life()
    listen([(environment().product_id + 1, type) for type in EventType])
    others = _statements_of_a_life()
    listen([(EVERY_PRODUCT, type) for type in EventType])
    somebody = _statements_of_a_life()

    assert _counted(others) == _counted(nobody)
    more = {one: len(somebody[one]) - len(nobody[one]) for one in nobody}
    assert more == {
        "dispatch": 1, "claim": 0, "settle": 0, "back-off": 2, "skip": 2, "pause": 0, "resume": 0, "cancel": 0,
    }  # fmt: skip
    if connection.vendor == "postgresql":
        assert (len(nobody["claim"]), len(nobody["settle"])) == (1, 1)


def test_no_transition_touches_a_table_of_webhooks() -> None:
    listen([(EVERY_PRODUCT, type) for type in EventType])
    for transition, asked in _statements_of_a_life().items():
        assert [text for text in asked if "webhooks_" in text] == [], transition
        assert asked, transition
