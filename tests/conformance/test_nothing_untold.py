"""Whatever is done to a job: each of its occurrences is in its history once, or fell into a pause."""

from __future__ import annotations

import random
from collections.abc import Callable
from datetime import datetime, timedelta
from io import StringIO
from typing import Any

import pytest
from django.core.management import call_command

from core.clock import database_now
from core.times import MICROSECOND, to_ms
from core.zones import TZDATA_VERSION
from jobs.lifecycle import intervene
from jobs.lifecycle.claim import claim
from jobs.lifecycle.create import schedule_of
from jobs.models import Execution, Job
from jobs.operations.reschedule import reschedule
from jobs.schedule import due_at
from jobs.schedule.occurrences import occurrences
from jobs.states import OPEN_RUN, Trigger
from tests.conformance.clockwork import HOUR, LOOK, MINUTE, Time, down_for, history, promote_all, run_through
from tests.conformance.world import claim_one, complete, fresh, new_job, runs_of, worker

pytestmark = pytest.mark.django_db(transaction=True)


class Story:
    """A job, what is done to it at random, and which occurrences its history owes an answer for."""

    def __init__(self, time: Time, seed: int) -> None:
        self._time, self._random, self._owner = time, random.Random(seed), worker()
        self._said = [f"seed {seed}"]
        given: dict[str, Any] = {
            "misfire": self._random.choice(["once", "skip", "all"]),
            "overlap": self._random.choice(["skip", "queue"]),
            "misfire_grace": self._random.choice([0, 60_000]),
            **self._random.choice([{"every": 60_000}, {"cron": "* * * * *"}]),
        }
        if self._random.random() < 0.4:
            given["jitter"] = 20_000
        self.job = new_job(given)
        self._running: list[Any] = []
        self._owed: list[datetime] = []
        self._excused: set[datetime] = set()
        self._begin_grid(fresh(self.job).scheduled_at - MICROSECOND)

    def _begin_grid(self, after: datetime) -> None:
        self._grid, self._after = schedule_of(fresh(self.job)), after

    def _close_grid(self, until: datetime) -> None:
        self._owed += occurrences(self._grid, after=self._after, until=until)

    def go_on(self) -> None:
        often = [self._pass, self._pass, self._scheduler, self._scheduler]
        step = self._random.choice(
            [*often, self._begin, self._end, self._pause, self._resume, self._same_grid, self._new_grid]
        )
        self._said.append(step.__name__)
        step()

    def _pass(self) -> None:
        self._time.pass_(timedelta(seconds=self._random.choice([1, 10, 30, 61, 150, 400])))

    def _scheduler(self) -> None:
        promote_all()

    def _begin(self) -> None:
        self._running += claim(self._owner, "default", 1)

    def _end(self) -> None:
        for taken in self._running:
            complete(taken)
        self._running.clear()

    def _pause(self) -> None:
        if fresh(self.job).paused_at is None:
            intervene.pause(self.job.pk)

    def _resume(self) -> None:
        paused_at = fresh(self.job).paused_at
        if paused_at is None:
            return
        intervene.resume(self.job.pk)
        now = database_now()
        self._excused.update(occurrences(self._grid, after=paused_at, until=now))

    def _same_grid(self) -> None:
        reschedule(self.job.pk, {"limit": self._random.randrange(10_000, 20_000)})

    def _new_grid(self) -> None:
        self._resume()
        promote_all()
        gave_way = Execution.objects.filter(
            job=self.job, status__in=OPEN_RUN - {"running"}, attempt=0, trigger=Trigger.SCHEDULE
        )
        left = list(gave_way.values_list("scheduled_at", flat=True))
        reschedule(self.job.pk, {"every": self._random.choice([45_000, 60_000])})
        now = database_now()
        self._excused.update(left)
        self._close_grid(now)
        self._begin_grid(now)

    def finish(self) -> None:
        """Everything is made up for; then each occurrence is told just once."""
        self._resume()
        while True:
            promote_all()
            self._running += claim(self._owner, "default", 100)
            self._end()
            job = fresh(self.job)
            assert job.next_run_at is not None
            if job.next_run_at > database_now() and not Execution.objects.filter(job=job, status="queued").exists():
                break
            self._time.pass_(LOOK)
        self._close_grid(job.next_run_at - MICROSECOND)
        told: list[datetime] = []
        for run in runs_of(self.job):
            if run.trigger == Trigger.SCHEDULE:
                told += self._span(run)
        owed = [at for at in self._owed if at not in self._excused]
        missing, twice = set(owed) - set(told), len(told) - len(set(told))
        assert (sorted(missing), twice) == ([], 0), self._said
        assert set(told) <= set(self._owed), self._said

    def _span(self, run: Execution) -> list[datetime]:
        last = run.last_scheduled_at or run.scheduled_at
        inside = [at for at in self._owed if run.scheduled_at <= at <= last]
        assert len(inside) == run.count, (run.status, run.scheduled_at, last, run.count, inside, self._said)
        return inside


