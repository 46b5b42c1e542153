"""A …-many call does to each job what the call for one does, though it writes the rows of a chunk together."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import pytest

from core.clock import database_now
from core.errors import ApiError
from jobs.lifecycle import intervene
from jobs.lifecycle.create import schedule_of
from jobs.lifecycle.reap import Reaped, lose
from jobs.models import Execution, Job, JobEvent
from jobs.operations import many
from jobs.operations.many import Asked
from jobs.queries import JobFilter
from jobs.schedule import due_at
from jobs.states import Verb
from tests.conformance.world import STATES, claim_one, complete, environment, fail, make_due, new_job, postpone, worker

pytestmark = pytest.mark.django_db

HOURLY = {"every": 3_600_000}
DAILY = {"cron": "0 9 * * *", "tz": "America/New_York"}


def _postponed(schedule: dict[str, Any] | None = None) -> Job:
    job = new_job(schedule, retries=3)
    postpone(claim_one(job))
    return job


def _lost() -> Job:
    job, owner = new_job(HOURLY), worker()
    taken = claim_one(job, worker_id=owner)
    lose([(taken.run_id, taken.job_id)], error="gone", counted=True, reaped=Reaped(), owner_id=owner)
    return job


def _paused(job: Job) -> Job:
    intervene.pause(job.pk, note="before")
    return job


def _running(schedule: dict[str, Any]) -> Job:
    job = new_job(schedule)
    claim_one(job)
    return job


def _behind() -> Job:
    """One run is running, another one waits behind it."""
    job = _running({**HOURLY, "overlap": "queue"})
    make_due(job)
    return job


def _ended_after(end: Callable[..., bool]) -> Job:
    job = new_job(HOURLY)
    end(claim_one(job))
    return job


def _due() -> Job:
    """An occurrence has come due, and no scheduler has opened it yet."""
    job, at = _ended_after(complete), database_now()
    Job.objects.filter(pk=job.pk).update(next_run_at=at, next_due_at=at)
    return job


def _delayed_retry() -> Job:
    job = _ended_after(fail)
    intervene.retry(job.pk, delay=timedelta(hours=1))
    return job


def _out_of_room() -> Job:
    job = _paused(new_job({**HOURLY, "limit": 1, "start_at": "2090-01-01"}))
    Job.objects.filter(pk=job.pk).update(occurrences_opened=1)
    return job


JOBS: dict[str, Callable[[], Job]] = {
    **{f"{state}, {'recurring' if recurring else 'one-off'}": make for (state, recurring), make in STATES.items()},
    "in a back-off": _postponed,
    "recurring, in a back-off": lambda: _postponed(HOURLY),
    "lost its worker": _lost,
    "failing": lambda: _ended_after(fail),
    "after a run": lambda: _ended_after(complete),
    "due": _due,
    "a delayed retry": _delayed_retry,
    "a run behind another": _behind,
    "by cron": lambda: new_job(DAILY),
    "with jitter": lambda: new_job({**DAILY, "jitter": 60_000}),
    "by cron, paused": lambda: _paused(new_job({**DAILY, "jitter": 60_000})),
    "paused while it runs": lambda: _paused(_running(HOURLY)),
    "paused in a back-off": lambda: _paused(_postponed(HOURLY)),
    "paused after a run": lambda: _paused(_ended_after(complete)),
    "paused, without room": _out_of_room,
}
ONE: dict[Verb, Callable[[Job], Any]] = {
    Verb.CANCEL: lambda job: intervene.cancel(job.pk, reason="why", actor="ann"),
    Verb.PAUSE: lambda job: intervene.pause(job.pk, note="why", actor="ann"),
    Verb.RESUME: lambda job: intervene.resume(job.pk, note="why", actor="ann"),
    Verb.DELETE: lambda job: intervene.delete(job.pk, actor="ann"),
}
SAID = {Verb.CANCEL: {"reason": "why"}, Verb.DELETE: {}}
ITS_OWN = {"id", "job_id", "last_run_id", "owner_id", "about", "next_due_at"}  # a job's jitter is by its id
OTHERWISE = {"pause_id", "schedule"}  # only a call for many has one; a start in it is in milliseconds


def rows(job: Job, now: datetime) -> list[Any]:
    """All that is stored of a job, but what no two jobs share; times by how far from now they are."""
    of_job = [
        Job.objects.filter(pk=job.pk).values(),
        Execution.objects.filter(job_id=job.pk).order_by("id").values(),
        JobEvent.objects.filter(job_id=job.pk).order_by("seq").values(),
    ]
    return [[{name: _plain(name, value, now) for name, value in row.items()} for row in each] for each in of_job]


def _plain(name: str, value: Any, now: datetime) -> Any:
    if name in OTHERWISE:
        return None
    if name in ITS_OWN:
        return value is None
    if isinstance(value, datetime):
        return round((value - now) / timedelta(minutes=1))
    if name == "attempts" and value:
        return [each["status"] for each in value]
    return value


@pytest.mark.parametrize("verb", many._TOGETHER)
@pytest.mark.parametrize("kind", JOBS)
def test_together_or_alone_makes_no_difference(verb: Verb, kind: str) -> None:
    alone = JOBS[kind]()
    before = Execution.objects.filter(job_id=alone.pk).count()
    Job.objects.filter(pk=alone.pk).update(queue="alone")  # so that no claim of the other finds it
    Execution.objects.filter(job_id=alone.pk).update(queue="alone")
    among = JOBS[kind]()
    assert Execution.objects.filter(job_id=among.pk).count() == before
    others = [new_job({"start_at": "2090-01-01"}), new_job({**HOURLY, "start_at": "2090-01-01"})]
    try:
        ONE[verb](alone)
        told = (1, 0)
    except ApiError:
        told = (0, 1)

    done = many.start(
        Asked(
            verb=verb,
            wanted=JobFilter(environment_ids=None, job_ids=(among.pk,), statuses=frozenset([among_status(among)])),
            arguments=SAID.get(verb, {"note": "why"}),
            actor="ann",
            product_id=None,
            environment_ids=None,
        )
    )

    assert (done.count, done.skipped) == told
    Job.objects.filter(queue="alone").update(queue="default")
    Execution.objects.filter(queue="alone").update(queue="default")
    now = database_now()
    assert rows(among, now) == rows(alone, now)
    for job in Job.objects.filter(pk=among.pk):
        if job.next_run_at is not None:
            assert job.next_due_at == due_at(schedule_of(job), job.pk, job.next_run_at)
    assert all(Job.objects.filter(pk=other.pk).exists() for other in others)


def among_status(job: Job) -> Any:
    return Job.objects.get(pk=job.pk).status


def test_a_chunk_goes_in_a_few_statements_however_many_jobs_it_has(django_assert_max_num_queries: Any) -> None:
    for verb in (Verb.PAUSE, Verb.RESUME, Verb.CANCEL, Verb.DELETE):
        if verb is Verb.PAUSE:
            for _ in range(40):
                new_job({**HOURLY, "start_at": "2090-01-01"})
        wanted = JobFilter(environment_ids=frozenset({environment().pk}))
        with django_assert_max_num_queries(45):
            done = many.start(Asked(verb=verb, wanted=wanted, actor="ann", product_id=None, environment_ids=None))
        assert (done.count, done.skipped) == (40, 0)
