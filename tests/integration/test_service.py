"""The service over HTTP: health, readiness, workers, queues, metrics, statistics, holds."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from django.db import OperationalError
from prometheus_client.parser import text_string_to_metric_families
from pytest_django import Settings

from core import clock
from core.clock import database_now
from core.ids import encode
from core.shortcache import forget_everything
from core.tenancy import scopes
from core.tenancy.models import AuditEntry
from core.times import to_ms
from jobs import stats, tally, wakeup
from jobs.ended import ORDER_SLACK, events_between
from jobs.lifecycle import intervene
from jobs.lifecycle.claim import claim
from jobs.lifecycle.lease import register_worker
from jobs.lifecycle.promote import promote_due
from jobs.models import Hold, JobEvent, RunTally, TallyPosition, Worker
from jobs.operations import health
from jobs.scheduler import show_up
from tests.conformance.world import claim_one, complete, environment, fail, new_job, postpone, worker
from tests.integration.api import OPERATOR, Api, key_of, told

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def _here(settings: Settings) -> Iterator[None]:
    settings.OPERATOR_API_KEY = OPERATOR
    settings.ROOT_URLCONF = "tests.integration.api"
    forget_everything()
    yield
    forget_everything()


# --- health ---------------------------------------------------------------------------------------


def test_healthz_needs_no_key_and_no_database(django_assert_num_queries: Any) -> None:
    with django_assert_num_queries(0):
        answer = Api(None).get("/healthz")
    assert (answer.status_code, answer.json()) == (200, {"status": "ok"})


class _Redis:
    def ping(self) -> bool:
        return True


@pytest.fixture
def _redis(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wakeup, "client", _Redis)


@pytest.mark.django_db(transaction=True)
@pytest.mark.usefixtures("_redis")
def test_readyz_names_what_is_missing_and_is_200_when_nothing_is() -> None:
    empty = Api(None).get("/readyz")
    assert told(empty) == (503, "not_ready")
    assert empty.json()["missing"] == ["scheduler", "worker"]
    assert empty["Retry-After"] == "2"
    worker()
    show_up()

    answer = Api(None).get("/readyz")

    assert answer.status_code == 200
    names = ("database", "broker", "scheduler", "worker")
    assert answer.json() == {"status": "ready", "checks": {name: {"ok": True} for name in names}}


@pytest.mark.django_db(transaction=True)
@pytest.mark.usefixtures("_redis")
def test_readyz_says_so_when_the_processes_were_seen_long_ago() -> None:
    worker()
    show_up()

    with clock.shift(timedelta(seconds=16)):
        assert Api(None).get("/readyz").json()["missing"] == ["scheduler", "worker"]


@pytest.mark.usefixtures("_redis")
def test_readyz_answers_while_the_database_is_away_or_hangs(monkeypatch: pytest.MonkeyPatch) -> None:
    def gone() -> list[health.Check]:
        raise OperationalError("no route, password=s3cret")

    monkeypatch.setattr(health, "_look_at_database", gone)
    away = Api(None).get("/readyz")
    assert away.json()["missing"] == ["database", "scheduler", "worker"]
    assert b"s3cret" not in away.content

    release = threading.Event()
    monkeypatch.setattr(health, "PATIENCE_SECONDS", 0.05)
    monkeypatch.setattr(health, "_look_at_database", lambda: [health.Check("database", release.wait(20))])
    try:
        for _ in range(3):  # the third finds both threads taken
            assert Api(None).get("/readyz").json()["missing"] == ["database", "scheduler", "worker"]
    finally:
        release.set()


def test_readyz_answers_while_the_broker_is_away(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    settings.REDIS_URL = "redis://127.0.0.1:1/0"
    monkeypatch.setattr(wakeup, "_client", None)

    checks = {check.name: check.ok for check in health.readiness()}

    assert checks["broker"] is False
    monkeypatch.setattr(wakeup, "_client", None)


# --- workers and queues ---------------------------------------------------------------------------


def test_workers_are_shown_by_state_to_operators_only() -> None:
    alive = register_worker(host="a", pid=1, queues=["default", "mail"], concurrency=500)
    draining = register_worker(host="b", pid=2, queues=["default"], concurrency=5)
    Worker.objects.filter(pk=draining).update(draining=True)
    lost = register_worker(host="c", pid=3, queues=["default"], concurrency=5)
    Worker.objects.filter(pk=lost).update(lease_until=database_now() - timedelta(seconds=1))
    stopped = register_worker(host="d", pid=4, queues=["default"], concurrency=5)
    Worker.objects.filter(pk=stopped).update(stopped_at=database_now(), settled=True)
    show_up()

    answer = Api().get("/v1/workers").json()

    assert {entry["id"]: entry["status"] for entry in answer["workers"]} == {
        alive: "alive", draining: "draining", lost: "lost", stopped: "stopped",
    }  # fmt: skip
    assert answer["workers"][-1]["queues"] == ["default", "mail"]
    assert len(answer["schedulers"]) == 1
    assert told(key_of().get("/v1/workers")) == (403, "operator_key_needed")
    assert told(Api(None).get("/v1/workers")) == (401, "unauthenticated")


def test_queues_show_depth_age_running_and_held() -> None:
    for _ in range(3):
        new_job()
    new_job(queue="mail", namespace="actions")
    claim(worker(), "default", 1)
    Hold.objects.create(product=environment().product, namespace="actions", created_at=database_now())

    with clock.shift(timedelta(seconds=10)):
        queues = {queue["name"]: queue for queue in Api().get("/v1/queues").json()["queues"]}

    assert {name: (q["depth"], q["running"], q["held"], q["workers"]) for name, q in queues.items()} == {
        "default": (2, 1, 0, 1),
        "mail": (1, 0, 1, 0),
    }
    assert 10_000 <= queues["mail"]["oldest_age_ms"] < 60_000


def test_a_product_key_sees_only_its_own_runs_in_the_queues() -> None:
    new_job()
    other = key_of("other", envs=("prd",))

    assert other.get("/v1/queues").json() == {"queues": []}
    assert key_of().get("/v1/queues").json()["queues"][0]["depth"] == 1
    assert told(key_of(scopes_={scopes.JOBS_DISPATCH}).get("/v1/queues")) == (403, "scope_missing")


# --- holds ----------------------------------------------------------------------------------------


def test_a_hold_keeps_due_runs_and_a_release_wakes_them(monkeypatch: pytest.MonkeyPatch) -> None:
    job = new_job()
    woken: list[str] = []
    monkeypatch.setattr(wakeup, "wake", woken.extend)

    held = Api().post("/v1/products/shop/hold", {"env": "prd", "namespace": "actions", "note": "upgrade"})
    everything = Api().post("/v1/products/shop/hold", {}).json()

    assert held.status_code == 200
    (hold,) = held.json()["holds"]
    assert {name: hold[name] for name in hold if name != "since"} == {
        "product": "shop", "env": "prd", "namespace": "actions", "note": "upgrade", "actor": "operator",
    }  # fmt: skip
    assert len(everything["holds"]) == 2
    assert Api().get("/v1/products/shop/hold").json() == everything
    assert claim(worker(), "default", 10) == []
    assert Api().get(f"/v1/jobs/{encode('job', job.pk)}").json()["status"] == "queued"

    only_one = Api().post("/v1/products/shop/release", {"env": "prd", "namespace": "actions"})
    assert len(only_one.json()["holds"]) == 1
    assert Api().post("/v1/products/shop/release", {}).json() == {"holds": []}
    assert Api().post("/v1/products/shop/release", {}).status_code == 200

    assert woken == ["default", "default"]
    claim_one(job)
    actions = list(AuditEntry.objects.order_by("id").values_list("action", flat=True))
    assert actions == ["hold.made", "hold.made", "hold.released", "hold.released"]


def test_a_new_note_of_a_hold_is_of_whoever_wrote_it() -> None:
    environment()
    [first] = key_of(name="ann").post("/v1/products/shop/hold", {"note": "upgrade"}).json()["holds"]
    [again] = key_of(name="bob").post("/v1/products/shop/hold", {}).json()["holds"]
    [other] = key_of(name="bob").post("/v1/products/shop/hold", {"note": "restore"}).json()["holds"]
    assert again == first
    assert other == {**first, "note": "restore", "actor": "bob"}


def test_who_may_hold_what() -> None:
    environment()
    body = {"namespace": "actions"}
    assert told(key_of("other", envs=("prd",)).post("/v1/products/shop/hold", body)) == (404, "product_not_found")
    assert told(key_of("other", envs=("prd",)).get("/v1/products/shop/hold")) == (404, "product_not_found")
    assert told(key_of(scopes_={scopes.JOBS_READ}).post("/v1/products/shop/release", {})) == (403, "scope_missing")
    assert told(Api(None).post("/v1/products/shop/hold", body)) == (401, "unauthenticated")
    assert told(Api().post("/v1/products/shop/hold", {"env": "nowhere"})) == (404, "env_not_found")
    assert told(Api().post("/v1/products/shop/hold", {"namespace": "x"})) == (400, "unknown_namespace")
    assert told(Api().post("/v1/products/shop/hold", {"enviroment": "x"})) == (400, "unknown_field")
    assert not Hold.objects.exists()


def test_a_key_of_one_environment_holds_and_releases_only_that_one() -> None:
    product = environment().product
    whole = Hold.objects.create(product=product, created_at=database_now(), note="all")
    limited = key_of(envs=("stg",))

    held = limited.post("/v1/products/shop/hold", {}).json()
    assert [hold.get("env") for hold in held["holds"]] == [None, "stg"]
    assert told(limited.post("/v1/products/shop/hold", {"env": "prd"})) == (404, "env_not_found")
    limited.post("/v1/products/shop/release", {})

    assert list(Hold.objects.all()) == [whole]


# --- statistics -----------------------------------------------------------------------------------


def test_statistics_count_jobs_by_state_and_runs_by_how_they_ended() -> None:
    complete(claim_one(new_job()))
    retried = new_job(retries=1)
    postpone(claim_one(retried), delay_ms=0)
    promote_due()
    complete(claim_one(retried))
    fail(claim_one(new_job()))
    new_job({"start_at": to_ms(database_now() + timedelta(hours=1))})

    shown = Api().get("/v1/jobs/stats?product=shop&env=prd").json()

    assert {name: shown[name] for name in ("total", "completed", "failed", "scheduled", "queued", "paused")} == {
        "total": 4, "completed": 2, "failed": 1, "scheduled": 1, "queued": 0, "paused": 0,
    }  # fmt: skip
    assert (shown["runs"], shown["success_rate"]) == (3, 66.67)
    assert (shown["completed_first_try"], shown["completed_after_retry"]) == (1, 1)
    assert shown["avg_retry_count"] == 0.333
    assert shown["runs_sampled"] is False
    assert set(shown["duration_ms"]) == {"p50", "p95", "p99"}


def test_the_window_of_statistics_is_of_the_ends_of_runs() -> None:
    job = new_job()
    complete(claim_one(job))
    end = to_ms(JobEvent.objects.get(job_id=job.pk, type="job.completed").at)

    assert Api().get(f"/v1/jobs/stats?from={end - 1000}&to={end + 1000}").json()["runs"] == 1
    assert Api().get(f"/v1/jobs/stats?from={end + 1000}").json()["runs"] == 0
    empty = Api().get(f"/v1/jobs/stats?to={end - 1000}").json()
    assert (empty["runs"], empty["success_rate"], empty["total"]) == (0, None, 0)
    assert empty["duration_ms"] == {"p50": None, "p95": None, "p99": None}


def test_statistics_of_many_runs_are_of_the_newest(monkeypatch: pytest.MonkeyPatch) -> None:
    fail(claim_one(new_job()))
    for _ in range(2):
        complete(claim_one(new_job()))
    monkeypatch.setattr(stats, "MOST_RUNS", 2)

    shown = Api().get("/v1/jobs/stats").json()

    assert (shown["runs"], shown["success_rate"], shown["runs_sampled"]) == (2, 100.0, True)


def test_a_stranger_sees_no_statistics() -> None:
    complete(claim_one(new_job()))
    for caller, query in (
        (key_of("other", envs=("prd",)), ""),
        (key_of(envs=("stg",)), ""),
        (Api(), "?product=nobody"),
    ):
        shown = caller.get(f"/v1/jobs/stats{query}").json()
        assert (shown["total"], shown["runs"]) == (0, 0)
    assert told(Api().get("/v1/jobs/stats?status=failed")) == (400, "unknown_field")


def test_percentiles_are_values_that_occurred() -> None:
    assert stats.percentiles(Counter(range(1, 101))) == {"p50": 50, "p95": 95, "p99": 99}
    assert stats.percentiles({7: 1000}) == {"p50": 7, "p95": 7, "p99": 7}


def test_a_window_is_found_among_many_events_by_its_time() -> None:
    now = database_now()
    job_id = new_job().pk
    JobEvent.objects.all().delete()
    events = JobEvent.objects.bulk_create(
        JobEvent(
            job_id=job_id, seq=1000 + hour, type="job.completed", status="completed", at=now + timedelta(hours=hour)
        )
        for hour in range(50)
    )

    after, until = events_between(now + timedelta(hours=10), now + timedelta(hours=20))

    assert (after, until) == (events[10].pk - 1, events[21].pk)
    assert events_between(None, None) == (0, events[-1].pk)


# --- metrics --------------------------------------------------------------------------------------


def scrape(*, settled: bool = True) -> dict[tuple[str, tuple[str, ...]], float]:
    """Every sample by its name and the values of its labels, in the order of their names.

    `settled`: a minute later, when what follows on ids that are missing counts as well.
    """
    if settled:
        with clock.shift(ORDER_SLACK):
            tally.bring_up_to_date()
    with clock.shift(timedelta(seconds=6)):
        answer = Api().get("/metrics")
    assert answer.status_code == 200, answer.content
    return {
        (sample.name, tuple(value for _, value in sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(answer.content.decode())
        for sample in family.samples
    }


def test_metrics_count_each_run_once_however_often_they_are_scraped() -> None:
    complete(claim_one(new_job()))
    fail(claim_one(new_job()))
    new_job()

    first, again = scrape(), scrape()

    assert first["ductape_runs_total", ("noop", "completed", "shop")] == 1
    assert first["ductape_runs_total", ("noop", "failed", "shop")] == 1
    assert first["ductape_run_duration_seconds_count", ("noop", "shop")] == 2
    assert first["ductape_run_lateness_seconds_bucket", ("+Inf", "noop", "shop")] == 2
    assert first["ductape_queue_depth", ("default",)] == 1
    assert first["ductape_queue_oldest_age_seconds", ("default",)] >= 5
    assert first["ductape_uncounted_events", ()] == 0
    for sample in ("ductape_runs_total", "ductape_retries_total", "ductape_leases_lost_total"):
        assert {key: value for key, value in first.items() if key[0] == sample} == {
            key: value for key, value in again.items() if key[0] == sample
        }
    complete(claim_one())
    assert scrape()["ductape_runs_total", ("noop", "completed", "shop")] == 2


def test_events_that_may_have_late_neighbours_wait_for_the_next_scrape() -> None:
    complete(claim_one(new_job()))
    first = JobEvent.objects.order_by("id")[0].pk
    TallyPosition.objects.create(pk=1, event_id=first - 2)  # the event in between is missing

    assert ("ductape_runs_total", ("noop", "completed", "shop")) not in scrape(settled=False)
    assert scrape()["ductape_runs_total", ("noop", "completed", "shop")] == 1


def test_a_scrape_counts_in_batches_and_within_its_time(monkeypatch: pytest.MonkeyPatch) -> None:
    for _ in range(5):
        complete(claim_one(new_job()))
    monkeypatch.setattr(tally, "BATCH", 2)
    assert scrape()["ductape_runs_total", ("noop", "completed", "shop")] == 5
    first = JobEvent.objects.order_by("id").values_list("id", flat=True)[0]
    TallyPosition.objects.update(event_id=first - 1)
    RunTally.objects.all().delete()
    monkeypatch.setattr(tally, "BUDGET_SECONDS", 0.0)

    nothing = scrape()

    assert ("ductape_runs_total", ("noop", "completed", "shop")) not in nothing
    assert nothing["ductape_uncounted_events", ()] == 5


def test_metrics_tell_of_processes() -> None:
    worker()
    show_up()
    lost = worker()
    Worker.objects.filter(pk=lost).update(lease_until=database_now() - timedelta(seconds=1))

    samples = scrape(settled=False)

    assert samples["ductape_workers", ("alive",)] == 1
    assert samples["ductape_workers", ("lost",)] == 1
    assert samples["ductape_worker_slots", ()] == 500
    assert samples["ductape_schedulers", ()] == 1


def test_metrics_need_an_operator_key() -> None:
    assert told(Api(None).get("/metrics")) == (401, "unauthenticated")
    assert told(key_of().get("/metrics")) == (403, "operator_key_needed")


def test_who_cancels_is_counted_as_no_outcome() -> None:
    job = new_job()
    claim_one(job)
    intervene.cancel(job.pk)

    assert not [key for key in scrape() if key[0] == "ductape_runs_total"]