@pytest.mark.parametrize("seed", range(40))
def test_each_occurrence_is_told_once_whatever_is_done(time: Time, seed: int) -> None:
    story = Story(time, seed)
    for _ in range(25):
        story.go_on()
    story.finish()


# --- one by one ------------------------------------------------------------------------------


def test_what_waits_for_its_jitter_outlives_a_pause(time: Time) -> None:
    job = new_job({"cron": "0 * * * *", "jitter": 1_800_000})
    nominal = fresh(job).next_run_at
    assert nominal is not None
    while due_at(schedule_of(fresh(job)), job.pk, nominal) < nominal + MINUTE:  # one that waits for a while
        intervene.cancel(job.pk)
        job = new_job({"cron": "0 * * * *", "jitter": 1_800_000})
    due = due_at(schedule_of(fresh(job)), job.pk, nominal)
    time.to(nominal + MINUTE / 2)
    intervene.pause(job.pk)
    intervene.resume(job.pk)
    (run,) = runs_of(job)
    assert (run.status, run.scheduled_at, run.due_at) == ("waiting", nominal, due)
    time.to(due)
    promote_all()
    assert claim_one(job).run_id == run.pk


def test_a_pause_tells_what_was_missed_before_it(time: Time) -> None:
    job = down_for(time, 10 * MINUTE, misfire="all")
    intervene.pause(job.pk)
    assert history(job) == [("completed", 1), ("frozen", 1), ("missed", 9)]
    assert runs_of(job)[-1].skip_reason == "paused before it was made up for"


def test_a_reschedule_tells_what_was_missed_before_it(time: Time) -> None:
    job = down_for(time, 10 * MINUTE)
    reschedule(job.pk, {"cron": "0 0 1 1 *"})
    assert history(job) == [("completed", 1), ("missed", 8), ("skipped", 1)]


def test_a_new_limit_leaves_the_grid_and_its_runs_alone(time: Time) -> None:
    job = down_for(time, MINUTE)
    promote_all()
    before = fresh(job)
    after = reschedule(job.pk, {"limit": 5, "endDate": to_ms(database_now() + HOUR)})
    assert (after.status, after.next_run_at, after.limit) == ("queued", before.next_run_at, 5)
    assert history(job) == [("completed", 1), ("queued", 1)]
    assert reschedule(job.pk, {"limit": 2}).next_run_at is None
    assert complete(claim_one(job))
    assert fresh(job).status == "completed"


def test_an_interval_of_a_reschedule_is_one_that_the_api_can_say(time: Time) -> None:
    job = new_job({"every": 60_000})
    complete(claim_one(job))
    first = reschedule(job.pk, {"every": 60_000}).next_run_at
    assert first is not None
    assert first.microsecond % 1000 == 0
    time.to(first)
    run_through(time, limit=1)
    after = reschedule(job.pk, {"every": 120_000, "start_at": to_ms(first)})
    assert after.next_run_at == first + 2 * MINUTE
    assert history(job) == [("completed", 1), ("completed", 1)]


