"""`GET /v1/jobs/stats` and `/v1/jobs/stats/series`: exact counts, in bounded intervals, of what a key may see."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.db import connection
from pytest_django import Settings

from core.clock import database_now
from core.shortcache import forget_everything
from core.times import to_ms
from jobs import stats
from jobs.models import Execution, Job, JobEvent
from jobs.queries import JobFilter
from jobs.states import JobStatus
from tests.conformance.world import STATES, claim_one, complete, environment, fail, new_job
from tests.integration.api import OPERATOR, Api, key_of, told

pytestmark = pytest.mark.django_db

PATH = "/v1/jobs/stats/series"
HOUR = 3_600_000
NOON = to_ms(datetime(2026, 3, 1, 12, tzinfo=UTC))


@pytest.fixture(autouse=True)
def _here(settings: Settings) -> Iterator[None]:
    settings.OPERATOR_API_KEY = OPERATOR
    settings.ROOT_URLCONF = "tests.integration.api"
    forget_everything()
    yield
    forget_everything()


def run(at: int, *, duration: int = 100, late: int = 5, failed: bool = False, **changes: Any) -> None:
    """A run that ended at that time (ms), after so long, begun so late."""
    job = new_job(**changes)
    (fail if failed else complete)(claim_one(job))
    end = datetime.fromtimestamp(at / 1000, UTC)
    start = end - timedelta(milliseconds=duration)
    Execution.objects.filter(job=job).update(
        finished_at=end, run_started_at=start, started_at=start, due_at=start - timedelta(milliseconds=late)
    )
    JobEvent.objects.filter(job_id=job.pk).update(at=end)
    Job.objects.filter(pk=job.pk).update(completed_at=end)


def series(query: str, caller: Api | None = None) -> dict[str, Any]:
    answer = (caller or Api()).get(PATH + query)
    assert answer.status_code == 200, answer.content
    shown: dict[str, Any] = answer.json()
    return shown


def test_runs_stand_in_the_interval_in_which_they_ended() -> None:
    run(NOON, duration=10, late=1)
    run(NOON + HOUR - 1, duration=30, late=3, failed=True)
    run(NOON + HOUR, duration=20, late=2)
    run(NOON + 3 * HOUR)  # after `to`

    shown = series(f"?from={NOON - HOUR}&to={NOON + 2 * HOUR}&interval={HOUR}")

    nothing = {"p50": None, "p95": None, "p99": None}
    empty = {"runs": 0, "runs_completed": 0, "runs_failed": 0, "success_rate": None}
    assert shown == {
        "from": NOON - HOUR,
        "to": NOON + 2 * HOUR,
        "interval": HOUR,
        "runs_sampled": False,
        "percentiles_rounded": False,
        "buckets": [
            {"start": NOON - HOUR, **empty, "duration_ms": nothing, "lateness_ms": nothing},
            {
                "start": NOON, "runs": 2, "runs_completed": 1, "runs_failed": 1, "success_rate": 50.0,
                "duration_ms": {"p50": 10, "p95": 30, "p99": 30}, "lateness_ms": {"p50": 1, "p95": 3, "p99": 3},
            },
            {
                "start": NOON + HOUR, "runs": 1, "runs_completed": 1, "runs_failed": 0, "success_rate": 100.0,
                "duration_ms": {"p50": 20, "p95": 20, "p99": 20}, "lateness_ms": {"p50": 2, "p95": 2, "p99": 2},
            },
            {"start": NOON + 2 * HOUR, **empty, "duration_ms": nothing, "lateness_ms": nothing},
        ],
    }  # fmt: skip


def test_both_ends_of_the_window_belong_to_it_to_the_millisecond() -> None:
    run(NOON + 999)
    for first, last, runs in ((999, 999, [1]), (0, 998, [0]), (1000, 2999, [0, 0]), (0, 1000, [1, 0])):
        shown = series(f"?from={NOON + first}&to={NOON + last}&interval=1000")
        assert [bucket["runs"] for bucket in shown["buckets"]] == runs


def test_without_a_window_it_is_the_last_day_by_the_hour() -> None:
    run(to_ms(database_now() - timedelta(hours=25)))
    complete(claim_one(new_job()))

    shown = series("")

    assert (shown["interval"], shown["to"] - shown["from"]) == (HOUR, 24 * HOUR)
    assert sum(bucket["runs"] for bucket in shown["buckets"]) == 1
    assert len(shown["buckets"]) == 25
    assert {bucket["start"] % HOUR for bucket in shown["buckets"]} == {0}


def test_a_window_of_very_many_runs_is_counted_in_full_and_sampled_evenly(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stats, "MOST_RUNS", 4)
    for minute in range(16):
        run(NOON + minute * 60_000, duration=minute)

    shown = series(f"?from={NOON}&to={NOON + HOUR - 1}&interval={8 * 60_000}")

    assert shown["runs_sampled"] is True
    assert [bucket["runs"] for bucket in shown["buckets"]][:2] == [8, 8]
    medians = [bucket["duration_ms"]["p50"] for bucket in shown["buckets"]][:2]
    assert 0 <= medians[0] < 8 <= medians[1] < 16


def test_a_series_is_of_the_place_asked_for_and_of_what_the_key_sees() -> None:
    run(NOON)
    run(NOON, namespace="echo")
    window = f"from={NOON}&to={NOON}"

    def runs(query: str, caller: Api | None = None) -> list[int]:
        return [bucket["runs"] for bucket in series(f"?{window}{query}", caller)["buckets"]]

    assert runs("") == runs("&product=shop") == runs("&product=shop&env=prd") == [2]
    assert runs("&namespace=echo") == [1]
    assert runs("&product=nobody") == runs("&env=stg") == runs("&namespace=nothing") == [0]
    assert runs("", key_of(envs=("prd",))) == [2]
    assert runs("", key_of("other", envs=("prd",))) == runs("", key_of(envs=("stg",), name="k2")) == [0]


@pytest.mark.parametrize(
    ("query", "field"),
    [
        (f"from={NOON}&to={NOON - 1}", "from"), ("from=9999-01-01", "from"), ("interval=999", "interval"),
        ("interval=31622400001", "interval"), ("interval=hour", "interval"), ("interval=-1", "interval"),
        (f"from=0&to={NOON}", "interval"), (f"from={NOON}&to={NOON + 1_500_000}&interval=1000", "interval"),
        ("from=0&to=9999-12-31&interval=31622400000", "interval"), ("status=failed", "status"), ("form=1", "form"),
        ("interval=1000&interval=2000", "interval"),
    ],
)  # fmt: skip
def test_what_cannot_be_charted_is_refused_by_its_field(query: str, field: str) -> None:
    answer = Api().get(f"{PATH}?{query}")
    assert answer.status_code == 400
    assert answer.json()["errors"][0]["field"] == field


def test_as_many_intervals_as_there_may_be_are_shown_and_the_way_out_is_named() -> None:
    fits = series(f"?from={NOON}&to={NOON + 1_499_999}&interval=1000")
    assert len(fits["buckets"]) == 1500
    answer = Api().get(f"{PATH}?from={NOON}&to={NOON + 2_000_000}&interval=1000")
    assert told(answer) == (400, "invalid")
    assert "take 1335 ms or more" in answer.json()["detail"]
    assert len(series(f"?from={NOON}&to={NOON + 2_000_000}&interval=1335")["buckets"]) <= 1500


def test_the_earliest_and_the_latest_time_can_be_asked_for() -> None:
    assert len(series("?from=0&to=0")["buckets"]) == 1
    assert len(series("?to=5")["buckets"]) == 1
    assert len(series("?from=9999-12-31T23:59:59Z&to=9999-12-31T23:59:59.999Z")["buckets"]) == 1


def test_every_state_of_jobs_is_counted_alike_with_indexes_and_without() -> None:
    for _, make in sorted(STATES.items(), key=lambda item: item[0][0] == "queued"):  # last: else another one is claimed
        make()
    place = environment()
    expected = {str(status): Job.objects.filter(status=status).count() for status in JobStatus}
    assert min(expected.values()) >= 1

    for ids in (None, frozenset({place.pk}), frozenset({place.pk, place.pk + 1})):
        assert stats.jobs_by_state(JobFilter(environment_ids=ids)) == expected
        assert stats.jobs_by_state(JobFilter(environment_ids=ids, namespace="noop")) == expected
    for ids in (frozenset[int](), frozenset({place.pk + 1})):
        assert stats.jobs_by_state(JobFilter(environment_ids=ids)) == dict.fromkeys(expected, 0)


def test_more_jobs_than_are_counted_are_estimated_and_the_answer_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    for _ in range(5):
        complete(claim_one(new_job()))
    fail(claim_one(new_job()))
    place = JobFilter(environment_ids=frozenset({environment().pk}))
    assert Api().get("/v1/jobs/stats").json()["jobs_estimated"] is False
    monkeypatch.setattr(stats, "MOST_JOBS", 4)

    counts, estimated = stats.counted_jobs(place)

    assert estimated is (connection.vendor == "postgresql")
    assert counts["failed"] == 1
    assert sum(counts.values()) >= 5 if estimated else counts["completed"] == 5


def test_of_a_window_with_very_many_events_every_so_many_jobs_stand_for_the_others(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for _ in range(40):
        complete(claim_one(new_job()))
    waiting = new_job({"start_at": 4_000_000_000_000})
    since = to_ms(waiting.created_at) - 3_600_000
    path = f"/v1/jobs/stats?from={since}&to=4000000000000"
    exact = Api().get(path).json()
    assert (exact["completed"], exact["scheduled"], exact["jobs_estimated"]) == (40, 1, False)
    monkeypatch.setattr(stats, "MOST_WINDOW_EVENTS", 10)
    monkeypatch.setattr(stats, "SAMPLED_EVENTS", 10)
    told = Api().get(path).json()
    assert (told["scheduled"], told["jobs_estimated"]) == (1, True)
    assert 30 <= told["completed"] <= 50
    assert told["total"] == told["completed"] + 1
