"""`from jobs import dispatch`: the same job, checks and errors as over REST, in the transaction of whoever calls."""

from __future__ import annotations

import inspect
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import redis
from django.db import connection, connections, transaction
from pytest_django import Settings

import jobs
from core.errors import ApiError, Conflict, Invalid, NotFound
from jobs import DispatchFields, JobFields, OtherTransaction, dispatch, dispatch_many, wakeup
from jobs.api.dispatch_schemas import OPTIONS
from jobs.inprocess import ScheduleFields
from jobs.models import Execution, Job
from jobs.operations.idempotency import KeyReused
from jobs.operations.targets import TARGETS
from jobs.schedule.parsing import FIELDS
from tests.integration.api import OPERATOR, Api
from tests.integration.dispatch_world import ACTIONS, BODY, at_once, catalog, counts

ROOT = Path(__file__).resolve().parents[2]
ONE: Any = {"product": "shop", "env": "prd", "app": "mail", "event": "ping"}
PING: JobFields = {"namespace": "actions", "product": "shop", "env": "prd", "app": "mail", "event": "ping"}
HANGING_SECONDS = 0.5  # the longest that a Redis which does not answer may hold a caller up
SLACK_SECONDS = 1.0  # for a machine that does other things besides

in_a_transaction = pytest.mark.django_db
committing = pytest.mark.django_db(transaction=True)


@pytest.fixture
def woken(monkeypatch: pytest.MonkeyPatch) -> list[set[str]]:
    said: list[set[str]] = []
    monkeypatch.setattr(wakeup, "wake", lambda queues: said.append(set(queues)))
    return said


@contextmanager
def other_database() -> Iterator[str]:
    """A second alias for as long as it is needed."""
    settings: dict[str, Any] = {
        "default": dict(connections.settings["default"]),
        "other": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"},
    }
    connections.settings["other"] = connections.configure_settings(settings)["other"]
    connections["other"].connect()  # a test case lets nobody connect to what it does not know
    try:
        yield "other"
    finally:
        connections["other"].close()
        del connections["other"]
        del connections.settings["other"]


def refusal(**fields: Any) -> ApiError:
    with pytest.raises(ApiError) as refused:
        dispatch(**{**ONE, **fields})
    return refused.value


# --- the same as over REST ------------------------------------------------------------------


@in_a_transaction
def test_a_job_is_the_same_as_one_of_the_api(settings: Settings) -> None:
    settings.OPERATOR_API_KEY = OPERATOR
    settings.ROOT_URLCONF = "tests.integration.api"
    catalog()
    options: Any = {
        "input": {"body": {"n": 1}}, "retries": 3, "timeout": 5_000, "priority": 7, "queue": "slow", "on_lost": "fail",
        "labels": {"team": "billing"}, "concurrency_key": "tenant", "concurrency_limit": 2,
        "schedule": {"cron": "0 9 * * *", "tz": "America/New_York", "limit": 3, "endDate": "2099-01-01T00:00:00+00:00"},
    }  # fmt: skip
    config: dict[str, Any] = {"initialDelay": 500, "jitter": False}
    answer = Api().post(ACTIONS, {**BODY, **options, "retryConfig": config})
    assert answer.status_code == 201, answer.content
    done = dispatch("actions", **ONE, **options, retry_config=config)
    first, second = (dict[str, Any](row) for row in Job.objects.order_by("id").values())
    for differs in ("id", "created_at", "updated_at"):
        del first[differs], second[differs]
    assert second == first
    assert done.as_dict() == {**answer.json(), "job_id": done.id}
    assert done.id.startswith("job_")


def test_every_field_of_the_api_has_its_keyword() -> None:
    spelled = {name for names in TARGETS.values() for name in names.spelled}
    assert set(DispatchFields.__annotations__) == {*OPTIONS, *spelled, "retry_config"} - {"retryConfig"}
    assert set(ScheduleFields.__annotations__) == set(FIELDS)
    assert inspect.signature(dispatch).parameters["namespace"].default == "actions"


@in_a_transaction
def test_moments_and_durations_are_taken_as_python_has_them() -> None:
    catalog()
    berlin = datetime(2099, 3, 1, 9, tzinfo=UTC).astimezone()
    dispatch(**ONE, schedule={"start_at": berlin}, timeout=timedelta(seconds=90))
    dispatch(
        **ONE,
        schedule={
            "every": timedelta(hours=2), "start_at": datetime(2099, 3, 1, 9), "tz": "America/New_York",  # naive: in `tz`
            "jitter": timedelta(minutes=5), "endDate": datetime(2099, 4, 1, tzinfo=UTC),
        },
    )  # fmt: skip
    first, second = Job.objects.order_by("id")
    assert (first.start_at, first.timeout) == (datetime(2099, 3, 1, 9, tzinfo=UTC), 90_000)
    assert second.start_at == datetime(2099, 3, 1, 14, tzinfo=UTC)
    assert (second.every, second.jitter, second.end_date) == (7_200_000, 300_000, datetime(2099, 4, 1, tzinfo=UTC))