@pytest.mark.parametrize("misfire", ["once", "skip", "all"])
def test_an_interval_that_a_reschedule_begins_in_the_past_runs_at_once_as_a_dispatch_has_it(
    time: Time, misfire: str
) -> None:
    job = new_job({"every": 60_000, "misfire": misfire})
    complete(claim_one(job))
    start = to_ms(database_now() - 30 * MINUTE)
    after = reschedule(job.pk, {"every": 3_600_000, "start_at": start, "limit": 3})
    run = runs_of(job)[-1]
    assert (after.status, to_ms(run.scheduled_at), after.occurrences_opened) == ("queued", start, 2)
    assert complete(claim_one(job))
    assert run.due_at == after.updated_at  # not late by what was before it was asked for
    assert fresh(job).next_run_at == run.scheduled_at + HOUR


def test_a_paused_or_running_job_does_not_run_at_once_by_a_past_start(time: Time) -> None:
    start = to_ms(database_now() - 30 * MINUTE)
    begins: list[Callable[[Job], object]] = [lambda job: intervene.pause(job.pk), claim_one]
    for begin in begins:
        job = new_job({"every": 60_000})
        begin(job)
        reschedule(job.pk, {"every": 3_600_000, "start_at": start})
        assert [run for run in runs_of(job) if to_ms(run.scheduled_at) == start] == []


def test_a_job_that_waits_again_shows_the_time_that_it_waits_for(time: Time) -> None:
    job = down_for(time, 10 * MINUTE + timedelta(seconds=2), misfire="skip", misfire_grace=0)
    promote_all()
    after = fresh(job)
    assert (after.status, after.scheduled_at) == ("scheduled", after.next_run_at)


def test_a_promotion_and_a_resume_say_whose_time_zone_data_they_used(time: Time) -> None:
    job = new_job({"cron": "* * * * *", "tz": "Europe/Berlin"})
    Job.objects.filter(pk=job.pk).update(tzdata_version="2020.1")
    time.pass_(MINUTE)
    promote_all()
    assert fresh(job).tzdata_version == TZDATA_VERSION
    intervene.pause(job.pk)
    Job.objects.filter(pk=job.pk).update(tzdata_version="2020.1")
    intervene.resume(job.pk)
    assert fresh(job).tzdata_version == TZDATA_VERSION


@pytest.mark.parametrize("running", [False, True])
def test_newer_time_zone_data_that_leave_nothing_before_the_end_date_end_the_job(time: Time, running: bool) -> None:
    job = new_job({"cron": "0 9 * * *", "tz": "Europe/Berlin"})
    right = fresh(job).next_run_at
    assert right is not None
    if running:
        intervene.trigger(job.pk)
        taken = claim_one(job)
    before = database_now() + (right - database_now()) / 2  # to come, at whatever hour this runs
    Job.objects.filter(pk=job.pk).update(
        tzdata_version="2020.1", next_run_at=before, next_due_at=before, end_date=before
    )
    out = StringIO()
    call_command("recompute_schedules", stdout=out)
    assert "no occurrence: its end date is before it" in out.getvalue()
    after = fresh(job)
    assert (after.next_run_at, after.tzdata_version) == (None, TZDATA_VERSION)
    assert after.status == ("running" if running else "completed")
    if running:
        assert complete(taken)
        assert fresh(job).status == "completed"
    time.to(right)
    promote_all()
    assert [run for run in runs_of(job) if run.trigger == Trigger.SCHEDULE] == []
    out = StringIO()
    call_command("fsck", stdout=out)
    assert "FAILED" not in out.getvalue()


def test_a_job_that_cannot_be_recomputed_keeps_no_other_from_it(time: Time) -> None:
    bad, good = (new_job({"cron": "0 9 * * *", "tz": "Europe/Berlin"}) for _ in range(2))
    Job.objects.filter(pk__in=[bad.pk, good.pk]).update(tzdata_version="2020.1")
    Job.objects.filter(pk=bad.pk).update(tz="Nowhere/Atlantis")
    call_command("recompute_schedules", stdout=StringIO())
    assert (fresh(bad).tzdata_version, fresh(good).tzdata_version) == ("2020.1", TZDATA_VERSION)
