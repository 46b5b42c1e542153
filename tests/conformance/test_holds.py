"""A scope is held once: the database says so, of every environment as of one, whoever comes first."""

from __future__ import annotations

import threading
from typing import Any

import pytest
from django.core import checks
from django.db import IntegrityError, connection, transaction
from django.db.migrations.executor import MigrationExecutor

from core.clock import database_now
from jobs.lifecycle import hold
from jobs.models import Hold
from tests.conformance.world import environment

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