@in_a_transaction
def test_errors_have_the_codes_and_the_fields_of_the_api() -> None:
    catalog()
    wrong: dict[str, Any]
    for wrong, field, code in (
        ({"retries": -1}, "retries", "invalid"),
        ({"priority": "high"}, "priority", "invalid"),
        ({"timeout": timedelta(microseconds=1500)}, "timeout", "invalid"),
        ({"schedule": {"every": timedelta(milliseconds=1)}}, "schedule.every", "invalid"),
        ({"schedule": {"cron": "61 * * * *"}}, "schedule.cron", "invalid_cron"),
        ({"schedule": {"start_at": datetime(2399, 1, 1)}}, "schedule.start_at", "invalid"),
        ({"schedule": {"evry": 5}}, "schedule.evry", "unknown_field"),
        ({"schedule": 5}, "schedule", "invalid"),
        ({"input": {"at": datetime(2099, 1, 1)}}, "input", "invalid"),
        ({"retrys": 3}, "retrys", "unknown_field"),
        ({"database": "main"}, "database", "unknown_field"),
        ({"event": None}, "event", "required"),
        ({"action": "pong"}, "action", "invalid"),
        ({"namespace": "action"}, "namespace", "unknown_namespace"),
        ({"on_conflict": "reject"}, "on_conflict", "invalid"),
    ):  # fmt: skip
        error = refusal(**wrong)
        assert isinstance(error, Invalid), wrong
        assert [(each.field, each.code) for each in error.errors] == [(field, code)], wrong
    assert "retries" in refusal(retrys=3).detail  # what was meant
    assert isinstance(refusal(app="post"), NotFound)
    assert counts() == (0, 0)


@in_a_transaction
def test_many_are_made_all_or_none_and_what_is_wrong_is_told_with_its_place() -> None:
    catalog()
    done = dispatch_many([{**PING, "schedule": {"every": timedelta(hours=1)}}, ONE])
    assert [job.recurring for job in done.jobs] == [True, False]
    assert counts() == (2, 2)
    bad: Any
    for bad, field in (({**PING, "retries": -1}, "jobs.1.retries"), ({**PING, "x": 1}, "jobs.1.x"), ("ping", "jobs.1")):
        with pytest.raises(Invalid) as refused:
            dispatch_many([PING, bad])
        assert [each.field for each in refused.value.errors] == [field]
    with pytest.raises(Invalid, match="1 to 1000"):
        dispatch_many([PING] * 1001)
    with pytest.raises(Invalid, match="1 to 1000"):
        dispatch_many([])
    assert counts() == (2, 2)


@in_a_transaction
def test_keys_mean_what_they_mean_over_rest() -> None:
    catalog()
    first = dispatch(**ONE, idempotency_key="order-7")
    again = dispatch(**ONE, idempotency_key="order-7")
    assert (again.job_id, again.replayed) == (first.job_id, True)
    with pytest.raises(KeyReused):
        dispatch(**ONE, idempotency_key="order-7", retries=1)
    holder = dispatch(**ONE, unique_key="sync")
    assert dispatch(**ONE, unique_key="sync").job_id == holder.job_id
    with pytest.raises(Conflict) as refused:
        dispatch(**ONE, unique_key="sync", on_conflict="reject")
    assert (refused.value.code, refused.value.extra["job_id"]) == ("unique_conflict", holder.id)
    assert dispatch(**ONE, unique_key="sync", on_conflict="replace").created
    assert Job.objects.get(pk=holder.job_id).status == "cancelled"
    many = dispatch_many([PING, PING], idempotency_key="all")
    repeated = dispatch_many([PING, PING], idempotency_key="all")
    assert (repeated.replayed, [job.id for job in repeated.jobs]) == (True, [job.id for job in many.jobs])


# --- with the caller's transaction ----------------------------------------------------------


@committing
def test_a_job_is_rolled_back_with_its_transaction_and_with_its_savepoint(woken: list[set[str]]) -> None:
    catalog()
    with pytest.raises(RuntimeError), transaction.atomic():
        dispatch(**ONE)
        raise RuntimeError
    assert (counts(), woken) == ((0, 0), [])

    with transaction.atomic():
        kept = dispatch(**ONE, queue="outer")
        with pytest.raises(RuntimeError), transaction.atomic():
            dispatch(**ONE, queue="middle")
            with transaction.atomic():
                dispatch_many([{**PING, "queue": "inner", "idempotency_key": "lost"}])
            raise RuntimeError
        assert woken == []  # not before the commit
    assert list(Job.objects.values_list("pk", flat=True)) == [kept.job_id]
    assert woken == [{"outer"}]
    assert dispatch(**ONE, idempotency_key="lost").replayed is False  # the key went with its job


@committing
def test_a_refusal_leaves_the_callers_transaction_usable(woken: list[set[str]]) -> None:
    catalog()
    with transaction.atomic():
        dispatch(**ONE, unique_key="one", queue="first")
        with pytest.raises(Conflict):
            dispatch(**ONE, unique_key="one", on_conflict="reject")
        with pytest.raises(NotFound):
            dispatch(**{**ONE, "app": "nothing"})
        dispatch(**ONE, queue="second")
    assert counts() == (2, 2)
    assert woken == [{"first"}, {"second"}]


