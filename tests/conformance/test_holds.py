"""A scope is held once: the database says so, of every environment as of one, whoever comes first. What comes due
while it is held collapses into the run that waits."""

from __future__ import annotations

import threading
from typing import Any

import pytest
from django.core import checks
from django.db import IntegrityError, connection, transaction
from django.db.migrations.executor import MigrationExecutor

from core.clock import database_now
from jobs.lifecycle import hold
from jobs.lifecycle.promote import HELD, promote_due
from jobs.models import Execution, Hold
from tests.conformance.clockwork import HOUR, MINUTE, Time, down_for, history, promote_all, run_through
from tests.conformance.world import claim_one, complete, environment, fresh, new_job, runs_of

pytestmark = pytest.mark.django_db(transaction=True)

SCOPES = [(False, ""), (False, "actions"), (True, ""), (True, "actions")]  # (of one environment, namespace)


def scope(of_one: bool, namespace: str) -> dict[str, Any]:
    place = environment()
    return {
        "product_id": place.product_id,
        "environment_id": place.pk if of_one else None,
        "namespace": namespace,
    }


@pytest.mark.parametrize(("of_one", "namespace"), SCOPES)
def test_a_second_hold_of_a_scope_cannot_be_written(of_one: bool, namespace: str) -> None:
    fields = {**scope(of_one, namespace), "created_at": database_now()}
    Hold.objects.create(**fields)
    with pytest.raises(IntegrityError), transaction.atomic():
        Hold.objects.create(**fields)
    assert Hold.objects.count() == 1


def test_scopes_within_each_other_are_held_side_by_side() -> None:
    for of_one, namespace in SCOPES:
        Hold.objects.create(**scope(of_one, namespace), created_at=database_now())
    assert Hold.objects.count() == 4


@pytest.mark.parametrize(("of_one", "namespace"), SCOPES)
def test_of_many_who_hold_a_scope_at_once_all_get_the_same_hold(of_one: bool, namespace: str) -> None:
    covered = scope(of_one, namespace)
    got: list[int] = []
    start = threading.Barrier(8)

    def holder() -> None:
        start.wait(10)
        try:
            got.append(hold.hold(**covered, note="", actor="test").pk)
        finally:
            connection.close()

    threads = [threading.Thread(target=holder) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert got == [Hold.objects.get().pk] * 8


def test_no_constraint_of_a_model_is_one_that_this_database_would_leave_out() -> None:
    assert checks.run_checks(tags=[checks.Tags.models, checks.Tags.database], databases=["default"]) == []


def test_of_holds_from_before_the_first_of_each_scope_stays() -> None:
    """On SQLite two at once could both hold a scope; PostgreSQL has always refused the second."""
    copies = 1 if connection.features.supports_nulls_distinct_unique_constraints else 2
    executor = MigrationExecutor(connection)
    latest = [key for key in executor.loader.graph.leaf_nodes() if key[0] == "jobs"]
    covered = [scope(of_one, namespace) for of_one, namespace in SCOPES]
    executor.migrate([("jobs", "0005_idempotency_keys")])
    try:
        before = executor.loader.project_state([("jobs", "0005_idempotency_keys")]).apps.get_model("jobs", "Hold")
        rows = [before(**fields, created_at=database_now()) for fields in covered for _ in range(copies)]
        made = [row.pk for row in before.objects.bulk_create(rows)]
    finally:
        MigrationExecutor(connection).migrate(latest)
    assert list(Hold.objects.order_by("pk").values_list("pk", flat=True)) == made[::copies]


def test_what_comes_due_while_held_collapses_in_one_look_and_goes_on_after_the_release(time: Time) -> None:
    """Also where all that was missed would run: an hour without a scheduler is one run that waits."""
    job = down_for(time, HOUR, misfire="all")
    hold.hold(**scope(False, ""), note="", actor="test")

    promote_due()

    after_one_look = (fresh(job).next_run_at, history(job))
    assert after_one_look[1] == [("completed", 1), ("queued", 1), ("skipped", 59)]
    assert Execution.objects.get(job=job, status="skipped").skip_reason == HELD
    promote_all()
    assert (fresh(job).next_run_at, history(job)) == after_one_look

    hold.release(product_id=environment().product_id, environment_id=None, namespace="")
    assert complete(claim_one(job))
    assert fresh(job).next_run_at == runs_of(job)[0].scheduled_at + 61 * MINUTE
    time.pass_(MINUTE)
    assert run_through(time) == 1


def test_a_thousand_occurrences_of_many_jobs_collapse_in_one_bounded_batch(time: Time) -> None:
    jobs = [new_job({"every": 1_000, "misfire": "all", "misfire_grace": 0}) for _ in range(5)]
    for _ in jobs:
        complete(claim_one())
    hold.hold(**scope(False, ""), note="", actor="test")
    time.pass_(1_000 * MINUTE / 60)

    looks = 1
    while promote_due(limit=5).full and looks < 10:
        looks += 1

    assert looks <= 2  # the first was full; 500 of two occurrences each before
    for job in jobs:
        assert [status for status, _ in history(job)] == ["completed", "queued", "skipped"]
        assert history(job)[-1][1] >= 990
