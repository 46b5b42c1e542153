"""The hot statements on PostgreSQL keep their plan, whatever the statistics say.

A queue's statistics are from a moment when it was empty or full. The prototype met a planner that
walked the partial index on the status for each row: 285 ms a statement instead of 6.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import Any

import pytest
from django.db import ProgrammingError, connection

from core.clock import database_now
from jobs.lifecycle.claim import KeyCursor, claim
from jobs.lifecycle.create import NewJob, create_jobs
from jobs.lifecycle.settle import Finished, settle
from jobs.lifecycle.sql import prepared
from jobs.models import Execution, Job
from jobs.queries import JobFilter, list_jobs
from jobs.queries import history as runs_of
from jobs.schedule import parse_schedule
from jobs.states import JobStatus
from jobs.stats import jobs_by_state, run_series
from tests.conformance.world import environment, worker

pytestmark = pytest.mark.django_db

ROWS = 3_000
BATCH = 50
TABLES = ("jobs_job", "jobs_execution", "jobs_worker", "jobs_hold", "jobs_jobevent")


@pytest.fixture(autouse=True)
def _postgresql(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Nothing is prepared, nothing known of the tables' sizes or of a pooler: before a test and after it."""
    if connection.vendor != "postgresql":
        pytest.skip("SQLite's plans do not depend on statistics that age")
    monkeypatch.setattr(prepared, "_pooled", False)
    forget()
    yield
    forget()


def forget() -> None:
    with connection.cursor() as sql:
        sql.execute("DEALLOCATE ALL")
    prepared._states.clear()


def create(count: int, *, key: str = "") -> None:
    place, now = environment(), database_now()
    new = NewJob(
        product_id=place.product_id,
        environment_id=place.pk,
        namespace="noop",
        target={"event": "nothing"},
        input={},
        schedule=parse_schedule(None, now=now),
        concurrency_key=key,
        concurrency_limit=count,
    )
    create_jobs([new] * count, now=now)


def analyze() -> None:
    with connection.cursor() as sql:
        sql.execute(f"ANALYZE {', '.join(TABLES)}")


def empty_when_analyzed() -> None:
    analyze()
    create(ROWS)


def full_of_queued_when_analyzed() -> None:
    create(ROWS)
    analyze()


def full_of_history_when_analyzed() -> None:
    """Everything has ended when the statistics are taken; then the queue fills."""
    create(ROWS)
    now = database_now()
    Execution.objects.update(status="completed", finished_at=now, number=1)
    analyze()
    create(ROWS)


def all_running_when_analyzed() -> None:
    create(ROWS)
    owner = worker()
    while claim(owner, "default", 500):
        pass
    analyze()
    create(BATCH)


STATISTICS = [
    empty_when_analyzed,
    full_of_queued_when_analyzed,
    full_of_history_when_analyzed,
    all_running_when_analyzed,
]


@contextmanager
def explained() -> Iterator[list[str]]:
    """The plan of what is executed inside, node by node."""
    plans: list[str] = []

    def explain(execute: Callable[..., Any], sql: str, params: Any, many: bool, context: dict[str, Any]) -> Any:
        if "EXECUTE ductape_" in sql or ("MATERIALIZED" in sql and "PREPARE" not in sql):
            settings, _, statement = sql.partition(";")
            with connection.connection.cursor() as cursor:
                cursor.execute(settings)
                cursor.execute(f"EXPLAIN {statement}", params)
                plans.extend(row[0] for row in cursor.fetchall())
        return execute(sql, params, many, context)

    with connection.execute_wrapper(explain):
        yield plans


def scans(plans: list[str], table: str) -> list[str]:
    return [line.strip() for line in plans if "Scan" in line and f"on {table}" in line]


