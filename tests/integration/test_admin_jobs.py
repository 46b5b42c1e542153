"""Jobs in the admin: what the list and the page show and cost, what can be asked and by whom."""

from __future__ import annotations

import re
from datetime import datetime, timedelta
from typing import Any

import pytest
from django.contrib.admin import site
from django.contrib.auth.models import Permission, User
from django.db import transaction
from django.test import Client, RequestFactory
from pytest_django import DjangoAssertNumQueries

from core.backoffice.pages import MOST_COUNTED, BoundedPaginator
from core.clock import database_now
from core.errors import ApiError
from core.ids import encode
from core.tenancy.models import AuditEntry
from jobs.admin import verbs
from jobs.lifecycle import intervene
from jobs.lifecycle.promote import promote_due
from jobs.models import Execution, Hold, Job, JobEvent, Scheduler, Worker
from jobs.states import ALLOWED, JobStatus, Verb
from tests.conformance import world

pytestmark = pytest.mark.django_db

LIST = "/admin/jobs/job/"


@pytest.fixture
def ada() -> Client:
    client = Client()
    client.force_login(User.objects.create_superuser("ada"))
    return client


@pytest.fixture
def viewer() -> Client:
    """Staff who may look at everything and change nothing."""
    user = User.objects.create_user("vera", is_staff=True)
    user.user_permissions.set(Permission.objects.filter(codename__startswith="view_"))
    client = Client()
    client.force_login(user)
    return client


def name(job: Job) -> str:
    return encode("job", job.pk)


def page(job: Job) -> str:
    return f"{LIST}{name(job)}/change/"


def do(job: Job, verb: str) -> str:
    return f"{LIST}{name(job)}/do/{verb}/"


def rows(answer: Any) -> list[Job]:
    assert answer.status_code == 200
    return list(answer.context["cl"].result_list)


def told(answer: Any) -> list[str]:
    return [str(message) for message in answer.context["messages"]]


def text(answer: Any) -> str:
    """The page's words, tags and repeated space taken out."""
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", answer.content.decode()))


# --- the list ---------------------------------------------------------------------------


def test_the_list_shows_id_target_state_schedule_and_the_last_run(ada: Client) -> None:
    job = world.new_job({"every": 7_200_000}, target={"app": "mail", "event": "send"})
    world.fail(world.claim_one(job), code="TIMEOUT", error="late")

    words = text(ada.get(LIST))

    assert f"mail:send {name(job)}" in words
    assert "every 2 h" in words
    assert "shop / prd" in words
    assert "scheduled" in words
    assert "failed" in words


def test_a_list_of_many_jobs_costs_as_many_queries_as_a_list_of_one(
    ada: Client, django_assert_max_num_queries: DjangoAssertNumQueries
) -> None:
    for _ in range(30):
        job = world.new_job({"cron": "0 9 * * *", "tz": "Europe/Berlin"})
        world.make_due(job)
        world.fail(world.claim_one(job))
    ada.get(LIST)
    with django_assert_max_num_queries(9):  # session, user, the filters' choices, the count, the rows
        assert len(rows(ada.get(LIST))) == 30
    with django_assert_max_num_queries(9):
        assert len(rows(ada.get("/admin/jobs/execution/"))) == 30


