"""semantics.md §4 over HTTP, cell by cell: the answer of each call in each state, and a row that a refusal leaves as it was."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any
from uuid import UUID

import pytest
from pytest_django import Settings

from core.ids import encode
from core.shortcache import forget_everything
from jobs.lifecycle import intervene
from jobs.models import Execution, Job, JobEvent
from jobs.states import Verb
from tests.conformance.test_state_machine import CELLS, LEGAL
from tests.conformance.world import STATES, claim_one, fail, fresh, new_job, postpone, snapshot
from tests.integration.api import OPERATOR, Api

pytestmark = pytest.mark.django_db

BODIES = {Verb.RESCHEDULE: {"every": 60_000}}
MANY = [cell for cell in CELLS if cell[0] is not Verb.TRIGGER]


@pytest.fixture(autouse=True)
def _here(settings: Settings) -> Iterator[None]:
    settings.OPERATOR_API_KEY = OPERATOR
    settings.ROOT_URLCONF = "tests.integration.api"
    settings.EXTRA_EXECUTORS = {"noop": "tests.acceptance.executors.Echo"}
    forget_everything()
    yield
    forget_everything()


@pytest.mark.parametrize(("verb", "state", "recurring"), CELLS)
def test_a_call_in_a_state_is_done_or_refused_and_changes_nothing(verb: Verb, state: str, recurring: bool) -> None:
    job = STATES[state, recurring]()
    before, events = snapshot(job), JobEvent.objects.filter(job_id=job.pk).count()
    at = f"/v1/jobs/{encode('job', job.pk)}"

    answer = Api().delete(at) if verb is Verb.DELETE else Api().post(f"{at}/{verb}", BODIES.get(verb, {}))

    if (verb, state, recurring) not in LEGAL:
        told = answer.json()
        if not recurring and verb in {Verb.PAUSE, Verb.TRIGGER}:
            assert (answer.status_code, told["code"]) == (409, "not_recurring")
        else:
            assert (answer.status_code, told["code"], told["status_found"]) == (409, "illegal_state", state)
        assert snapshot(job) == before
        assert JobEvent.objects.filter(job_id=job.pk).count() == events
    elif verb is Verb.DELETE:
        assert (answer.status_code, answer.content) == (204, b"")
        assert not Job.objects.filter(pk=job.pk).exists()
        assert not Execution.objects.filter(job_id=job.pk).exists()
        assert JobEvent.objects.filter(job_id=job.pk).latest("seq").type == "job.deleted"
    else:
        assert answer.status_code == 200, answer.content
        assert (answer.json()["id"], answer.json()["status"]) == (encode("job", job.pk), LEGAL[verb, state, recurring])
        assert fresh(job).status == LEGAL[verb, state, recurring]


@pytest.mark.parametrize(("state", "recurring"), STATES)
def test_a_forced_delete_is_done_in_every_state_and_cancels_what_runs(state: str, recurring: bool) -> None:
    job = STATES[state, recurring]()

    answer = Api().delete(f"/v1/jobs/{encode('job', job.pk)}?force=true")

    assert answer.status_code == 204
    assert not Job.objects.filter(pk=job.pk).exists()
    told = list(JobEvent.objects.filter(job_id=job.pk).order_by("seq").values_list("type", "actor"))
    assert told[-1] == ("job.deleted", "operator")
    assert (("job.cancelled", "operator") in told) == (state == "running")


@pytest.mark.parametrize(("verb", "state", "recurring"), MANY)
def test_many_do_what_one_call_would_and_pass_over_the_rest(verb: Verb, state: str, recurring: bool) -> None:
    job = STATES[state, recurring]()
    before = snapshot(job)
    body: dict[str, Any] = {"status": state, **({"schedule": BODIES[verb]} if verb in BODIES else {})}

    trial = Api().post(f"/v1/jobs/{verb}-many", {**body, "dry_run": True})
    assert snapshot(job) == before
    answer = Api().post(f"/v1/jobs/{verb}-many", body)

    legal = (verb, state, recurring) in LEGAL
    expected = {"count": int(legal), "skipped": int(not legal)}
    assert (trial.status_code, trial.json()) == (200, expected)
    told = answer.json()
    assert answer.status_code == 200, told
    assert told.pop("pause_id", "").startswith("pause_") == (verb is Verb.PAUSE)
    assert told == expected
    if not legal:
        assert snapshot(job) == before
    elif verb is Verb.DELETE:
        assert not Job.objects.filter(pk=job.pk).exists()
    else:
        assert fresh(job).status == LEGAL[verb, state, recurring]


def _in_a_back_off(schedule: dict[str, Any] | None) -> Job:
    job = new_job(schedule, retries=3)
    postpone(claim_one(job))
    return job


def _failing() -> Job:
    job = new_job({"every": 3_600_000})
    fail(claim_one(job))
    return job


def _paused_while_it_runs() -> Job:
    job = new_job({"every": 3_600_000})
    claim_one(job)
    intervene.pause(job.pk)
    return job


# States within a state: how a job comes to be in it, and of each call its status and the state then (None: gone), or
# the code of its refusal.
WITHIN: dict[str, tuple[Callable[[], Job], dict[Verb, tuple[int, str | None]]]] = {
    "one-off in a back-off": (
        lambda: _in_a_back_off(None),
        {
            Verb.CANCEL: (200, "cancelled"), Verb.PAUSE: (409, "not_recurring"), Verb.RESUME: (409, "illegal_state"),
            Verb.RESCHEDULE: (200, "scheduled"), Verb.RETRY: (409, "illegal_state"), Verb.TRIGGER: (409, "not_recurring"),
            Verb.DELETE: (204, None),
        },
    ),
    "recurring in a back-off": (
        lambda: _in_a_back_off({"every": 3_600_000}),
        {
            Verb.CANCEL: (200, "cancelled"), Verb.PAUSE: (200, "paused"), Verb.RESUME: (409, "illegal_state"),
            Verb.RESCHEDULE: (200, "scheduled"), Verb.RETRY: (409, "illegal_state"), Verb.TRIGGER: (409, "illegal_state"),
            Verb.DELETE: (204, None),
        },
    ),
    "recurring whose last run failed": (
        _failing,
        {
            Verb.CANCEL: (200, "cancelled"), Verb.PAUSE: (200, "paused"), Verb.RESUME: (409, "illegal_state"),
            Verb.RESCHEDULE: (200, "scheduled"), Verb.RETRY: (200, "queued"), Verb.TRIGGER: (200, "queued"),
            Verb.DELETE: (204, None),
        },
    ),
    "paused while it runs": (
        _paused_while_it_runs,
        {
            Verb.CANCEL: (200, "cancelled"), Verb.PAUSE: (409, "illegal_state"), Verb.RESUME: (200, "running"),
            Verb.RESCHEDULE: (200, "paused"), Verb.RETRY: (409, "illegal_state"), Verb.TRIGGER: (409, "illegal_state"),
            Verb.DELETE: (409, "illegal_state"),
        },
    ),
}  # fmt: skip


@pytest.mark.parametrize("verb", Verb)
@pytest.mark.parametrize("within", WITHIN)
def test_what_stands_behind_a_state_decides_too(within: str, verb: Verb) -> None:
    make, expected = WITHIN[within]
    job = make()
    before, state = snapshot(job), fresh(job).status
    at = f"/v1/jobs/{encode('job', job.pk)}"

    answer = Api().delete(at) if verb is Verb.DELETE else Api().post(f"{at}/{verb}", BODIES.get(verb, {}))

    status, then = expected[verb]
    assert answer.status_code == status, answer.content
    if status == 409:
        assert answer.json()["code"] == then
        assert answer.json().get("status_found", state) == state
        assert snapshot(job) == before
    elif then is None:
        assert not Job.objects.filter(pk=job.pk).exists()
    else:
        assert (answer.json()["status"], fresh(job).status) == (then, then)


@pytest.mark.parametrize("verb", Verb)
def test_a_job_that_there_is_none_of_is_not_found(verb: Verb) -> None:
    at = f"/v1/jobs/{encode('job', UUID(int=1))}"
    answer = Api().delete(at) if verb is Verb.DELETE else Api().post(f"{at}/{verb}", BODIES.get(verb, {}))
    assert (answer.status_code, answer.json()["code"]) == (404, "job_not_found")
