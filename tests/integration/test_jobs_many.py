"""The …-many calls: which jobs they take, what they tell, what is refused."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import timedelta
from types import SimpleNamespace
from typing import Any
from uuid import UUID

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from pytest_django import Settings

from core.clock import database_now
from core.ids import encode
from core.shortcache import forget_everything
from core.tenancy import scopes
from core.tenancy.models import AuditEntry, Environment
from core.times import to_ms
from jobs import notices, queries, wakeup
from jobs.lifecycle import intervene, together
from jobs.models import Job, JobEvent, Operation
from jobs.operations import many as operation
from jobs.operations.many import GIVE_WAY_SECONDS, go_on_with_one, prune
from tests.conformance.world import claim_one, complete, environment, fail, fresh, make_due, new_job, runs_of, snapshot
from tests.integration.api import OPERATOR, Api, key_of, told

pytestmark = pytest.mark.django_db

HOURLY = {"every": 3_600_000}
CALLS = ("cancel", "pause", "resume", "retry", "reschedule", "delete")


@pytest.fixture(autouse=True)
def _here(settings: Settings) -> Iterator[None]:
    settings.OPERATOR_API_KEY = OPERATOR
    settings.ROOT_URLCONF = "tests.integration.api"
    settings.EXTRA_EXECUTORS = {"noop": "tests.acceptance.executors.Echo"}
    forget_everything()
    yield
    forget_everything()


def many(call: str, body: dict[str, Any], api: Api | None = None) -> dict[str, Any]:
    answer = (api or Api()).post(f"/v1/jobs/{call}-many", body)
    assert answer.status_code == 200, answer.content
    told: dict[str, Any] = answer.json()
    return told


def later(**schedule: Any) -> dict[str, Any]:
    return {**schedule, "start_at": to_ms(database_now() + timedelta(hours=1))}


def statuses(*jobs: Job) -> list[str]:
    return [fresh(job).status for job in jobs]


# --- which jobs -----------------------------------------------------------------------------------


def test_without_a_status_every_state_that_allows_it_is_taken_and_no_other_is_counted() -> None:
    ended = new_job()
    complete(claim_one(ended))
    paused = new_job(later(**HOURLY))
    intervene.pause(paused.pk)
    queued, scheduled = new_job(), new_job(later())

    assert many("cancel", {"product": "shop"}) == {"count": 3, "skipped": 0}

    assert statuses(queued, scheduled, paused, ended) == ["cancelled", "cancelled", "cancelled", "completed"]


def test_status_and_label_may_be_lists() -> None:
    both = new_job(labels={"team": "a", "tier": "1"})
    one = new_job(labels={"team": "a", "tier": "2"})
    other = new_job(later(), labels={"team": "a", "tier": "1"})

    body = {"status": ["queued", "running"], "label": ["team:a", "tier:1"]}

    assert many("cancel", body) == {"count": 1, "skipped": 0}
    assert statuses(both, one, other) == ["cancelled", "queued", "scheduled"]
    assert many("cancel", {"status": "queued,scheduled", "label": "team:a"}) == {"count": 2, "skipped": 0}


@pytest.mark.parametrize(
    "body",
    [
        {"namespace": "noop"}, {"env": "prd"}, {"queue": "default"}, {"target": "nothing"}, {"q": "nothing"}, {"recurring": False},
        {"from": 0}, {"to": "2100-01-01T00:00:00Z"}, {"retrying": False}, {"from": "2020-01-01", "to": 4_000_000_000_000},
    ],
)  # fmt: skip
def test_each_field_of_a_list_selects(body: dict[str, Any]) -> None:
    job = new_job()
    assert many("cancel", body) == {"count": 1, "skipped": 0}
    assert statuses(job) == ["cancelled"]


def test_how_the_last_run_ended_and_failures_in_a_row_select() -> None:
    failing, fine = new_job(HOURLY), new_job(later(**HOURLY))
    fail(claim_one(failing))

    assert many("pause", {"last_run_status": "failed", "consecutive_failures": 1})["count"] == 1

    assert statuses(failing, fine) == ["paused", "scheduled"]


@pytest.mark.parametrize("call", CALLS)
def test_what_matches_nothing_changes_nothing(call: str) -> None:
    job = new_job(later(**HOURLY))
    before = snapshot(job)
    more = {"schedule": {"every": 60_000}} if call == "reschedule" else {}

    for body in ({"product": "nobody"}, {"env": "moon"}, {"queue": "other"}):
        answer = many(call, {**body, **more})
        assert (answer["count"], answer["skipped"]) == (0, 0)

    assert snapshot(job) == before


def test_pause_many_skips_one_offs() -> None:
    recurring, once = new_job(later(**HOURLY)), new_job(later())

    told = many("pause", {"product": "shop", "note": "maintenance"})

    assert (told["count"], told["skipped"]) == (1, 1)
    assert (fresh(recurring).pause_note, fresh(once).status) == ("maintenance", "scheduled")


def test_a_pause_id_resumes_just_what_that_call_paused() -> None:
    by_hand, first, second = (new_job(later(**HOURLY)) for _ in range(3))
    intervene.pause(by_hand.pk)
    pause_id = many("pause", {"q": encode("job", first.pk)})["pause_id"]
    many("pause", {"product": "shop"})

    assert many("resume", {"pause_id": pause_id}) == {"count": 1, "skipped": 0}

    assert statuses(by_hand, first, second) == ["paused", "scheduled", "paused"]
    intervene.pause(first.pk)  # anew, by somebody else
    assert many("resume", {"pause_id": pause_id}) == {"count": 0, "skipped": 0}
    assert many("resume", {"product": "shop", "status": "paused"}) == {"count": 3, "skipped": 0}


def test_retry_many_takes_what_failed_and_recurring_jobs_whose_last_run_failed() -> None:
    failed, recurring, fine = new_job(), new_job(HOURLY), new_job(HOURLY)
    fail(claim_one(failed))
    fail(claim_one(recurring))
    complete(claim_one(fine))

    midnight = to_ms(database_now() - timedelta(hours=1))
    assert many("retry", {"status": "failed", "from": midnight}) == {"count": 2, "skipped": 0}

    assert statuses(failed, recurring, fine) == ["queued", "queued", "scheduled"]
    assert [run.trigger for run in runs_of(recurring)] == ["schedule", "retry"]


def test_the_window_of_retry_many_is_of_the_end_of_the_failed_run() -> None:
    old = new_job(HOURLY)  # its next occurrence is in the future, its failure is not
    fail(claim_one(old))
    now = to_ms(database_now())

    assert many("retry", {"status": "failed", "from": now + 1000}) == {"count": 0, "skipped": 0}
    assert many("retry", {"product": "shop", "to": now - 60_000}) == {"count": 0, "skipped": 0}
    assert many("retry", {"product": "shop", "to": now + 1000, "delay": 60_000}) == {"count": 1, "skipped": 0}
    assert fresh(old).status == "scheduled"
    assert fresh(old).next_attempt_at is not None


def test_reschedule_many_tells_of_jobs_that_cannot_take_it() -> None:
    free, limited = new_job(later(**HOURLY)), new_job({**HOURLY, "limit": 5})
    complete(claim_one(limited))

    told = many("reschedule", {"product": "shop", "recurring": True, "schedule": {"limit": 1}})

    assert (told["count"], told["skipped"]) == (1, 1)
    assert [(error["job_id"], error["code"]) for error in told["errors"]] == [(encode("job", limited.pk), "invalid")]
    assert "1 runs have started already" in told["errors"][0]["detail"]
    assert (fresh(free).limit, fresh(limited).limit) == (1, 5)


def test_delete_many_passes_over_what_runs_unless_forced() -> None:
    running, old = new_job(), new_job(later())
    claim_one(running)

    assert many("delete", {"product": "shop"}) == {"count": 1, "skipped": 1}
    assert not Job.objects.filter(pk=old.pk).exists()
    assert many("delete", {"product": "shop", "force": True}) == {"count": 1, "skipped": 0}
    assert list(JobEvent.objects.filter(job_id=running.pk).order_by("seq").values_list("type", flat=True))[-2:] == [
        "job.cancelled",
        "job.deleted",
    ]


def test_old_ended_jobs_are_deleted_as_the_documents_do_it() -> None:
    done, waiting = new_job(), new_job(later())
    complete(claim_one(done))
    statuses_ = ["completed", "cancelled", "failed"]

    past, soon = to_ms(database_now() - timedelta(days=90)), to_ms(database_now() + timedelta(days=1))
    assert many("delete", {"status": statuses_, "to": past}) == {"count": 0, "skipped": 0}
    assert many("delete", {"status": statuses_, "to": soon}) == {"count": 1, "skipped": 0}
    assert list(Job.objects.values_list("pk", flat=True)) == [waiting.pk]


# --- how it is done -------------------------------------------------------------------------------


def test_workers_schedulers_and_queues_are_told_once_and_the_actor_is_noted(
    monkeypatch: pytest.MonkeyPatch, django_capture_on_commit_callbacks: Any
) -> None:
    heard: list[tuple[str, Any]] = []
    monkeypatch.setattr(notices, "tell_stopped", lambda runs: heard.append(("stopped", list(runs))))
    monkeypatch.setattr(notices, "tell_due", lambda: heard.append(("due", None)))
    monkeypatch.setattr(wakeup, "wake", lambda queues: heard.append(("wake", list(queues))))
    jobs = [new_job() for _ in range(3)]
    for _ in jobs:
        fail(claim_one())
    key = key_of("shop", name="ops")

    with django_capture_on_commit_callbacks(execute=True):
        many("retry", {"status": "failed"}, key)
    assert heard == [("wake", ["default"]), ("due", None)]
    heard.clear()
    for _ in jobs:
        claim_one()
    with django_capture_on_commit_callbacks(execute=True):
        many("cancel", {"status": "running", "reason": "enough"}, key)

    assert heard == [("stopped", [runs_of(job)[-1].pk for job in jobs])]
    assert {(fresh(job).cancel_reason) for job in jobs} == {"enough"}
    assert set(JobEvent.objects.filter(type="job.cancelled").values_list("actor", flat=True)) == {"ops"}
    assert list(AuditEntry.objects.filter(actor="ops").order_by("pk").values_list("action", flat=True)) == [
        "jobs.retry_many",
        "jobs.cancel_many",
    ]


def test_a_dry_run_tells_nobody_and_writes_nothing_but_that_it_was_asked(
    django_capture_on_commit_callbacks: Any,
) -> None:
    jobs = [new_job(later(**HOURLY)), new_job(later())]
    before = [snapshot(job) for job in jobs]
    events = JobEvent.objects.count()

    with django_capture_on_commit_callbacks() as callbacks:
        assert many("pause", {"product": "shop", "dry_run": True}) == {"count": 1, "skipped": 1}

    assert callbacks == []
    assert [snapshot(job) for job in jobs] == before
    assert (JobEvent.objects.count(), AuditEntry.objects.filter(action__startswith="jobs.").count()) == (events, 0)


def test_a_job_that_changed_after_it_was_found_is_passed_over(monkeypatch: pytest.MonkeyPatch) -> None:
    changed, gone, left = new_job(), new_job(later(**HOURLY)), new_job(later())
    find = queries.ids_of

    def find_and_lose(*args: Any, **kwargs: Any) -> list[UUID]:
        ids = find(*args, **kwargs)
        if kwargs.get("oldest_first", True) and len(ids) == 3:
            claim_one(changed)
            intervene.delete(gone.pk)
        return ids

    monkeypatch.setattr(queries, "ids_of", find_and_lose)

    assert many("cancel", {"status": ["queued", "scheduled"]}) == {"count": 1, "skipped": 2}

    assert statuses(changed, left) == ["running", "cancelled"]  # it asked for none that runs


def test_after_each_chunk_but_the_last_the_one_writer_of_sqlite_gives_way(monkeypatch: pytest.MonkeyPatch) -> None:
    pauses: list[float] = []
    monkeypatch.setattr(operation, "time", SimpleNamespace(monotonic=time.monotonic, sleep=pauses.append))
    monkeypatch.setattr(operation, "CHUNK", 2)
    for _ in range(5):
        new_job(later())

    assert many("cancel", {"product": "shop"}) == {"count": 5, "skipped": 0}

    assert len(pauses) == 2
    if connection.vendor == "sqlite":  # as long as the chunk took, at most until whoever waits has looked again
        assert all(0 < pause <= GIVE_WAY_SECONDS for pause in pauses)
    else:
        assert pauses == [0, 0]


def test_a_job_that_breaks_takes_no_other_with_it(monkeypatch: pytest.MonkeyPatch) -> None:
    first, second, third = (new_job() for _ in range(3))
    cancel = intervene.cancel

    def break_one(job_id: UUID, **kwargs: Any) -> Any:
        done = cancel(job_id, **kwargs)
        if job_id == second.pk:
            raise RuntimeError("changed under the lock")
        return done

    def break_all(*args: Any, **kwargs: Any) -> None:
        raise RuntimeError("changed under the lock")

    monkeypatch.setattr(intervene, "cancel", break_one)
    monkeypatch.setattr(together, "record_events", break_all)  # each then goes alone

    told = many("cancel", {"product": "shop"})

    assert (told["count"], told["skipped"]) == (2, 1)
    assert [(error["job_id"], error["code"]) for error in told["errors"]] == [
        (encode("job", second.pk), "internal_error")
    ]
    assert statuses(first, third) == ["cancelled", "cancelled"]


def test_what_is_due_is_opened_before_a_pause_as_the_single_call_does() -> None:
    job = new_job(HOURLY)
    complete(claim_one(job))
    make_due(job)

    assert many("pause", {"recurring": True})["count"] == 1

    assert [run.status for run in runs_of(job)] == ["completed", "frozen"]


# --- who may --------------------------------------------------------------------------------------


@pytest.mark.parametrize("call", CALLS)
def test_strangers_and_keys_without_the_scope_change_nothing(call: str) -> None:
    job = new_job(later(**HOURLY))
    before = snapshot(job)
    body = {"recurring": True, **({"schedule": {"every": 60_000}} if call == "reschedule" else {})}

    for stranger in (key_of("other", envs=("prd",)), key_of("shop", envs=("stg",))):
        answer = many(call, body, stranger)
        assert (answer["count"], answer["skipped"]) == (0, 0)
    path = f"/v1/jobs/{call}-many"
    assert told(key_of(scopes_={scopes.JOBS_READ}).post(path, body)) == (403, "scope_missing")
    assert told(Api(None).post(path, body)) == (401, "unauthenticated")
    assert snapshot(job) == before


def test_a_key_of_an_environment_takes_what_is_there() -> None:
    stage = Environment.objects.create(product=environment().product, slug="stg", name="Stage")
    here, there = new_job(environment_id=stage.pk), new_job()

    assert many("cancel", {"status": "queued"}, key_of("shop", envs=("stg",))) == {"count": 1, "skipped": 0}

    assert statuses(here, there) == ["cancelled", "queued"]


# --- what is refused ------------------------------------------------------------------------------


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("body", [{}, {"dry_run": True}, {"product": None}])
def test_a_filter_that_names_nothing_is_refused(call: str, body: dict[str, Any]) -> None:
    job = new_job(later(**HOURLY))
    before = snapshot(job)
    more = {"schedule": {"every": 60_000}} if call == "reschedule" else {}

    assert told(Api().post(f"/v1/jobs/{call}-many", {**body, **more})) == (400, "empty_filter")

    assert snapshot(job) == before
    assert not Operation.objects.exists()


@pytest.mark.parametrize(
    ("call", "body", "field"),
    [
        ("cancel", {"limit": 5}, "limit"), ("cancel", {"offset": 5}, "offset"), ("cancel", {"cursor": ""}, "cursor"),
        ("cancel", {"order": "created_at"}, "order"), ("cancel", {"product": ""}, "product"), ("cancel", {"product": "  "}, "product"),
        ("cancel", {"product": ["shop"]}, "product"), ("cancel", {"status": []}, "status"), ("cancel", {"status": ["gone"]}, "status"),
        ("cancel", {"status": ","}, "status"), ("cancel", {"status": [""]}, "status"), ("cancel", {"status": {}}, "status"),
        ("cancel", {"label": "team"}, "label"), ("cancel", {"label": [1]}, "label"), ("cancel", {"label": ["a:b"] * 51}, "label"),
        ("cancel", {"recurring": "true"}, "recurring"), ("cancel", {"retrying": 1}, "retrying"), ("cancel", {"from": True}, "from"),
        ("cancel", {"from": "yesterday"}, "from"), ("cancel", {"to": -1}, "to"), ("cancel", {"from": 2000, "to": 1000}, "from"),
        ("cancel", {"consecutive_failures": 0}, "consecutive_failures"), ("cancel", {"q": "x" * 301}, "q"),
        ("cancel", {"last_run_status": "lost"}, "last_run_status"), ("cancel", {"env": "prd", "dry_run": "yes"}, "dry_run"),
        ("cancel", {"env": "prd", "reason": 1}, "reason"), ("cancel", {"env": "prd", "reason": "x" * 2001}, "reason"),
        ("cancel", {"env": "prd", "note": "x"}, "note"), ("cancel", {"pause_id": "pause_x"}, "pause_id"),
        ("pause", {"env": "prd", "note": []}, "note"), ("resume", {"pause_id": "job_1"}, "pause_id"),
        ("resume", {"pause_id": ""}, "pause_id"), ("retry", {"env": "prd", "delay": -1}, "delay"),
        ("retry", {"env": "prd", "delay": "soon"}, "delay"), ("delete", {"env": "prd", "force": "yes"}, "force"),
        ("reschedule", {"env": "prd"}, "schedule"), ("reschedule", {"env": "prd", "schedule": []}, "schedule"),
        ("reschedule", {"env": "prd", "schedule": {}}, "schedule"), ("reschedule", {"env": "prd", "every": 1000, "schedule": {"every": 1000}}, "every"),
        ("reschedule", {"env": "prd", "schedule": {"every": 5}}, "schedule.every"),
        ("reschedule", {"env": "prd", "schedule": {"evry": 5000}}, "schedule.evry"),
        ("reschedule", {"env": "prd", "schedule": {"cron": "x"}}, "schedule.cron"),
        ("reschedule", {"env": "prd", "schedule": {"limit": 0}}, "schedule.limit"),
        ("reschedule", {"env": "prd", "schedule": {"tz": "Mars/Olympus"}}, "schedule.tz"),
    ],
)  # fmt: skip
def test_a_wrong_body_is_named_by_its_field_and_nothing_is_done(call: str, body: dict[str, Any], field: str) -> None:
    job = new_job(later(**HOURLY))
    before = snapshot(job)

    answer = Api().post(f"/v1/jobs/{call}-many", body)

    assert answer.status_code == 400, answer.content
    assert [error["field"] for error in answer.json()["errors"]] == [field]
    assert snapshot(job) == before
    assert not Operation.objects.exists()


# --- plans ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "body",
    [{"product": "shop"}, {"status": ["scheduled", "failed"]}, {"status": "queued", "label": "a:b"}, {"env": "prd", "q": "x"}],
)  # fmt: skip
def test_every_statement_finds_its_rows_by_an_index(body: dict[str, Any]) -> None:
    for _ in range(3):
        new_job(labels={"a": "b"})
        new_job(later(**HOURLY))
    with CaptureQueriesContext(connection) as seen:
        many("cancel", body)
        go_on_with_one()
        prune()
    plans = "\n".join(_plan(query["sql"]) for query in seen if "jobs_" in query["sql"])
    table = "Seq Scan on jobs_" if connection.vendor == "postgresql" else "SCAN jobs_"
    scanned = [line for line in plans.splitlines() if table in line and "USING" not in line]
    assert "jobs_job" in plans
    assert "operation_unfinished" in plans
    assert "operation_finished" in plans
    assert scanned == []


def _plan(statement: str) -> str:
    if not statement.startswith(("SELECT", "UPDATE", "DELETE")):
        return ""
    with connection.cursor() as sql:
        if connection.vendor == "postgresql":
            sql.execute("SET LOCAL enable_seqscan = off")  # the tables of a test are too small for an index to pay
            sql.execute(f"EXPLAIN {statement}")
        else:
            sql.execute(f"EXPLAIN QUERY PLAN {statement}")
        return "\n".join(str(row[-1]) for row in sql.fetchall())