def test_a_count_stops_at_its_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    for _ in range(4):
        world.new_job()
    monkeypatch.setattr("core.backoffice.pages.MOST_COUNTED", 3)
    paginator = BoundedPaginator(Job.objects.order_by("-id"), 2)
    assert (paginator.count, paginator.num_pages, paginator.is_more) == (3, 2, True)
    assert MOST_COUNTED == 10_000


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("status=failed", ["failed"]),
        ("status=scheduled", ["retrying", "recurring"]),
        ("status=running", ["running"]),
        ("status=queued", ["queued"]),
        ("last_run=failed", ["failed"]),
        ("failures=1", ["failed"]),
        ("failures=2", []),
        ("failures=-1", []),
        ("retrying=yes", ["retrying"]),
        ("recurring=yes", ["recurring"]),
        ("recurring=no&status=queued", ["queued"]),
        ("queue=slow", ["queued"]),
        ("env=prd&status=failed", ["failed"]),
        ("env=nowhere", []),
        ("product=0", []),
        ("namespace=noop&status=running", ["running"]),
        ("q=mail%3Asend", ["failed"]),
        ("q=team%3Agrowth", ["recurring"]),
        ("q=order-17", ["queued"]),
        ("q=job_00000000000000000000000000", []),
    ],
)
def test_filters_and_search_find(ada: Client, query: str, expected: list[str]) -> None:
    jobs = {
        "failed": world.new_job(target={"app": "mail", "event": "send"}),
        "retrying": world.new_job(retries=3),
        "running": world.new_job(),
    }
    world.fail(world.claim_one(jobs["failed"]))
    world.postpone(world.claim_one(jobs["retrying"]))
    world.claim_one(jobs["running"])
    jobs["queued"] = world.new_job(queue="slow", unique_key="order-17")
    jobs["recurring"] = world.new_job(
        {"every": 3_600_000, "start_at": int((database_now() + world.HOUR).timestamp() * 1000)},
        labels={"team": "growth"},
    )
    if "namespace" in query:
        Job.objects.update(namespace="noop")

    found = {job.pk for job in rows(ada.get(f"{LIST}?{query}"))}

    assert found == {jobs[label].pk for label in expected}


def test_a_job_is_found_by_its_id(ada: Client) -> None:
    job, _ = world.new_job(), world.new_job()
    assert rows(ada.get(f"{LIST}?q={name(job)}")) == [job]


# --- the page ---------------------------------------------------------------------------


def test_the_page_shows_every_attempt_with_its_error_and_code(ada: Client) -> None:
    job = world.new_job(retries=3, input={"token": "$Secret{TOKEN}"}, session="user:sealed-session")
    world.postpone(world.claim_one(job), code="TIMEOUT", error="no answer within 10 s")
    Execution.objects.update(due_at=database_now() - timedelta(seconds=1))
    promote_due()
    world.fail(world.claim_one(job), code="UNAUTHORIZED", error="answered 401")

    answer = ada.get(page(job))

    attempts = [
        (attempt.number, attempt.status, attempt.code, attempt.error)
        for attempt, _ in answer.context["runs"][0]["attempts"]
    ]
    assert attempts == [
        (1, "failed", "TIMEOUT", "no answer within 10 s"),
        (2, "failed", "UNAUTHORIZED", "answered 401"),
    ]
    words = text(answer)
    assert "$Secret{TOKEN}" in words
    assert "sealed-session" not in words
    assert "set (never shown)" in words


def test_the_page_shows_the_next_ten_occurrences_with_notes_for_clock_changes(ada: Client) -> None:
    start = int(datetime.fromisoformat("2027-03-27T00:00:00+00:00").timestamp() * 1000)
    job = world.new_job({"cron": "30 2 * * *", "tz": "Europe/Berlin", "start_at": start})

    coming = ada.get(page(job)).context["coming"]

    assert len(coming["rows"]) == 10
    assert coming["rows"][0]["local"] == "Sat 2027-03-27 02:30:00 CET"
    assert coming["rows"][0]["utc"] == "2027-03-27 01:30:00"
    assert coming["rows"][1]["local"] == "Sun 2027-03-28 03:00:00 CEST"  # 02:30 is not on that day's clock
    assert len(coming["notes"]) == 1
    assert "does not exist" in coming["notes"][0]


def test_a_limit_ends_the_occurrences_that_are_shown(ada: Client) -> None:
    job = world.new_job({"every": 3_600_000, "limit": 4})
    assert len(ada.get(page(job)).context["coming"]["rows"]) == 3  # the first has begun