@pytest.mark.parametrize("statistics", STATISTICS)
def test_a_claim_walks_the_claimable_index_and_then_primary_keys(statistics: Callable[[], None]) -> None:
    statistics()
    with explained() as plans:
        claims = claim(worker(), "default", BATCH)
    assert len(claims) == BATCH
    assert plans, "no plan was seen"
    text = "\n".join(plans)
    assert "Seq Scan on jobs_job" not in text, text
    assert "Seq Scan on jobs_execution" not in text, text
    indexes = {line.split(" using ")[1].split(" on ")[0] for line in scans(plans, "jobs_execution")}
    assert "execution_claimable" in indexes, text
    assert indexes <= {
        "execution_claimable", "execution_claimable_keyed", "execution_open_of_job", "execution_one_running_per_job",
        "execution_of_worker", "jobs_execution_pkey",
    }, text  # fmt: skip
    update = text[text.index("Update on jobs_execution") :]
    assert "using jobs_execution_pkey" in update.split("Update on jobs_job")[0], text
    assert {line.split(" using ")[1].split(" on ")[0] for line in scans(plans, "jobs_job")} == {"jobs_job_pkey"}, text


@pytest.mark.parametrize("statistics", STATISTICS)
def test_an_outcome_is_written_by_primary_keys_alone(statistics: Callable[[], None]) -> None:
    statistics()
    claims = claim(worker(), "default", BATCH)
    outcomes = [Finished.completed(taken.run_id, taken.job_id, taken.fence, "{}") for taken in claims]
    with explained() as plans:
        assert len(settle(outcomes)) == BATCH
    text = "\n".join(plans)
    assert "Seq Scan" not in text, text
    assert {line.split(" using ")[1].split(" on ")[0] for line in scans(plans, "jobs_execution")} == {
        "jobs_execution_pkey"
    }, text
    assert {line.split(" using ")[1].split(" on ")[0] for line in scans(plans, "jobs_job")} == {"jobs_job_pkey"}, text


