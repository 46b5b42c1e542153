"""Runs counted by slots of time say what the runs themselves say, while they are counted and after their jobs are gone."""

from __future__ import annotations

import random
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.db import connection

from core import clock
from core.clock import database_now
from core.times import from_ms, to_ms
from jobs import slots, stats, tally
from jobs.ended import ORDER_SLACK, ended_runs, last_event
from jobs.models import Execution, Job, JobEvent, RunSlot, RunTally, TallyPosition
from jobs.queries import JobFilter
from jobs.stats import job_stats, run_series
from tests.conformance.world import claim_one, complete, environment, fail, new_job

pytestmark = pytest.mark.django_db

HOUR = 3_600_000
NOON = to_ms(datetime(2026, 3, 1, 12, tzinfo=UTC))
RUNS = 600
WINDOWS = [
    (None, None), (NOON, NOON + 48 * HOUR), (NOON + 123_456, NOON + 30 * HOUR + 7), (NOON + 7 * HOUR, None),
    (None, NOON + 9 * HOUR + 1), (NOON + HOUR + 1, NOON + HOUR + 200_000), (NOON + 299_999, NOON + 900_000),
    (NOON + 20 * HOUR, NOON + 20 * HOUR),
]  # fmt: skip


@pytest.fixture(autouse=True)
def _by_slots(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also few runs are told by their slots."""
    monkeypatch.setattr(stats, "MOST_EXACT", 0)


@pytest.fixture
def job() -> Job:
    """A job with a history of two days: runs by one attempt and by several, about as late as their ids say."""
    job, seed = new_job(), random.Random(7)
    place = environment()
    ends = sorted(seed.randrange(NOON, NOON + 48 * HOUR) for _ in range(RUNS))
    runs, events = [], []
    for number, end in enumerate(ends, 1001):
        status = seed.choice(["completed", "completed", "failed"])
        tries = seed.choice([1, 1, 1, 2, 4])
        finished = from_ms(end + seed.randrange(-20_000, 20_000)) + timedelta(microseconds=seed.randrange(1000))
        started = finished - timedelta(milliseconds=int(seed.lognormvariate(6, 2)))
        due = started - timedelta(milliseconds=int(seed.lognormvariate(3, 2)))
        runs.append(
            Execution(
                job=job, number=number, trigger=seed.choice(["schedule", "schedule", "retry"]), status=status,
                scheduled_at=due + timedelta(microseconds=number), due_at=due, product_id=place.product_id,
                environment_id=place.pk, namespace=seed.choice(["noop", "echo"]), queue="default", priority=5,
                attempt=tries, retry_count=tries - 1, created_at=due, run_started_at=started, started_at=started,
                finished_at=finished,
            )
        )  # fmt: skip
        events.append(
            JobEvent(
                job_id=job.pk, seq=number, type=f"job.{status}", status="scheduled", number=number, at=from_ms(end)
            )
        )
    Execution.objects.bulk_create(runs)
    JobEvent.objects.bulk_create(events)
    return job


def count_all() -> None:
    with clock.shift(ORDER_SLACK):
        assert tally.bring_up_to_date() == 0


def asked(window: tuple[int | None, int | None], namespace: str | None = None) -> dict[str, Any]:
    since, until = (None if end is None else from_ms(end) for end in window)
    return job_stats(
        JobFilter(environment_ids=frozenset({environment().pk}), namespace=namespace, since=since, until=until)
    )


def answers() -> list[dict[str, Any]]:
    return [asked(window, namespace) for window in WINDOWS for namespace in (None, "echo")]


def charts() -> list[dict[str, Any]]:
    """Series whose intervals are slots, whole numbers of them, and of no slots at all."""
    wanted = JobFilter(environment_ids=None)
    return [
        run_series(wanted, since=from_ms(NOON + 123_456), until=from_ms(NOON + 40 * HOUR + 9), interval=interval)
        for interval in (300_000, 900_000, HOUR, 7 * HOUR, 24 * HOUR, 1_234_567)
    ]


def assert_alike(told: Any, read: Any, name: str = "") -> None:
    """Counts are the same, percentiles within the width of a bucket."""
    if isinstance(read, dict):
        assert told.keys() == read.keys()
        for key in read.keys() - {"percentiles_rounded"}:
            assert_alike(told[key], read[key], key)
    elif isinstance(read, list):
        assert len(told) == len(read)
        for one, other in zip(told, read, strict=True):
            assert_alike(one, other, name)
    elif name in ("p50", "p95", "p99") and read is not None:
        assert told == pytest.approx(read, rel=0.026, abs=1)
    else:
        assert told == read, name


def test_each_value_is_within_its_bucket_and_small_ones_are_exact() -> None:
    for value in (*range(3_000), *(int(1.1**power) for power in range(90, 230))):
        middle = slots.middle_of(slots.bucket_of(value))
        assert abs(middle - value) <= (0 if value < 20 else max(0.025 * value, 1)), value


def test_a_window_is_covered_once_by_the_longest_slots() -> None:
    seed = random.Random(3)
    for _ in range(200):
        start, end = sorted(seed.randrange(0, 60 * 24 * 12) * slots.SLOT for _ in range(2))
        parts = slots.cover(start, end, slots.GRAINS)
        assert all(low % grain == high % grain == 0 for grain, low, high in parts)
        assert [start, *(high for _, _, high in parts)] == [*(low for _, low, _ in parts), end if parts else start]
        assert sum((high - low) // grain for grain, low, high in parts) < 2 * (11 + 23 + 7) + 8


def test_what_is_counted_is_what_is_read(job: Job) -> None:
    read, drawn = answers(), charts()
    count_all()
    assert RunSlot.objects.filter(grain=slots.SLOT).count() > 100
    told = answers()
    assert told[0]["runs"] == RUNS
    assert told[0]["percentiles_rounded"] is True
    assert not any(answer["runs_sampled"] for answer in told)
    assert_alike(told, read)
    assert_alike(charts(), drawn)


def test_few_runs_are_told_exactly(job: Job, monkeypatch: pytest.MonkeyPatch) -> None:
    read, drawn = answers(), charts()
    count_all()
    monkeypatch.setattr(stats, "MOST_EXACT", 2 * RUNS)
    assert (answers(), charts()) == (read, drawn)


def test_what_has_not_been_counted_yet_is_read(job: Job, monkeypatch: pytest.MonkeyPatch) -> None:
    read, drawn = answers(), charts()
    monkeypatch.setattr(tally, "BATCH", 150)
    TallyPosition.objects.create(pk=1)
    for near in (0, 10_000):
        monkeypatch.setattr(stats, "_NEAR", near)
        with clock.shift(ORDER_SLACK):
            assert tally._count_batch()[0] < last_event()
        assert_alike(answers(), read)
        assert_alike(charts(), drawn)


def test_what_was_counted_before_there_were_slots_is_filled_in_backwards(
    job: Job, monkeypatch: pytest.MonkeyPatch
) -> None:
    read, drawn = answers(), charts()
    count_all()
    RunSlot.objects.all().delete()
    TallyPosition.objects.update(slots_after=last_event())
    monkeypatch.setattr(tally, "BATCH", 200)
    counted, turns = list(RunTally.objects.values_list("runs").order_by("pk")), 0
    while tally._fill_batch():
        assert_alike(answers(), read)
        assert_alike(charts(), drawn)
        turns += 1
    assert turns > 2
    assert TallyPosition.objects.get().slots_after == 0
    assert list(RunTally.objects.values_list("runs").order_by("pk")) == counted


def test_an_event_that_commits_after_its_neighbours_is_counted() -> None:
    complete(claim_one(new_job()))
    count_all()
    complete(claim_one(new_job()))
    late = JobEvent.objects.get(id=last_event())
    late_id = late.pk
    JobEvent.objects.filter(pk=late_id).delete()
    fail(claim_one(new_job()))

    tally.bring_up_to_date()
    assert TallyPosition.objects.get().event_id < late_id
    assert asked((None, None))["runs"] == 2
    JobEvent.objects.bulk_create([late])
    tally.bring_up_to_date()

    assert asked((None, None))["runs"] == sum(RunTally.objects.values_list("runs", flat=True)) == 3
    assert sum(RunSlot.objects.filter(grain=slots.SLOT).values_list("runs", flat=True)) == 3


def test_runs_are_told_of_after_their_job_is_gone_and_forgotten_in_time(
    job: Job, monkeypatch: pytest.MonkeyPatch
) -> None:
    count_all()
    monkeypatch.setattr(stats, "MOST_EXACT", 2 * RUNS)
    window = (NOON, NOON + 24 * HOUR - 1)
    before = asked(window)
    Execution.objects.filter(job=job).delete()
    job.delete()

    after = asked(window)
    assert (after["runs"], after["success_rate"]) == (before["runs"], before["success_rate"])
    assert (before["percentiles_rounded"], after["percentiles_rounded"]) == (False, True)
    slots.prune(database_now() - from_ms(NOON + 6 * HOUR))
    assert 0 < asked((NOON, NOON + 12 * HOUR - 1))["runs"] < after["runs"]
    slots.prune(timedelta(days=-30))
    assert RunSlot.objects.count() == 0


def test_a_window_reads_the_runs_of_its_edges_alone(job: Job, monkeypatch: pytest.MonkeyPatch) -> None:
    count_all()
    read: list[int] = []
    reading = ended_runs

    def counted(*args: Any, **kwargs: Any) -> Any:
        runs = reading(*args, **kwargs)
        read.append(len(runs))
        return runs

    monkeypatch.setattr(stats, "ended_runs", counted)
    shown = asked((NOON + 123_456, NOON + 40 * HOUR + 9))
    edges = RunSlot.objects.filter(grain=slots.SLOT, start__in=[NOON, NOON + 40 * HOUR])
    assert shown["runs"] > 400
    assert sum(read[:2]) <= sum(edges.values_list("runs", flat=True)) < 20


@pytest.mark.django_db(transaction=True)
def test_two_that_count_at_once_count_each_run_once(job: Job, monkeypatch: pytest.MonkeyPatch) -> None:
    if connection.vendor != "postgresql":
        pytest.skip("SQLite has one writer: two cannot count at once")
    monkeypatch.setattr(tally, "BATCH", 20)
    monkeypatch.setattr(tally, "BUDGET_SECONDS", 60.0)

    def count() -> int:
        try:
            return tally.bring_up_to_date()
        finally:
            connection.close()

    with clock.shift(ORDER_SLACK), ThreadPoolExecutor(4) as four:
        for left in [four.submit(count) for _ in range(4)]:
            assert left.result(60) == 0
    assert sum(RunTally.objects.values_list("runs", flat=True)) == RUNS
    for grain in slots.GRAINS:
        assert sum(RunSlot.objects.filter(grain=grain).values_list("runs", flat=True)) == RUNS
