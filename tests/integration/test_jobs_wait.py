"""`wait` over HTTP: a request that waits answers when the run has ended, and holds nothing meanwhile."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from django.db import connection
from pytest_django import Settings

from core.clock import database_now
from core.ids import encode
from core.shortcache import forget_everything
from core.times import to_ms
from jobs.lifecycle import intervene
from jobs.models import Job
from jobs.operations.waiting import watcher
from tests.conformance.world import claim_one, complete, fail, make_due, new_job
from tests.integration.api import OPERATOR, Api, told
from tests.servers.local import wait_until

pytestmark = pytest.mark.django_db(transaction=True)

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


def waited(job: Job, milliseconds: int = 20_000) -> tuple[threading.Thread, dict[str, Any]]:
    """A request that waits, in a thread of its own; what it answered is put into the dictionary."""
    answer: dict[str, Any] = {}

    def ask() -> None:
        try:
            answer.update(Api().get(path_of(job, f"?wait={milliseconds}")).json())
        finally:
            connection.close()

    thread = threading.Thread(target=ask)
    thread.start()
    deadline = time.monotonic() + 10
    while not watcher.waiting() and thread.is_alive() and time.monotonic() < deadline:
        time.sleep(0.005)
    return thread, answer


def test_a_wait_answers_when_the_run_has_ended() -> None:
    job = new_job()
    thread, answer = waited(job)
    assert thread.is_alive()

    complete(claim_one(job), '{"n": 1}')

    thread.join(10)
    assert (answer["status"], answer["result"]) == ("completed", {"n": 1})


def test_a_wait_on_a_recurring_job_answers_when_its_next_run_has_ended() -> None:
    job = new_job({**HOURLY, "start_at": to_ms(database_now() + timedelta(hours=1))})
    thread, answer = waited(job)
    make_due(job)
    claim = claim_one(job)
    assert thread.is_alive()

    fail(claim, error="no")

    thread.join(10)
    assert (answer["status"], answer["last_run_status"], answer["last_error"]) == ("scheduled", "failed", "no")


def test_a_wait_ends_with_a_pause_a_cancel_and_a_delete() -> None:
    paused, cancelled, deleted = (new_job(HOURLY) for _ in range(3))
    verbs: list[tuple[Job, Callable[[UUID], object], object]] = [
        (paused, intervene.pause, "paused"),
        (cancelled, intervene.cancel, "cancelled"),
        (deleted, intervene.delete, 404),
    ]
    for job, verb, expected in verbs:
        thread, answer = waited(job)
        verb(job.pk)
        thread.join(10)
        assert not thread.is_alive()
        assert answer["status"] == expected


def test_a_wait_gives_up_at_its_time_with_the_job_as_it_is() -> None:
    assert Api().get(path_of(new_job(), "?wait=50")).json()["status"] == "queued"


def test_a_job_at_rest_is_answered_at_once_and_takes_no_place(settings: Settings) -> None:
    settings.MOST_WAITING = 0
    job = new_job()
    complete(claim_one(job))

    assert Api().get(path_of(job, "?wait=60000")).json()["status"] == "completed"


def test_more_waiting_requests_than_places_are_told_to_come_back(settings: Settings) -> None:
    settings.MOST_WAITING = 1
    job = new_job()
    thread, _ = waited(job)

    refused = Api().get(path_of(job, "?wait=1000"))

    assert told(refused) == (429, "too_many_waiting")
    assert refused["Retry-After"] == "1"
    assert Api().get(path_of(job)).status_code == 200
    intervene.cancel(job.pk)
    thread.join(10)


@pytest.mark.parametrize("wait", ["60001", "-1", "1.5", "long"])
def test_a_wait_out_of_bounds_is_400(wait: str) -> None:
    assert told(Api().get(path_of(new_job(), f"?wait={wait}"))) == (400, "invalid")


def test_the_watcher_rests_once_nothing_is_read_for_those_who_waited(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who takes the database away, as a test does that ends, asks first: an answer comes while a look may be under way."""
    looking, go_on = threading.Event(), threading.Event()

    def slowly(waiters: list[Any]) -> None:
        looking.set()
        go_on.wait(10)

    monkeypatch.setattr(watcher, "_look", slowly)
    answer = Api().get(path_of(new_job(), "?wait=100")).json()

    assert (answer["status"], looking.wait(10), watcher.waiting()) == ("queued", True, 0)
    assert not watcher.rests()
    go_on.set()
    wait_until(watcher.rests, "the watcher rests")
