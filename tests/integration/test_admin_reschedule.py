"""Rescheduling a job in the admin, and the steps of its runs: what is sent, what is refused, what is shown."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.contrib.auth.models import Permission, User
from django.test import Client

from core.clock import database_now
from core.times import to_ms
from jobs.lifecycle import intervene
from jobs.lifecycle.steps import CACHED
from jobs.models import Execution, Job, JobEvent
from tests.conformance import world
from tests.integration.test_admin_jobs import LIST, name, page, text, told

pytestmark = pytest.mark.django_db


@pytest.fixture
def ada() -> Client:
    client = Client()
    client.force_login(User.objects.create_superuser("ada"))
    return client


def address(job: Job) -> str:
    return f"{LIST}{name(job)}/reschedule/"


def send(client: Client, job: Job, **typed: str) -> Any:
    """Type into the page as it is, and send it."""
    form = client.get(address(job)).context["form"]
    fields = {"start_at": "", **{key: str(value) for key, value in form.initial.items()}}
    hidden = {f"initial-{key}": value for key, value in fields.items()}
    return client.post(address(job), {**hidden, **fields, **typed}, follow=True)


def problems(answer: Any) -> dict[str, list[str]]:
    assert answer.redirect_chain == []
    return dict(answer.context["form"].errors)


# --- rescheduling -------------------------------------------------------------------------


def test_a_one_off_gets_another_time(ada: Client) -> None:
    job = world.new_job({"start_at": to_ms(database_now() + timedelta(days=1))})
    assert "Reschedule" in text(ada.get(page(job)))
    answer = send(ada, job, start_at="2100-01-31T09:00")
    assert told(answer) == ["nothing: rescheduled"]
    assert answer.redirect_chain == [(page(job), 302)]
    job = world.fresh(job)
    assert job.next_run_at == datetime(2100, 1, 31, 9, tzinfo=UTC)
    assert JobEvent.objects.get(job_id=job.pk, type="job.rescheduled").actor == "ada"


def test_a_cron_gets_another_expression_and_zone(ada: Client) -> None:
    job = world.new_job({"cron": "30 2 * * *", "tz": "Europe/Berlin", "limit": 7})
    send(ada, job, cron="0 9 * * MON", tz="America/New_York")
    job = world.fresh(job)
    assert (job.cron, job.tz, job.limit) == ("0 9 * * MON", "America/New_York", 7)


def test_a_cron_becomes_an_interval_and_an_interval_a_cron(ada: Client) -> None:
    job = world.new_job({"cron": "30 2 * * *"})
    send(ada, job, cron="", every="3600000")
    assert (world.fresh(job).cron, world.fresh(job).every) == ("", 3_600_000)
    send(ada, job, cron="0 9 * * *", every="")
    assert (world.fresh(job).cron, world.fresh(job).every) == ("0 9 * * *", None)


def test_an_emptied_cron_with_a_new_start_runs_once(ada: Client) -> None:
    job = world.new_job({"cron": "30 2 * * *"})
    start = to_ms(database_now() + timedelta(days=2))
    send(ada, job, cron="", tz="", start_at=str(start))
    job = world.fresh(job)
    assert (job.recurring, to_ms(job.next_run_at)) == (False, start)  # type: ignore[arg-type]


def test_what_was_not_touched_stays_as_somebody_else_made_it_meanwhile(ada: Client) -> None:
    job = world.new_job({"cron": "30 2 * * *", "tz": "UTC"})
    opened = {"cron": "30 2 * * *", "tz": "UTC", "every": "", "start_at": ""}
    send(ada, job, cron="0 4 * * *")
    ada.post(address(job), {**opened, **{f"initial-{key}": value for key, value in opened.items()}, "tz": "Asia/Tokyo"})
    assert (world.fresh(job).cron, world.fresh(job).tz) == ("0 4 * * *", "Asia/Tokyo")


@pytest.mark.parametrize(
    ("typed", "expected"),
    [
        ({"cron": "61 * * * *"}, {"cron": "61"}),
        ({"tz": "Europe/Nowhere"}, {"tz": "Europe/Nowhere"}),
        ({"every": "5"}, {"every": "must be a whole number of milliseconds from 100", "cron": ""}),
        ({"start_at": "tomorrow"}, {"start_at": "'tomorrow' is neither milliseconds nor an ISO 8601 date and time"}),
    ],
)  # fmt: skip
def test_a_refusal_is_told_at_its_field_with_what_was_typed(
    ada: Client, typed: dict[str, str], expected: dict[str, str]
) -> None:
    job = world.new_job({"cron": "30 2 * * *"})
    before = world.snapshot(job)
    answer = send(ada, job, **typed)
    found = problems(answer)
    for field, words in expected.items():
        assert words in " ".join(found.get(field, []))
    for field, value in typed.items():
        assert f'value="{value}"' in answer.content.decode()
        assert answer.context["form"][field].errors
    assert world.snapshot(job) == before


def test_nothing_changed_is_told_in_a_sentence(ada: Client) -> None:
    job = world.new_job({"cron": "30 2 * * *"})
    assert told(send(ada, job)) == ["Not rescheduled: give a new start_at, cron (with tz) or every"]


def test_a_job_that_ended_meanwhile_is_told_with_the_state_found(ada: Client) -> None:
    job = world.new_job({"cron": "30 2 * * *"})
    intervene.cancel(job.pk)
    assert told(send(ada, job, cron="0 9 * * *")) == [
        "Not rescheduled: a job that is cancelled cannot be asked to reschedule (found: cancelled)"
    ]
    assert address(job) not in ada.get(page(job)).content.decode()


def test_a_one_off_that_runs_is_not_offered_another_time(ada: Client) -> None:
    job = world.new_job()
    world.claim_one(job)
    assert address(job) not in ada.get(page(job)).content.decode()


def test_who_may_only_look_cannot_reschedule(ada: Client) -> None:
    job = world.new_job({"cron": "30 2 * * *"})
    user = User.objects.create_user("vera", is_staff=True)
    user.user_permissions.set(Permission.objects.filter(codename__startswith="view_"))
    vera = Client()
    vera.force_login(user)
    before = world.snapshot(job)
    assert address(job) not in vera.get(page(job)).content.decode()
    assert vera.get(address(job)).status_code == 403
    assert vera.post(address(job), {"cron": "0 9 * * *", "initial-cron": "30 2 * * *"}).status_code == 403
    assert world.snapshot(job) == before


# --- steps --------------------------------------------------------------------------------


def test_the_history_shows_each_step_of_a_run(ada: Client) -> None:
    job = world.new_job(namespace="features", target={"tag": "report"})
    world.fail(world.claim_one(job))
    at = to_ms(database_now())
    Execution.objects.filter(job=job).update(
        steps=[
            {"step": "fetch", "status": "completed", "attempts": 2, "started_at": at, "completed_at": at + 1500,
             "output": {"rows": 17}},
            {"step": "outer/inner", "status": "skipped", "started_at": at, "completed_at": at},
            {"step": "tell", "status": "failed", "attempts": 3, "started_at": at, "completed_at": at + 40,
             "code": "SERVICE_UNAVAILABLE", "error": "answered 503 <b>"},
            {"step": "wait", "status": "running", "started_at": at},
            {"step": CACHED, "attempt": 1},
        ]
    )  # fmt: skip
    shown = text(ada.get(page(job)))
    assert "4 steps: 1 completed, 1 skipped, 1 failed, 1 running" in shown
    assert "1.5 s 2" in shown
    assert "&quot;rows&quot;: 17" in shown
    assert "outer/inner skipped" in shown
    assert "SERVICE_UNAVAILABLE answered 503 &lt;b&gt;" in shown
    assert CACHED not in shown


def test_an_executors_own_notes_and_long_outputs_are_shown_within_bounds(ada: Client) -> None:
    job = world.new_job()
    world.complete(world.claim_one(job))
    Execution.objects.filter(job=job).update(
        steps=[
            {"step": "email/a@example.com", "messageId": "m-17"},
            {"step": "dump", "status": "completed", "output": "x" * 5000},
        ]
    )
    content = ada.get(page(job)).content.decode()
    assert "m-17" in content
    assert "more characters: the API has all of them" in content
    assert "x" * 2001 not in content


def test_a_run_without_steps_shows_none(ada: Client) -> None:
    job = world.new_job()
    world.complete(world.claim_one(job))
    assert 'class="rows steps"' not in ada.get(page(job)).content.decode()