def test_the_history_is_paged_newest_first(ada: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("jobs.admin.job_page.RUNS_ON_A_PAGE", 2)
    job = world.new_job({"every": 3_600_000})
    world.complete(world.claim_one(job))
    for _ in range(2):
        intervene.trigger(job.pk)
        world.complete(world.claim_one(job))

    first = ada.get(page(job))
    second = ada.get(f"{page(job)}?before={first.context['older']}")

    assert [run["row"].number for run in first.context["runs"]] == [3, 2]
    assert [run["row"].number for run in second.context["runs"]] == [1]
    assert second.context["older"] is None


def test_a_run_leads_to_its_place_in_the_history_of_its_job(ada: Client) -> None:
    job = world.new_job()
    run = world.runs_of(job)[0]
    answer = ada.get(f"/admin/jobs/execution/{run.pk}/change/")
    assert answer["Location"] == f"{page(job)}?before={run.pk + 1}#history"
    assert [shown["row"].pk for shown in ada.get(answer["Location"]).context["runs"]] == [run.pk]


def test_an_address_of_no_job_is_not_found(ada: Client) -> None:
    assert ada.get(f"{LIST}job_00000000000000000000000000/change/").status_code == 404
    assert ada.get(f"{LIST}nonsense/change/").status_code == 404
    assert ada.get(f"{LIST}nonsense/do/cancel/").status_code == 404


# --- what can be asked --------------------------------------------------------------------


@pytest.mark.parametrize(
    "state", world.STATES, ids=lambda state: f"{state[0]}-{'recurring' if state[1] else 'one_off'}"
)
def test_just_what_would_be_done_is_offered(ada: Client, state: tuple[str, bool]) -> None:
    job = world.fresh(world.STATES[state]())
    offered = {described.verb for described in ada.get(page(job)).context["offered"]}

    assert all(JobStatus(job.status) in ALLOWED[verb] for verb in offered)
    assert offered == {verb for verb in verbs.OFFERED if would_be_done(verb, job)}


def would_be_done(verb: Verb, job: Job) -> bool:
    try:
        with transaction.atomic():
            verbs.ask(verb, job.pk, actor="ada")
            transaction.set_rollback(True)
    except ApiError:
        return False
    return True


def test_a_recurring_job_whose_last_run_failed_can_be_retried(ada: Client) -> None:
    job = world.new_job({"every": 3_600_000})
    world.fail(world.claim_one(job))
    offered = [described.verb for described in ada.get(page(job)).context["offered"]]
    assert offered == [Verb.RETRY, Verb.TRIGGER, Verb.PAUSE, Verb.CANCEL, Verb.DELETE]


@pytest.mark.parametrize(
    ("verb", "state", "becomes"),
    [
        ("cancel", ("queued", False), "cancelled"),
        ("pause", ("scheduled", True), "paused"),
        ("resume", ("paused", True), "scheduled"),
        ("retry", ("failed", False), "queued"),
        ("trigger", ("completed", True), "queued"),
    ],
)
def test_a_button_does_it_in_the_name_of_the_user(
    ada: Client, verb: str, state: tuple[str, bool], becomes: str
) -> None:
    job = world.STATES[state]()
    JobEvent.objects.all().delete()

    answer = ada.post(do(job, verb), {"reason": "because"}, follow=True)

    assert answer.redirect_chain == [(page(job), 302)]
    assert world.fresh(job).status == becomes
    actors = list(JobEvent.objects.filter(job_id=job.pk).values_list("actor", flat=True))
    deeds = list(AuditEntry.objects.values_list("actor", "action", "object"))
    if verb == "trigger":  # has no event of its own
        assert (actors, deeds) == ([], [("ada", "job.triggered", name(job))])
    else:
        assert (actors, deeds) == (["ada"], [])


def test_a_reason_is_kept_with_the_job(ada: Client) -> None:
    job = world.new_job()
    assert "Reason" in text(ada.get(do(job, "cancel")))
    ada.post(do(job, "cancel"), {"reason": "sent twice"})
    assert world.fresh(job).cancel_reason == "sent twice"


def test_a_get_changes_nothing(ada: Client) -> None:
    job = world.new_job()
    before = world.snapshot(job)
    for verb in verbs.OFFERED:
        assert ada.get(do(job, verb)).status_code == 200
    assert world.snapshot(job) == before


def test_a_job_that_changed_meanwhile_is_told_with_the_state_found(ada: Client) -> None:
    job = world.new_job()
    world.complete(world.claim_one(job))
    answer = ada.post(do(job, "cancel"), follow=True)
    assert told(answer) == [
        f"Cancel {name(job)}: not done: a job that is completed cannot be asked to cancel (found: completed)"
    ]


def test_deleting_leads_back_to_the_list_and_the_events_stay(ada: Client) -> None:
    job = world.new_job()
    answer = ada.post(do(job, "delete"))
    assert answer["Location"] == LIST
    assert not Job.objects.filter(pk=job.pk).exists()
    assert JobEvent.objects.filter(job_id=job.pk, type="job.deleted", actor="ada").count() == 1


# --- who may ----------------------------------------------------------------------------


def test_who_may_only_look_sees_everything_and_is_offered_nothing(viewer: Client) -> None:
    job = world.new_job({"every": 3_600_000})
    for address in (LIST, page(job), "/admin/", "/admin/jobs/execution/", "/admin/jobs/jobevent/who/"):
        assert viewer.get(address).status_code == 200
    assert viewer.get(page(job)).context["offered"] == []
    assert "cancel_jobs" not in viewer.get(LIST).content.decode()


@pytest.mark.parametrize("verb", verbs.OFFERED)
def test_who_may_only_look_cannot_act(viewer: Client, verb: Verb) -> None:
    job = world.new_job({"every": 3_600_000})
    before = world.snapshot(job)
    assert viewer.get(do(job, verb)).status_code == 403
    assert viewer.post(do(job, verb)).status_code == 403
    viewer.post(LIST, {"action": f"{verb}_jobs", "_selected_action": [str(job.pk)], "confirmed": "1"})
    assert world.snapshot(job) == before


def test_who_may_change_but_not_delete_is_not_offered_to_delete() -> None:
    user = User.objects.create_user("cora", is_staff=True)
    user.user_permissions.set(Permission.objects.filter(codename__in=["view_job", "change_job"]))
    cora = Client()
    cora.force_login(user)
    job = world.new_job()
    assert [verb.verb for verb in cora.get(page(job)).context["offered"]] == [Verb.CANCEL]
    assert cora.post(do(job, "delete")).status_code == 403
    cora.post(LIST, {"action": "delete_jobs", "_selected_action": [str(job.pk)], "confirmed": "1"})
    assert world.fresh(job).status == "queued"


def test_nobody_writes_rows_past_the_operations() -> None:
    request = RequestFactory().get("/admin/")
    request.user = User.objects.create_superuser("root")
    for model in (Job, Execution, Worker, Scheduler, JobEvent, AuditEntry):
        page = site._registry[model]
        assert not page.has_add_permission(request)
        assert not page.has_change_permission(request)
        assert not page.has_delete_permission(request)
    assert not site._registry[Hold].has_change_permission(request)
    assert not site._registry[Hold].has_delete_permission(request)


def test_djangos_own_addresses_for_writing_are_closed_to_superusers(ada: Client) -> None:
    job = world.new_job()
    before = world.snapshot(job)
    assert ada.get(f"{LIST}add/").status_code == 403
    assert ada.post(f"{LIST}{job.pk}/delete/", {"post": "yes"}).status_code == 403
    assert ada.post(page(job), {"status": "completed"}).status_code == 200  # the page, read
    assert world.snapshot(job) == before


# --- holds, processes, overview, audit ----------------------------------------------------


def test_a_product_is_held_and_released_in_the_name_of_the_user(ada: Client) -> None:
    place = world.environment()
    ada.post(
        "/admin/jobs/hold/add/", {"product": place.product_id, "environment": "", "namespace": "", "note": "upgrade"}
    )
    hold = Hold.objects.get()
    assert (hold.product_id, hold.environment_id, hold.namespace, hold.note, hold.actor) == (
        place.product_id, None, "", "upgrade", "ada",
    )  # fmt: skip

    answer = ada.post("/admin/jobs/hold/", {"action": "release", "_selected_action": [str(hold.pk)]}, follow=True)

    assert not Hold.objects.exists()
    assert told(answer)[-1:] == ["1 released: what waited runs now, in order"]
    assert list(AuditEntry.objects.order_by("id").values_list("actor", "action", "object")) == [
        ("ada", "hold.made", "shop"),
        ("ada", "hold.released", "shop"),
    ]


def test_a_hold_of_an_environment_of_another_product_is_refused(ada: Client) -> None:
    place = world.environment()
    other = type(place.product).objects.create(tag="bank", name="Bank")
    answer = ada.post(
        "/admin/jobs/hold/add/", {"product": other.pk, "environment": place.pk, "namespace": "", "note": ""}
    )
    assert answer.status_code == 200
    assert answer.context["adminform"].form.errors == {"environment": ["is of another product"]}
    assert not Hold.objects.exists()


def test_a_worker_is_dead_when_its_lease_is_over(ada: Client) -> None:
    now = database_now()
    world.worker()
    Worker.objects.create(
        host="gone", pid=2, queues=["default"], started_at=now, beaten_at=now, lease_until=now - timedelta(seconds=1)
    )
    words = text(ada.get("/admin/jobs/worker/"))
    assert re.search(r"gone:2 dead", words)
    assert re.search(r"test:1 alive", words)


def test_the_overview_counts_states_queues_and_the_failures_of_the_day(
    ada: Client, django_assert_max_num_queries: DjangoAssertNumQueries
) -> None:
    world.fail(world.claim_one(world.new_job()), code="TIMEOUT")
    world.complete(world.claim_one(world.new_job()))
    old = world.new_job()
    world.fail(world.claim_one(old), code="OLD")
    Execution.objects.filter(job=old).update(finished_at=database_now() - timedelta(hours=25))
    world.claim_one(world.new_job())
    world.new_job()
    paused = world.new_job(world.RECURRING)
    intervene.pause(paused.pk)

    answer = ada.get("/admin/")

    shown = {state["status"]: state["count"] for state in answer.context["states"]}
    assert shown == {
        "scheduled": "0", "queued": "1", "running": "1", "completed": "1", "failed": "2", "cancelled": "0", "paused": "1",
    }  # fmt: skip
    assert (answer.context["completed"], answer.context["failed"]) == (1, 1)
    assert answer.context["codes"] == [("TIMEOUT", 1)]
    assert {row["queue"]: row["depth"] for row in answer.context["queues"]}["default"] == 1
    assert answer.context["warnings"] == [
        "No scheduler is alive: nothing becomes due. Start one with `manage.py scheduler`."
    ]
    with django_assert_max_num_queries(26):
        ada.get("/admin/")


def test_the_overview_stops_counting_at_its_bound(ada: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("jobs.admin.dashboard.MOST_COUNTED", 2)
    for _ in range(3):
        world.new_job()
        world.complete(world.claim_one())
        world.new_job()
    shown = {state["status"]: state["count"] for state in ada.get("/admin/").context["states"]}
    assert shown["queued"] == "2+"


def test_who_did_what_merges_interventions_and_changes_newest_first(ada: Client) -> None:
    job = world.new_job()
    AuditEntry.objects.create(actor="grace", action="key.created", object="ci", at=database_now() - timedelta(hours=1))
    intervene.cancel(job.pk, reason="stale", actor="ada")
    world.complete(world.claim_one(world.new_job()))  # the system's own events are not deeds

    deeds = [
        (deed.actor, deed.action, deed.detail) for deed, _ in ada.get("/admin/jobs/jobevent/who/").context["deeds"]
    ]
    found = [deed.actor for deed, _ in ada.get("/admin/jobs/jobevent/who/?q=grace").context["deeds"]]

    assert deeds == [("ada", "cancelled", "reason: stale"), ("grace", "key.created", "")]
    assert found == ["grace"]
