"""Reading jobs over HTTP: one, a page, the history; what a key may not see is not there."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from pytest_django import Settings

from core import clock
from core.clock import database_now
from core.ids import encode, new_uuid
from core.shortcache import forget_everything
from core.tenancy import scopes
from core.tenancy.models import Environment, Product
from core.times import to_ms
from jobs import queries
from jobs.lifecycle import intervene
from jobs.lifecycle.promote import promote_due
from jobs.models import RARE_STATUSES, Job
from jobs.states import JobStatus
from tests.conformance.world import (
    claim_one,
    complete,
    environment,
    fail,
    fresh,
    make_due,
    new_job,
    postpone,
)  # fmt: skip
from tests.integration.api import OPERATOR, Api, key_of, told

pytestmark = pytest.mark.django_db

HOURLY = {"every": 3_600_000}


@pytest.fixture(autouse=True)
def _here(settings: Settings) -> Iterator[None]:
    settings.OPERATOR_API_KEY = OPERATOR
    settings.ROOT_URLCONF = "tests.integration.api"
    forget_everything()
    yield
    forget_everything()


def path_of(job: Job, tail: str = "") -> str:
    return f"/v1/jobs/{encode('job', job.pk)}{tail}"


def ids(answer: Any) -> list[str]:
    assert answer.status_code == 200, answer.content
    return [job["id"] for job in answer.json()["jobs"]]


def id_of(*jobs: Job) -> list[str]:
    return [encode("job", job.pk) for job in jobs]


# --- one job ------------------------------------------------------------------------------------


def test_a_queued_one_off_shows_the_contracts_fields_and_nothing_that_is_not_set() -> None:
    job = new_job(input={"body": {"a": 1}}, labels={"team": "mail"}, retries=3)

    shown = Api().get(path_of(job)).json()

    assert shown == {
        "id": encode("job", job.pk),
        "status": "queued",
        "namespace": "noop",
        "product": "shop",
        "env": "prd",
        "target": {"event": "nothing"},
        "scheduled_at": to_ms(job.scheduled_at),
        "recurring": False,
        "execution_count": 0,
        "successful_executions": 0,
        "failed_executions": 0,
        "consecutive_failures": 0,
        "retries": 3,
        "retry_count": 0,
        "timeout": 60_000,
        "priority": 5,
        "queue": "default",
        "labels": {"team": "mail"},
        "input": {"body": {"a": 1}},
        "schedule": {},
        "created_at": to_ms(job.created_at),
        "updated_at": to_ms(job.updated_at),
    }


def test_a_recurring_job_shows_its_schedule() -> None:
    job = new_job({"cron": "0 9 * * *", "tz": "America/New_York", "limit": 4, "endDate": 4_000_000_000_000})

    shown = Api().get(path_of(job)).json()

    assert {name: shown[name] for name in ("recurring", "cron", "tz", "limit", "end_date", "overlap", "misfire")} == {
        "recurring": True, "cron": "0 9 * * *", "tz": "America/New_York", "limit": 4, "end_date": 4_000_000_000_000,
        "overlap": "skip", "misfire": "once",
    }  # fmt: skip
    assert shown["next_run_at"] == to_ms(job.next_run_at)  # type: ignore[arg-type]  # it recurs
    assert shown["schedule"] == {
        "cron": "0 9 * * *", "tz": "America/New_York", "limit": 4, "endDate": 4_000_000_000_000,
    }  # fmt: skip
    assert "every" not in shown


def test_a_finished_job_shows_its_result_and_a_failed_one_its_error() -> None:
    done, broken = new_job(), new_job()
    complete(claim_one(), '{"status": 200}')
    fail(claim_one(), error="no such user")

    shown = {job["id"]: job for job in Api().get("/v1/jobs").json()["jobs"]}

    assert shown[encode("job", done.pk)]["result"] == {"status": 200}
    assert shown[encode("job", done.pk)]["status"] == "completed"
    assert "last_error" not in shown[encode("job", done.pk)]
    assert shown[encode("job", broken.pk)]["last_error"] == "no such user"
    assert "result" not in shown[encode("job", broken.pk)]
    assert Api().get(path_of(done)).json()["result"] == {"status": 200}


def test_a_back_off_shows_when_it_is_over_and_why() -> None:
    job = new_job(retries=2)
    postpone(claim_one(), delay_ms=60_000, error="upstream is late")

    shown = Api().get(path_of(job)).json()

    assert (shown["status"], shown["retry_count"], shown["last_error"]) == ("scheduled", 1, "upstream is late")
    assert shown["next_attempt_at"] == to_ms(fresh(job).next_attempt_at)  # type: ignore[arg-type]  # it waits
    assert ids(Api().get("/v1/jobs?retrying=true")) == id_of(job)
    assert ids(Api().get("/v1/jobs?retrying=false")) == []
    recurring = new_job({"every": 3_600_000}, retries=1)
    postpone(claim_one(recurring), delay_ms=60_000)
    intervene.pause(recurring.pk)
    assert ids(Api().get("/v1/jobs?retrying=true")) == id_of(recurring, job)  # a pause freezes a back-off


@pytest.mark.parametrize("tail", ["", "/history", "/explain"])
def test_a_job_that_does_not_exist_for_this_key_is_404(tail: str) -> None:
    job = new_job()
    stranger = key_of("other", envs=("prd",))

    for caller, path in (
        (stranger, path_of(job, tail)),
        (Api(), f"/v1/jobs/{encode('job', new_uuid())}{tail}"),
        (Api(), f"/v1/jobs/nonsense{tail}"),
        (Api(), f"/v1/jobs/{'x' * 500}{tail}"),
        (Api(), f"/v1/jobs/job_%00{tail}"),
    ):
        assert told(caller.get(path)) == (404, "job_not_found")
    assert told(Api(None).get(path_of(job, tail))) == (401, "unauthenticated")
    blind = key_of(scopes_={scopes.JOBS_DISPATCH})
    assert told(blind.get(path_of(job, tail))) == (403, "scope_missing")


def test_a_key_of_one_environment_sees_only_its_jobs() -> None:
    job = new_job()
    staging = Environment.objects.create(product=Product.objects.get(tag="shop"), slug="stg", name="Staging")
    other = new_job(environment_id=staging.pk)
    limited = key_of(envs=("stg",))

    assert ids(limited.get("/v1/jobs")) == id_of(other)
    assert ids(limited.get("/v1/jobs?env=prd")) == []
    assert told(limited.get(path_of(job))) == (404, "job_not_found")
    assert limited.get(path_of(other)).json()["env"] == "stg"


# --- lists --------------------------------------------------------------------------------------


def test_a_list_is_newest_first_and_pages_by_offset_with_a_total() -> None:
    jobs = [new_job() for _ in range(5)]

    first = Api().get("/v1/jobs?limit=2").json()
    last = Api().get("/v1/jobs?limit=2&offset=4").json()

    assert [job["id"] for job in first["jobs"]] == id_of(jobs[4], jobs[3])
    assert (first["total"], first["limit"], first["offset"]) == (5, 2, 0)
    assert first["next_cursor"] is not None
    assert [job["id"] for job in last["jobs"]] == id_of(jobs[0])
    assert last["next_cursor"] is None
    assert ids(Api().get("/v1/jobs?order=created_at")) == id_of(*jobs)


@pytest.mark.parametrize("order", ["-created_at", "created_at"])
def test_a_cursor_walks_through_all_jobs_once(order: str) -> None:
    jobs = [new_job() for _ in range(7)]

    seen: list[str] = []
    cursor: str | None = ""
    pages = 0
    while cursor is not None:
        page = Api().get(f"/v1/jobs?limit=3&order={order}&cursor={cursor}").json()
        assert set(page) == {"jobs", "limit", "next_cursor"}
        seen += [job["id"] for job in page["jobs"]]
        cursor = page["next_cursor"]
        pages += 1

    assert pages == 3
    assert seen == id_of(*(jobs if order == "created_at" else reversed(jobs)))


def test_a_total_is_a_lower_bound_past_what_is_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    for _ in range(4):
        new_job()
    monkeypatch.setattr(queries, "MOST_COUNTED", 3)

    page = Api().get("/v1/jobs?limit=1").json()

    assert (page["total"], page["total_is_lower_bound"]) == (3, True)


def test_every_state_is_found_by_its_filter() -> None:
    by_state = {
        "scheduled": new_job({"start_at": to_ms(database_now() + timedelta(hours=1))}),
        "paused": new_job({**HOURLY, "start_at": to_ms(database_now() + timedelta(hours=1))}),
        "cancelled": new_job(),
        "completed": new_job(),
    }
    intervene.pause(by_state["paused"].pk)
    intervene.cancel(by_state["cancelled"].pk)
    complete(claim_one(by_state["completed"]))
    by_state["failed"] = new_job()
    fail(claim_one(by_state["failed"]))
    by_state["running"] = new_job()
    claim_one(by_state["running"])
    by_state["queued"] = new_job()

    for status in JobStatus:
        assert ids(Api().get(f"/v1/jobs?status={status}")) == id_of(by_state[status]), status
        assert Api().get(f"/v1/jobs?status={status}").json()["total"] == 1
    several = ids(Api().get("/v1/jobs?status=failed,running,cancelled,completed"))
    assert several == id_of(by_state["running"], by_state["failed"], by_state["completed"], by_state["cancelled"])
    assert ids(Api().get("/v1/jobs?status=queued&status=running")) == id_of(by_state["queued"], by_state["running"])


def test_queued_jobs_are_found_also_when_there_are_many(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(queries, "MOST_OPEN_RUNS", 2)
    jobs = [new_job() for _ in range(4)]
    claim_one()

    assert ids(Api().get("/v1/jobs?status=queued")) == id_of(*reversed(jobs[1:]))


def test_the_other_filters() -> None:
    staging = Environment.objects.get_or_create(product=environment().product, slug="stg", defaults={"name": "S"})[0]
    mail = new_job(
        HOURLY,
        namespace="actions",
        target={"app": "mail", "event": "send"},
        labels={"team": "a:b", "0": "x"},
        queue="slow",
    )
    row = new_job(
        namespace="databases", target={"database": "logs", "operation": "deleteMany"}, environment_id=staging.pk,
        unique_key="nightly-cleanup",
    )  # fmt: skip

    for query, expected in {
        "recurring=true": mail, "recurring=false": row, "recurring=1": mail, "env=stg": row, "env=prd": mail,
        "namespace=actions": mail, "namespace=databases": row, "target=mail:send": mail, "target=logs:deleteMany": row,
        "target=mail": mail, "target=deleteMany": row, "label=team:a:b": mail, "label=0:x": mail, "queue=slow": mail, "q=nightly": row,
        "q=MAIL": mail, f"q={encode('job', row.pk)}": row, "product=shop&env=stg": row, "product=ductape:shop&env=stg": row,
    }.items():  # fmt: skip
        assert ids(Api().get(f"/v1/jobs?{query}")) == id_of(expected), query
    for query in (
        "product=nobody", "env=nowhere", "namespace=graphs", "target=mail:deleteMany", "target=mail:", "label=team:a",
        "label=team:a:b&label=x:y", "queue=fast", "q=%25", "last_run_status=failed", "product=nobody&status=failed",
    ):  # fmt: skip
        assert Api().get(f"/v1/jobs?{query}").json() == {
            "jobs": [], "total": 0, "limit": 50, "offset": 0, "next_cursor": None,
        }, query  # fmt: skip


def test_from_and_to_compare_with_the_end_of_final_jobs_and_the_time_of_others() -> None:
    now = database_now()
    later = new_job({"start_at": to_ms(now + timedelta(hours=1))})
    done = new_job()
    complete(claim_one(done))
    end, start = to_ms(fresh(done).completed_at), to_ms(later.scheduled_at)  # type: ignore[arg-type]  # it has ended

    def listed(query: str) -> list[str]:
        return ids(Api().get(f"/v1/jobs?{query}"))

    assert listed(f"from={end}&to={end}") == id_of(done)
    assert listed(f"from={end + 1}") == id_of(later)
    assert listed(f"to={start - 1}") == id_of(done)
    assert listed(f"from={start}&to={start}") == id_of(later)
    assert listed(f"from={start + 1}") == []
    assert listed(f"status=completed&to={end}") == id_of(done)
    assert listed(f"status=completed&to={end - 1}") == []
    assert listed(f"status=completed&to={end - 40 * 86_400_000}") == []
    iso = (now + timedelta(minutes=30)).isoformat().replace("+00:00", "Z")
    assert listed(f"from={iso}") == id_of(later)
    assert (
        listed("from=1970-01-01T02:00:00+02:00&to=2100-01-01T00:00:00+02:00") != []
    )  # as typed: in a query + is a space


def test_a_recurring_job_that_fails_is_found_by_its_last_run() -> None:
    job = new_job(HOURLY)
    fail(claim_one(job))
    once = new_job()
    fail(claim_one(once))
    complete(claim_one(new_job()))

    assert ids(Api().get("/v1/jobs?last_run_status=failed")) == id_of(once, job)
    assert ids(Api().get("/v1/jobs?last_run_status=failed&status=scheduled")) == id_of(job)
    assert len(ids(Api().get("/v1/jobs?last_run_status=completed"))) == 1


def test_jobs_are_found_by_how_many_runs_failed_in_a_row() -> None:
    failed = []
    for schedule in (HOURLY, HOURLY, None):
        failed.append(new_job(schedule))
        fail(claim_one(failed[-1]))
    twice, mended, once = failed
    make_due(twice)
    promote_due()
    fail(claim_one(twice))
    make_due(mended)
    promote_due()
    complete(claim_one(mended))

    assert ids(Api().get("/v1/jobs?consecutive_failures=1")) == id_of(once, twice)
    assert ids(Api().get("/v1/jobs?consecutive_failures=2")) == id_of(twice)
    assert ids(Api().get("/v1/jobs?consecutive_failures=1&status=failed")) == id_of(once)
    assert ids(Api().get("/v1/jobs?consecutive_failures=3")) == []
    assert Api().get("/v1/jobs?consecutive_failures=1").json()["total"] == 2


@pytest.mark.parametrize("query", ["consecutive_failures=1", "last_run_status=failed"])
def test_who_looks_for_failures_reads_no_job_that_completed(query: str) -> None:
    complete(claim_one(new_job()))
    with CaptureQueriesContext(connection) as made:
        assert ids(Api().get(f"/v1/jobs?{query}")) == []
    listing = [sql["sql"] for sql in made if 'FROM "jobs_job"' in sql["sql"] and "ORDER BY" in sql["sql"]]
    assert len(listing) == len(RARE_STATUSES)  # of the others none is queued or runs
    assert all('"rare_status" = ' in sql for sql in listing)


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("limit=0", "limit"), ("limit=1001", "limit"), ("limit=x", "limit"), ("offset=-1", "offset"),
        ("offset=100001", "offset"), ("status=done", "status"), ("recurring=maybe", "recurring"), ("from=yesterday", "from"),
        ("to=99999999999999999", "to"), ("label=x", "label"), ("cursor=xyz", "cursor"), ("order=name", "order"),
        ("consecutive_failures=0", "consecutive_failures"), ("consecutive_failures=x", "consecutive_failures"),
        ("last_run_status=running", "last_run_status"), ("q=%00", "q"), ("product=%00", "product"),
        ("limit=1&limit=2", "limit"), ("product=a&product=a", "product"), ("cursor=&cursor=", "cursor"),
        ("from=2000&to=1000", "from"), ("from=2030-01-02T00:00Z&to=2030-01-01T00:00Z", "from"),
        ("cursor=&offset=1", "offset"), (f"q={'x' * 400}", "q"), ("limit=%D9%A1", "limit"), ("statsu=failed", "statsu"),
    ],
)  # fmt: skip
def test_a_wrong_parameter_is_named(query: str, field: str) -> None:
    answer = Api().get(f"/v1/jobs?{query}")

    assert answer.status_code == 400
    assert [error["field"] for error in answer.json()["errors"]] == [field]


def test_a_parameter_given_twice_has_its_own_code_and_lists_may_be() -> None:
    answer = Api().get("/v1/jobs?limit=1&limit=2")
    assert answer.json()["errors"] == [
        {"field": "limit", "code": "duplicate", "detail": "is given more than once: say which one is meant"}
    ]
    assert Api().get("/v1/jobs?status=failed&status=queued&label=a:b&label=c:d").status_code == 200
    assert Api().get("/v1/jobs?from=1000&to=1000").status_code == 200


def test_a_misspelt_parameter_hears_the_one_that_was_meant() -> None:
    assert "did you mean 'status'" in Api().get("/v1/jobs?statsu=failed").json()["detail"]


def test_a_list_costs_as_many_queries_for_thirty_jobs_as_for_three() -> None:
    counts = []
    for more in (3, 30):
        for _ in range(more):
            new_job()
            complete(claim_one())
        with CaptureQueriesContext(connection) as queries_made:
            listed = Api().get("/v1/jobs").json()["jobs"]
        counts.append((len(listed), len(queries_made)))

    assert [jobs for jobs, _ in counts] == [3, 33]
    assert counts[0][1] == counts[1][1] <= 7


def test_a_list_that_takes_too_long_is_ended_and_told(monkeypatch: pytest.MonkeyPatch) -> None:
    if connection.vendor != "postgresql":
        pytest.skip("only PostgreSQL ends a statement after a time")
    monkeypatch.setattr(queries, "READ_SECONDS", 0.05)

    def slow(*args: Any, **options: Any) -> None:
        with connection.cursor() as sql:
            sql.execute("SELECT pg_sleep(20)")

    monkeypatch.setattr(queries, "list_jobs", slow)

    assert told(Api().get("/v1/jobs")) == (503, "too_slow")
    assert Api().get("/v1/jobs/stats").status_code == 200


# --- history ------------------------------------------------------------------------------------


def executions(job: Job, query: str = "") -> list[dict[str, Any]]:
    answer = Api().get(path_of(job, f"/history{query}"))
    assert answer.status_code == 200, answer.content
    return list(answer.json()["executions"])


def test_a_run_that_failed_twice_and_then_worked_shows_each_attempt() -> None:
    job = new_job(retries=2)
    for error in ("first", "second"):
        postpone(claim_one(job), delay_ms=0, error=error, code="TIMEOUT")
        promote_due()
    complete(claim_one(job), '{"ok": true}')

    history = Api().get(path_of(job, "/history")).json()

    assert {name: history[name] for name in history if name != "executions"} == {
        "job_id": encode("job", job.pk),
        "total_executions": 1,
        "successful_executions": 1,
        "failed_executions": 0,
    }
    (run,) = history["executions"]
    assert (run["number"], run["status"], run["trigger"], run["result"]) == (1, "completed", "schedule", {"ok": True})
    assert run["scheduled_at"] == to_ms(job.scheduled_at)
    assert run["completed_at"] - run["started_at"] == pytest.approx(run["duration_ms"], abs=1)
    assert "lateness_ms" not in run  # from when it was due is not kept once an attempt was put off
    assert "error" not in run
    assert [
        (a["attempt"], a["status"], a.get("error"), a.get("code"), a.get("retryable")) for a in run["attempts"]
    ] == [
        (1, "failed", "first", "TIMEOUT", True),
        (2, "failed", "second", "TIMEOUT", True),
        (3, "completed", None, None, None),
    ]
    assert all(attempt["duration_ms"] >= 0 for attempt in run["attempts"])


def test_a_run_between_two_attempts_is_running_and_says_when_it_goes_on() -> None:
    job = new_job(retries=1)
    postpone(claim_one(job), delay_ms=60_000)

    (run,) = executions(job)

    assert (run["status"], len(run["attempts"])) == ("running", 1)
    assert run["next_attempt_at"] == to_ms(fresh(job).next_attempt_at)  # type: ignore[arg-type]  # it waits
    assert "completed_at" not in run
    assert "duration_ms" not in run


def test_a_running_run_shows_its_attempt_and_no_end() -> None:
    job = new_job()
    claim_one(job)

    (run,) = executions(job)

    assert (run["number"], run["status"]) == (1, "running")
    assert run["attempts"] == [{"attempt": 1, "status": "running", "started_at": run["started_at"]}]


def test_a_run_that_has_not_begun_is_no_history_and_one_cancelled_before_it_began_has_no_number() -> None:
    job = new_job()
    assert executions(job) == []

    intervene.cancel(job.pk, reason="not needed")

    (run,) = executions(job)
    assert (run["number"], run["status"], run["duration_ms"], run["error"]) == (None, "cancelled", 0, "not needed")
    assert run["started_at"] == run["scheduled_at"]
    assert Api().get(path_of(job, "/history")).json()["total_executions"] == 0


def test_skipped_and_missed_occurrences_stand_between_the_runs() -> None:
    job = new_job(HOURLY)
    claim = claim_one(job)
    make_due(job)  # the run is still open: skipped
    with clock.shift(timedelta(hours=3, minutes=30)):
        complete(claim)
        promote_due()  # of the three that were missed the latest runs
        complete(claim_one(job))

    runs = executions(job)

    assert sorted((run["number"] or 0, run["status"]) for run in runs) == [
        (0, "missed"),
        (0, "skipped"),
        (1, "completed"),
        (2, "completed"),
    ]
    assert [run["status"] for run in runs[2:]] == ["skipped", "completed"]
    skipped = next(run for run in runs if run["status"] == "skipped")
    assert skipped["skip_reason"] == "previous run still running"
    assert (skipped["count"], skipped["duration_ms"], skipped["attempts"]) == (1, 0, [])
    assert skipped["started_at"] == skipped["scheduled_at"] == skipped["last_scheduled_at"]
    missed = next(run for run in runs if run["status"] == "missed")
    assert missed["count"] == 2
    assert missed["last_scheduled_at"] - missed["scheduled_at"] == 3_600_000


def test_history_pages_and_filters_by_status() -> None:
    job = new_job({"every": 1000})
    for number in range(5):
        if number:
            make_due(job)
        (complete if number % 2 == 0 else fail)(claim_one(job))

    assert [run["number"] for run in executions(job)] == [5, 4, 3, 2, 1]
    assert [run["number"] for run in executions(job, "?limit=2")] == [5, 4]
    assert [run["number"] for run in executions(job, "?limit=2&offset=3")] == [2, 1]
    assert [run["number"] for run in executions(job, "?status=failed")] == [4, 2]
    assert [run["number"] for run in executions(job, "?status=completed,failed&limit=1")] == [5]
    assert executions(job, "?status=skipped,running") == []
    assert told(Api().get(path_of(job, "/history?limit=0"))) == (400, "invalid")
    assert told(Api().get(path_of(job, "/history?status=paused"))) == (400, "invalid")