@committing
def test_without_a_transaction_a_job_is_committed_at_once(woken: list[set[str]]) -> None:
    catalog()
    dispatch(**ONE)
    assert woken == [{"default"}]
    assert at_once(1, lambda _: counts()) == [(1, 1)]  # another connection sees it


@committing
@pytest.mark.skipif(connection.vendor == "sqlite", reason="SQLite's driver has no savepoints while autocommit is off")
def test_a_transaction_by_hand_is_joined_as_well(woken: list[set[str]]) -> None:
    catalog()
    transaction.set_autocommit(False)
    try:
        dispatch(**ONE, queue="first")
        transaction.rollback()
        dispatch(**ONE, queue="second")
        assert woken == []
        transaction.commit()
    finally:
        transaction.set_autocommit(True)  # Django calls what waits for the commit no earlier
    assert woken == [{"second"}]
    assert list(Job.objects.values_list("queue", flat=True)) == ["second"]


@committing
@pytest.mark.parametrize("committed", [True, False])
def test_of_two_transactions_with_one_unique_key_the_second_has_what_the_first_leaves(committed: bool) -> None:
    catalog()
    begun, answers = threading.Event(), {}

    def first() -> None:
        with transaction.atomic():
            answers["first"] = dispatch(**ONE, unique_key="one")
            begun.set()
            time.sleep(0.3)  # the second is waiting by now; if it comes later, it finds the same
            transaction.set_rollback(not committed)

    def second() -> None:
        assert begun.wait(10)
        with transaction.atomic():
            answers["second"] = dispatch(**ONE, unique_key="one")

    at_once(2, lambda index: (first, second)[index]())
    assert (answers["second"].job_id == answers["first"].job_id) is committed
    assert answers["second"].created is not committed
    assert list(Job.objects.values_list("pk", flat=True)) == [answers["second"].job_id]


# --- beside other databases, and without Redis ----------------------------------------------


@pytest.mark.parametrize(
    "transactional", [pytest.param(True, marks=committing), pytest.param(False, marks=in_a_transaction)]
)
def test_in_a_transaction_of_another_database_a_dispatch_is_refused(transactional: bool) -> None:
    """Also in a test that is a transaction itself: what passes there passes in production."""
    catalog()
    assert connection.in_atomic_block is not transactional
    with other_database() as other:
        dispatch(**ONE)
        with transaction.atomic(using=other):
            for call in (lambda: dispatch(**ONE), lambda: dispatch_many([PING])):
                with pytest.raises(OtherTransaction, match=r"on_commit.*allow_other_transaction") as refused:
                    call()
                assert "'other'" in str(refused.value)
            assert counts()[0] == 1
            dispatch(**ONE, allow_other_transaction=True)
            dispatch_many([PING], allow_other_transaction=True)
        with transaction.atomic(), transaction.atomic(using=other):
            dispatch(**ONE)  # it goes with the one that it is in
        dispatch(**ONE)
    assert counts()[0] == 5


@contextmanager
def redis_that_hangs() -> Iterator[str]:
    """It takes connections, and says nothing."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield f"redis://127.0.0.1:{server.getsockname()[1]}/0"


@committing
@pytest.mark.parametrize("hangs", [True, False])
def test_a_redis_that_is_away_costs_a_moment_and_no_job(hangs: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    catalog()
    with redis_that_hangs() as address:
        if not hangs:
            address = "redis://127.0.0.1:1/0"
        client = redis.Redis.from_url(
            address, socket_timeout=wakeup.SOCKET_SECONDS, socket_connect_timeout=wakeup.SOCKET_SECONDS, retry=None
        )
        monkeypatch.setattr(wakeup, "_client", client)
        monkeypatch.setattr(wakeup, "_silent_until", 0.0)
        began = time.monotonic()
        with transaction.atomic():
            for queue in ("one", "two", "three"):
                dispatch(**ONE, queue=queue, schedule={"every": 1_000})
        took = time.monotonic() - began
    assert Execution.objects.filter(status="queued").count() == 3
    assert took < HANGING_SECONDS + SLACK_SECONDS
    assert wakeup.reachable() is False  # asked once, not once a job


# --- the import ----------------------------------------------------------------------------


def test_the_package_is_imported_before_django_and_dispatch_is_found_after_it() -> None:
    program = """
import sys
import jobs
assert "jobs.models" not in sys.modules
import django
django.setup()
from jobs import dispatch, dispatch_many
import jobs.operations.dispatch
assert jobs.dispatch is dispatch and callable(dispatch)
"""
    subprocess.run([sys.executable, "-c", program], cwd=ROOT, check=True, timeout=60, env=_environment())


def _environment() -> dict[str, str]:
    return {**os.environ, "DJANGO_SETTINGS_MODULE": "ductape_jobs.settings"}


def test_what_is_not_there_is_told_as_of_any_module() -> None:
    with pytest.raises(AttributeError, match="has no attribute 'dispach'"):
        jobs.dispach  # noqa: B018
    assert set(jobs.__all__) == set(jobs.inprocess.__all__)
