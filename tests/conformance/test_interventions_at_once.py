"""Two callers over HTTP at the same moment: it is as if one had come after the other, and whoever came second is told
the state that the first has left."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import combinations_with_replacement
from typing import Any

import pytest
from django.db import connection
from pytest_django import Settings

from core.ids import encode
from core.shortcache import forget_everything
from jobs.models import Execution, Job, JobEvent
from jobs.states import Verb
from tests.conformance.world import STATES, claim_one, fail, new_job
from tests.integration.api import OPERATOR, Api
from tests.integration.dispatch_world import at_once

pytestmark = pytest.mark.django_db(transaction=True)

BODIES: dict[Verb, dict[str, Any]] = {Verb.RESCHEDULE: {"every": 60_000}}
PAIRS = list(combinations_with_replacement(list(Verb), 2))


def _failing() -> Job:
    job = new_job({"every": 3_600_000})
    fail(claim_one(job))
    return job


JOBS: dict[str, Callable[[], Job]] = {
    "scheduled": STATES["scheduled", True],
    "running": STATES["running", True],
    "failed": STATES["failed", False],
    "paused": STATES["paused", True],
    "failing": _failing,
}

Outcome = tuple[Any, ...]


@pytest.fixture(autouse=True)
def _here(settings: Settings) -> Iterator[None]:
    settings.OPERATOR_API_KEY = OPERATOR
    settings.ROOT_URLCONF = "tests.integration.api"
    settings.EXTRA_EXECUTORS = {"noop": "tests.acceptance.executors.Echo"}
    forget_everything()
    yield
    forget_everything()


def ask(verb: Verb, job: Job) -> Outcome:
    """What is answered: a status, and of a refusal its code and the state that was found."""
    at = f"/v1/jobs/{encode('job', job.pk)}"
    answer = Api().delete(at) if verb is Verb.DELETE else Api().post(f"{at}/{verb}", BODIES.get(verb, {}))
    if answer.status_code < 400:
        return (answer.status_code,)
    told = answer.json()
    return answer.status_code, told["code"], told.get("status_found")


def left(job: Job) -> Outcome:
    """What is left of the job: its state, its runs, what was told of it."""
    found = Job.objects.filter(pk=job.pk).values_list("status", flat=True).first()
    runs = list(Execution.objects.filter(job_id=job.pk).order_by("id").values_list("status", "trigger"))
    events = list(JobEvent.objects.filter(job_id=job.pk).order_by("seq").values_list("type", "seq"))
    return found, tuple(runs), tuple(events)


def one_after_the_other(make: Callable[[], Job], first: Verb, second: Verb) -> tuple[Outcome, Outcome, Outcome]:
    job = make()
    told = ask(first, job), ask(second, job), left(job)
    forget_jobs()
    return told


def both_at_once(job: Job, one: Verb, other: Verb) -> tuple[Outcome, Outcome]:
    answers = dict(at_once(2, lambda index: (index, ask((one, other)[index], job))))
    return answers[0], answers[1]


def forget_jobs() -> None:
    Execution.objects.all().delete()
    Job.objects.all().delete()


@pytest.mark.parametrize("state", ["running", "paused", "failing"])  # in which most can be asked
def test_each_two_at_once_are_as_one_after_the_other(state: str) -> None:
    if connection.vendor != "postgresql":
        pytest.skip("one writer at a time: nothing can come between a read and a write")
    for one, other in PAIRS:
        first, second, found = one_after_the_other(JOBS[state], one, other)
        second_first, first_second, found_then = one_after_the_other(JOBS[state], other, one)
        expected = {(first, second, found), (first_second, second_first, found_then)}
        job = JOBS[state]()

        answers = both_at_once(job, one, other)

        assert (*answers, left(job)) in expected, (one, other)
        forget_jobs()


@pytest.mark.parametrize(
    ("state", "verb", "refused"),
    [
        ("scheduled", Verb.CANCEL, "cancelled"), ("scheduled", Verb.PAUSE, "paused"), ("scheduled", Verb.TRIGGER, "queued"),
        ("running", Verb.CANCEL, "cancelled"), ("running", Verb.PAUSE, "paused"), ("failed", Verb.RETRY, "queued"),
        ("failing", Verb.RETRY, "queued"), ("paused", Verb.RESUME, "scheduled"), ("paused", Verb.CANCEL, "cancelled"),
    ],
)  # fmt: skip
def test_of_many_who_ask_the_same_at_once_one_does_it_and_the_others_hear_of_it(
    state: str, verb: Verb, refused: str
) -> None:
    job = JOBS[state]()

    answers = at_once(6, lambda _: ask(verb, job))

    assert sorted(answers) == [(200,), *[(409, "illegal_state", refused)] * 5]


def test_of_many_who_delete_at_once_one_does_it_and_the_others_find_nothing() -> None:
    job = JOBS["scheduled"]()
    assert sorted(at_once(6, lambda _: ask(Verb.DELETE, job))) == [(204,), *[(404, "job_not_found", None)] * 5]