@pytest.fixture
def large(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tables of any size are."""
    monkeypatch.setattr(prepared, "SMALL_BYTES", 0)


def times_prepared() -> list[datetime]:
    with connection.cursor() as sql:
        sql.execute("SELECT prepare_time FROM pg_prepared_statements WHERE name LIKE 'ductape_%'")
        return [row[0] for row in sql.fetchall()]


def names_known() -> int:
    return len(times_prepared())


@pytest.mark.django_db(transaction=True)
def test_statements_are_planned_once_for_tables_of_about_that_size(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prepared, "LOOK_SECONDS", 0.0)
    with connection.cursor() as sql:
        sql.execute(f"TRUNCATE {', '.join(TABLES)}")
    owner = worker()
    create(1)
    analyze()
    assert (len(claim(owner, "default", 1)), names_known()) == (1, 0)
    create(ROWS)
    assert (len(claim(owner, "default", 1)), names_known()) == (1, 1)
    (planned,) = times_prepared()
    assert (len(claim(owner, "default", 1)), times_prepared()) == (1, [planned])
    create(2 * ROWS)
    assert len(claim(owner, "default", 1)) == 1
    (again,) = times_prepared()
    assert again > planned
    with connection.cursor() as sql:
        sql.execute(f"TRUNCATE {', '.join(TABLES)}")
    assert (len(claim(owner, "default", 1)), names_known()) == (0, 0)


@pytest.mark.usefixtures("large")
@pytest.mark.django_db(transaction=True)
def test_behind_a_pooler_that_forgets_prepared_statements_they_are_sent_in_full() -> None:
    create(3)
    owner = worker()
    assert len(claim(owner, "default", 1)) == 1
    with connection.cursor() as sql:
        sql.execute("DEALLOCATE ALL")  # what the next transaction meets on another server connection
    assert len(claim(owner, "default", 1)) == 1
    assert prepared._pooled
    assert len(claim(owner, "default", 1)) == 1


@pytest.mark.usefixtures("large")
@pytest.mark.django_db(transaction=True)
def test_a_pooler_seen_within_a_transaction_costs_one_claim() -> None:
    create(2, key="only-two")
    owner, cursor = worker(), KeyCursor(keyed=True)
    assert len(claim(owner, "default", 1, cursor)) == 1
    with connection.cursor() as sql:
        sql.execute("DEALLOCATE ALL")
    with pytest.raises(ProgrammingError):
        claim(owner, "default", 1, cursor)
    assert len(claim(owner, "default", 1, cursor)) == 1


@pytest.mark.usefixtures("large")
@pytest.mark.django_db(transaction=True)
def test_a_statement_that_another_client_of_the_pooler_prepared_is_no_error() -> None:
    create(2)
    owner = worker()
    assert len(claim(owner, "default", 1)) == 1
    prepared._states.clear()  # a new client, handed a server connection that knows the name
    assert len(claim(owner, "default", 1)) == 1


# --- what people and charts read --------------------------------------------------------------------


@contextmanager
def read_by_indexes() -> Iterator[list[str]]:
    """The plan of each SELECT inside, where reading a whole table is dear: what is still read so has no index."""
    plans: list[str] = []

    def explain(execute: Callable[..., Any], sql: str, params: Any, many: bool, context: dict[str, Any]) -> Any:
        if sql.lstrip().startswith("SELECT") and "jobs_" in sql:
            with connection.connection.cursor() as cursor:
                cursor.execute("SET LOCAL enable_seqscan = off; SET LOCAL enable_bitmapscan = off")
                cursor.execute(f"EXPLAIN {sql}", params)
                plans.append("\n".join(row[0] for row in cursor.fetchall()))
        return execute(sql, params, many, context)

    with connection.execute_wrapper(explain):
        yield plans


def history() -> Job:
    """Jobs in several states, and runs that have ended; one of the jobs."""
    create(ROWS)
    taken = claim(worker(), "default", BATCH)
    settle([Finished.completed(each.run_id, each.job_id, each.fence, "{}") for each in taken])
    claim(worker(), "default", BATCH)
    analyze()
    return Job.objects.get(pk=taken[0].job_id)


def window() -> tuple[datetime, datetime]:
    now = database_now()
    return now - timedelta(hours=1), now


def test_jobs_are_counted_by_state_from_indexes_alone() -> None:
    history()
    with read_by_indexes() as plans:
        counts = jobs_by_state(JobFilter(environment_ids=frozenset({environment().pk})))
    assert (counts["completed"], counts["running"], counts["queued"]) == (BATCH, BATCH, ROWS - 2 * BATCH)
    (plan,) = plans
    assert "Seq Scan" not in plan, plan
    assert plan.count("Index Only Scan using job_of_environment on jobs_job") == 1, plan
    assert plan.count("Index Only Scan using job_by_rare_status on jobs_job") == 4, plan
    assert plan.count("Index Scan using jobs_job_pkey on jobs_job") == 2, plan  # through the open runs
    runs = scans(plan.splitlines(), "jobs_execution")
    assert len(runs) == 2, plan
    assert all("Index" in line for line in runs), plan


@pytest.mark.parametrize("everywhere", [False, True])
def test_statistics_of_runs_are_read_from_the_events_of_their_window(everywhere: bool) -> None:
    history()
    since, until = window()
    wanted = JobFilter(environment_ids=None if everywhere else frozenset({environment().pk}), namespace="noop")
    with read_by_indexes() as plans:
        shown = run_series(wanted, since=since, until=until, interval=60_000)
    assert sum(bucket["runs"] for bucket in shown["buckets"]) == BATCH
    text = "\n".join(plans)
    assert "Seq Scan" not in text, text
    of_events = {line.split(" using ")[1].split(" on ")[0] for line in scans(text.splitlines(), "jobs_jobevent")}
    assert of_events == {"jobs_jobevent_pkey"}, text
    of_runs = {line.split(" using ")[1].split(" on ")[0] for line in scans(text.splitlines(), "jobs_execution")}
    assert of_runs == {"execution_number_once_per_job"}, text


def test_a_page_and_a_history_are_found_by_indexes() -> None:
    job = history()
    place = frozenset({environment().pk})
    with read_by_indexes() as plans:
        for status in (None, *JobStatus):
            list_jobs(JobFilter(environment_ids=place, statuses=frozenset({status} if status else ())), limit=BATCH)
        assert len(runs_of(job.pk, limit=BATCH)) == 1
    assert len(plans) > len(JobStatus)
    for plan in plans:
        assert "Seq Scan" not in plan, plan
