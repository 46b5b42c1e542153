"""What people and charts read is found by indexes: no table of jobs, runs or events is read from end to end for it.

On PostgreSQL beside twenty thousand stored runs, with the plan that the planner takes of itself; on SQLite, whose
plans do not depend on how many rows there are, beside a few.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from django.db import connection

from benchmarks.stored_runs import PLACES, store
from core import clock
from core.clock import database_now
from core.tenancy.models import Environment
from core.times import to_ms
from jobs import fsck, tally
from jobs.ended import ORDER_SLACK
from jobs.lifecycle.rows import open_runs
from jobs.models import Execution, Job
from jobs.operations.explain import explain
from jobs.queries import JobFilter, bounded_reading, count_jobs, history, list_jobs
from jobs.states import JobStatus, RunStatus
from jobs.stats import job_stats, jobs_by_state, run_series
from tests.conformance.world import STATES, environment

pytestmark = pytest.mark.django_db

RUNS = 20_000
LIMIT = 20
_READ = re.compile(r"\bjobs_(job|execution|jobevent|runslot)\b")
# PostgreSQL's and SQLite's words for a table that is read from end to end.
_WHOLE = re.compile(
    r"Seq Scan on jobs_(?:job|execution|jobevent)\b|\bSCAN (?:jobs_(?:job|execution|jobevent)|[evje])$", re.MULTILINE
)
_FIRST = 'FROM "jobs_jobevent" ORDER BY 1 ASC LIMIT 1'


@contextmanager
def plans() -> Iterator[list[str]]:
    """The plan of each statement inside that reads jobs, runs or events."""
    seen: list[str] = []
    word = "EXPLAIN" if connection.vendor == "postgresql" else "EXPLAIN QUERY PLAN"

    def explained(execute: Callable[..., Any], sql: str, params: Any, many: bool, context: dict[str, Any]) -> Any:
        if sql.lstrip(" (\n").startswith("SELECT") and _READ.search(sql):
            execute(f"{word} {sql}", params, many, context)
            rows = context["cursor"].fetchall()
            seen.append("\n".join(str(row[-1]) for row in rows) + f"\n— of {sql}")
        return execute(sql, params, many, context)

    with connection.execute_wrapper(explained):
        yield seen


def whole_tables(seen: list[str]) -> list[str]:
    """The plans that read one from end to end; SQLite says the same of one that ends at the first row."""
    return [plan for plan in seen if _WHOLE.search(plan) and not plan.endswith(_FIRST)]


class Stored:
    """What is read from: the environments of a product, a moment in the middle of time, a job with a long history."""

    def __init__(self) -> None:
        if connection.vendor == "postgresql":
            self.job = store(RUNS)
            self.middle = database_now() - timedelta(days=45)
            place = Environment.objects.get(product__tag=PLACES[0][0], slug=PLACES[0][1])
        else:
            made = {state: make() for state, make in STATES.items() if state[0] != "queued"}
            made |= {state: STATES[state]() for state in STATES if state not in made}  # the others would claim them
            self.job, self.middle, place = made["completed", True].pk, database_now(), environment()
        self.now = database_now()
        self.here = frozenset({place.pk})

    def wanted(self, **conditions: Any) -> JobFilter:
        return JobFilter(environment_ids=self.here, **conditions)


@pytest.fixture
def stored() -> Stored:
    return Stored()


def id_at(moment: datetime) -> UUID:
    return UUID(int=to_ms(moment) << 80)


def read(wanted: JobFilter, **page: Any) -> int:
    """A page and its total, as the API reads them; how many jobs there are on it."""
    with bounded_reading():
        count_jobs(wanted)
        return len(list_jobs(wanted, limit=LIMIT, **page).jobs)


def test_a_page_of_each_state_is_found_by_an_index(stored: Stored) -> None:
    rarer = sorted({*JobStatus} - {JobStatus.COMPLETED})  # these are found by walking along the jobs, newest first
    with plans() as seen:
        found = {status: read(stored.wanted(statuses=frozenset({status}))) for status in rarer}
        everywhere = JobFilter(environment_ids=None, statuses=frozenset({JobStatus.FAILED}))
        assert read(everywhere) >= found[JobStatus.FAILED]
    assert min(found[status] for status in (JobStatus.FAILED, JobStatus.CANCELLED, JobStatus.SCHEDULED)) > 0
    assert len(seen) >= 2 * len(rarer)
    assert whole_tables(seen) == []


def test_pages_in_either_order_and_from_any_cursor_are_found_by_an_index(stored: Stored) -> None:
    with plans() as seen:
        for oldest_first in (False, True):
            for after in (None, id_at(stored.middle)):
                list_jobs(stored.wanted(), limit=LIMIT, after=after, oldest_first=oldest_first)
                list_jobs(JobFilter(environment_ids=None), limit=LIMIT, after=after, oldest_first=oldest_first)
    assert len(seen) >= 8
    assert whole_tables(seen) == []


def test_recurring_jobs_are_found_by_their_own_index(stored: Stored) -> None:
    with plans() as seen:
        assert read(stored.wanted(recurring=True)) > 0
    assert len(seen) >= 2
    assert all("job_recurring" in plan for plan in seen[:2]), seen
    assert whole_tables(seen) == []


@pytest.mark.parametrize(
    "conditions",
    [
        {"namespace": "storage"},
        {"queue": "default"},
        {"target": "app-3:event-3"},
        {"labels": (("team", "billing"),)},
        {"q": "422"},
        {"last_run_status": "failed"},
        {"last_run_status": "completed"},
        {"consecutive_failures": 1},
        {"retrying": True},
        {"retrying": False},
        {"recurring": False},
        {"statuses": frozenset({JobStatus.COMPLETED})},
    ],
    ids=str,
)
def test_what_no_index_knows_is_looked_for_along_one(stored: Stored, conditions: dict[str, Any]) -> None:
    if connection.vendor == "postgresql":  # which of few rows would rather read and sort them all
        with connection.cursor() as sql:
            sql.execute("SET LOCAL enable_seqscan = off")
    with plans() as seen:
        read(stored.wanted(**conditions))
        read(stored.wanted(**conditions, since=stored.now - timedelta(days=1), until=stored.now))
    assert len(seen) >= 4
    assert whole_tables(seen) == []


def test_jobs_are_counted_from_indexes_and_in_a_window_from_its_events(stored: Stored) -> None:
    with plans() as seen:
        everything = jobs_by_state(stored.wanted())
        window = jobs_by_state(stored.wanted(since=stored.now - timedelta(hours=6), until=stored.now))
    assert everything["failed"] > 0
    assert 0 < window["completed"] <= everything["completed"]
    assert whole_tables(seen) == []


@pytest.mark.parametrize("namespace", [None, "storage"])
def test_statistics_and_series_read_the_events_of_their_window(stored: Stored, namespace: str | None) -> None:
    since, until = stored.now - timedelta(hours=6), stored.now
    with plans() as seen, bounded_reading():
        shown = job_stats(stored.wanted(since=since, until=until, namespace=namespace))
        series = run_series(stored.wanted(namespace=namespace), since=since, until=until, interval=3_600_000)
    assert shown["runs"] == sum(bucket["runs"] for bucket in series["buckets"])
    assert whole_tables(seen) == []
    assert not [plan for plan in seen if "event_seq_once_per_job" in plan], "events are looked for by their run"


def test_statistics_of_counted_runs_read_slots_by_an_index(stored: Stored) -> None:
    ended = Execution.objects.filter(environment_id__in=stored.here, status__in=["completed", "failed"]).count()
    with clock.shift(ORDER_SLACK):
        while tally.bring_up_to_date():
            pass
    if connection.vendor == "postgresql":
        with connection.cursor() as sql:
            sql.execute("ANALYZE jobs_runslot")
    since, until = stored.now - timedelta(days=40), stored.now
    with plans() as seen, bounded_reading():
        assert job_stats(stored.wanted())["runs"] == ended
        window = job_stats(stored.wanted(since=since, until=until))
        everywhere = JobFilter(environment_ids=None)
        run_series(everywhere, since=since, until=until, interval=86_400_000)
    assert 0 < window["runs"] <= ended
    of_slots = [plan for plan in seen if "jobs_runslot" in plan]
    assert len(of_slots) == 3
    assert not [plan for plan in of_slots if "Seq Scan on jobs_runslot" in plan or "SCAN jobs_runslot\n" in plan]
    assert whole_tables([plan for plan in seen if "FROM jobs_jobevent" in plan]) == []
    assert not [plan for plan in seen if "event_seq_once_per_job" in plan], seen


def test_all_that_ever_ran_is_counted_without_looking_for_events_by_their_run(stored: Stored) -> None:
    """The planner did: for each of the hundred thousand runs of one job it read all events of that job."""
    since, until = stored.now - timedelta(days=90), stored.now
    with plans() as seen, bounded_reading():
        shown = run_series(stored.wanted(), since=since, until=until, interval=86_400_000)
        if connection.vendor == "postgresql":  # as it is tempted to where it expects few runs
            with connection.cursor() as sql:
                sql.execute("SET LOCAL enable_hashjoin = off; SET LOCAL enable_mergejoin = off")
        none = run_series(stored.wanted(namespace="nothing"), since=since, until=until, interval=86_400_000)
    assert sum(bucket["runs"] for bucket in none["buckets"]) == 0
    ended = Execution.objects.filter(environment_id__in=stored.here, status__in=["completed", "failed"])
    assert sum(bucket["runs"] for bucket in shown["buckets"]) == ended.count()
    assert not [plan for plan in seen if "event_seq_once_per_job" in plan], seen


def test_a_history_of_any_length_is_read_by_its_index(stored: Stored) -> None:
    with plans() as seen:
        runs = history(stored.job, limit=LIMIT, offset=LIMIT if connection.vendor == "postgresql" else 0)
        history(stored.job, limit=LIMIT, statuses=frozenset({RunStatus.COMPLETED}))
    assert runs
    assert len(seen) == 4
    assert whole_tables(seen) == []


def test_explain_and_the_open_runs_of_a_job_do_not_read_its_history(stored: Stored) -> None:
    job = Job.objects.get(pk=stored.job)
    with plans() as seen:
        told = explain(job, stored.now - timedelta(days=1, hours=3))
        open_runs([job.pk])
    assert told.sentence
    assert whole_tables(seen) == []
    of_open_runs = [plan for plan in seen if "UNION ALL" in plan]
    assert len(of_open_runs) == 2
    for plan in of_open_runs:
        assert "execution_one_running_per_job" in plan or "execution_of_worker" in plan, plan
        assert "execution_number_once_per_job" not in plan, plan


def test_stored_runs_are_sound(monkeypatch: pytest.MonkeyPatch) -> None:
    if connection.vendor != "postgresql":
        pytest.skip("they are made within PostgreSQL")
    monkeypatch.setattr(fsck, "LOOK_AGAIN_SECONDS", 0.0)
    job = Job.objects.get(pk=store(3_000))
    assert {check.name: found for check, found in fsck.check_all() if found} == {}
    assert (job.status, job.execution_count, Execution.objects.count()) == ("completed", 300, 3_000)
    assert {*Job.objects.values_list("status", flat=True)} == {"completed", "failed", "cancelled", "scheduled"}
    with connection.cursor() as sql:
        sql.execute("SELECT indexname FROM pg_indexes WHERE tablename = 'jobs_execution'")
        names = {row[0] for row in sql.fetchall()}
    expected = {each.name for each in (*Execution._meta.indexes, *Execution._meta.constraints)}
    checks = {name for name in expected if name not in names}
    assert all(name.startswith(("execution_status", "execution_trigger", "execution_running_is", "execution_owned",
                                "execution_ended", "execution_that")) for name in checks), checks  # fmt: skip
