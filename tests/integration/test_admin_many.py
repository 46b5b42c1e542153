"""Many jobs from the admin's list: ticked, or all that its filters find, by the same operation as the API's calls."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.auth.models import Permission, User
from django.test import Client

from core.ids import encode
from core.tenancy.models import AuditEntry, Environment, Product
from jobs.admin import many as of_list
from jobs.admin.filters import JOB_FILTERS, NoOperation, job_filter
from jobs.lifecycle import intervene
from jobs.models import Execution, Job, JobEvent, Operation
from jobs.operations import many
from jobs.queries import matching
from jobs.states import Verb
from tests.conformance import world
from tests.integration.test_admin_jobs import LIST, ada, rows, text, told, viewer

__all__ = ["ada", "viewer"]  # fixtures

pytestmark = pytest.mark.django_db

HOURLY = {"every": 3_600_000}


def ticked(verb: str, *jobs: Job, **more: str) -> dict[str, Any]:
    return {"action": f"{verb}_jobs", "_selected_action": [str(job.pk) for job in jobs], **more}


def across(verb: str, **more: str) -> dict[str, Any]:
    """All that the filter finds; Django asks for one row that is ticked."""
    return {**ticked(verb, Job.objects.latest("pk")), "select_across": "1", **more}


def page_of(operation: Operation) -> str:
    return f"/admin/jobs/operation/{operation}/change/"


def statuses(*jobs: Job) -> list[str]:
    return [world.fresh(job).status for job in jobs]


# --- ticked -----------------------------------------------------------------------------


def test_ticked_jobs_are_cancelled_after_a_question_that_says_what_would_become_of_them(ada: Client) -> None:
    waiting = [world.new_job() for _ in range(2)]
    ended = world.new_job()
    Job.objects.filter(pk=ended.pk).update(priority=9)
    Execution.objects.filter(job=ended).update(priority=9)
    world.complete(world.claim_one(ended))
    selected = ticked("cancel", *waiting, ended)

    asked = ada.post(LIST, selected)
    assert "Cancel the selected jobs?" in text(asked)
    assert "As it is now: 2 would be cancelled, 1 passed over (already completed)." in text(asked)
    assert statuses(*waiting) == ["queued", "queued"]
    assert not Operation.objects.exists()

    done = ada.post(LIST, {**selected, "confirmed": "1", "reason": "stale"}, follow=True)
    assert told(done) == ["2 cancelled, 1 passed over (already completed)"]
    assert {(world.fresh(job).status, world.fresh(job).cancel_reason) for job in waiting} == {("cancelled", "stale")}
    operation = Operation.objects.get()
    assert (operation.verb, operation.count, operation.skipped, operation.actor) == ("cancel", 2, 1, "ada")
    assert set(JobEvent.objects.filter(type="job.cancelled").values_list("actor", flat=True)) == {"ada"}
    assert list(AuditEntry.objects.values_list("actor", "action")) == [("ada", "jobs.cancel_many")]


@pytest.mark.parametrize(
    ("verb", "outcome"),
    [("pause", "paused"), ("trigger", "triggered"), ("retry", "queued again"), ("resume", "resumed")],
)
def test_what_takes_nothing_away_is_done_at_once(ada: Client, verb: str, outcome: str) -> None:
    job = world.new_job(HOURLY)
    (world.fail if verb == "retry" else world.complete)(world.claim_one(job))
    if verb == "resume":
        intervene.pause(job.pk)
    assert told(ada.post(LIST, ticked(verb, job), follow=True)) == [f"1 {outcome}"]


def test_each_reason_for_passing_over_is_counted(ada: Client) -> None:
    recurring, one_off, ended = world.new_job(HOURLY), world.new_job(), world.new_job(HOURLY)
    intervene.cancel(ended.pk)
    answer = ada.post(LIST, ticked("pause", recurring, one_off, ended), follow=True)
    assert told(answer) == ["1 paused, 2 passed over (1 not recurring, 1 already cancelled)"]


def test_a_ticked_job_that_runs_is_deleted_with_a_warning(ada: Client) -> None:
    job = world.new_job()
    world.claim_one(job)
    assert "A run that is going on is cancelled first" in text(ada.post(LIST, ticked("delete", job)))
    assert told(ada.post(LIST, ticked("delete", job, confirmed="1"), follow=True)) == ["1 deleted"]
    assert not Job.objects.exists()


# --- all that a filter finds ------------------------------------------------------------


def test_all_that_a_filter_finds_are_taken_after_a_question(ada: Client) -> None:
    for _ in range(3):
        world.fail(world.claim_one(world.new_job()))
    waiting = world.new_job()
    chosen = {**across("retry"), "_selected_action": [str(Job.objects.filter(status="failed").latest("pk").pk)]}

    asked = ada.post(f"{LIST}?status=failed", chosen)
    assert "Retry all that the filter finds?" in text(asked)
    assert "As it is now: 3 would be queued again." in text(asked)
    assert world.fresh(waiting).execution_count == 0

    assert told(ada.post(f"{LIST}?status=failed", {**chosen, "confirmed": "1"}, follow=True)) == ["3 queued again"]
    assert set(Job.objects.values_list("status", flat=True)) == {"queued"}


@pytest.mark.parametrize("query", ["", "?p=2", "?q=%20"])
def test_every_job_of_every_product_is_too_many(ada: Client, query: str) -> None:
    job = world.new_job()
    answer = ada.post(f"{LIST}{query}", across("cancel", confirmed="1"), follow=True)
    assert told(answer) == [
        "Not done: no filter is set, and every job of every product is too many: set one, or search"
    ]
    assert statuses(job) == ["queued"]


def test_a_parameter_that_is_no_filter_takes_nothing(ada: Client) -> None:
    job = world.new_job()
    answer = ada.post(f"{LIST}?queue__startswith=def", across("cancel", confirmed="1"), follow=True)
    assert "Not done" in " ".join(told(answer))
    assert statuses(job) == ["queued"]


def places() -> Environment:
    """A second environment, and a second product with one of the same name."""
    prd = world.environment()
    other = Product.objects.create(tag="other", name="Other")
    Environment.objects.create(product=other, slug="prd", name="P")
    return Environment.objects.create(product=prd.product, slug="stg", name="Stage")


def test_a_filter_means_the_same_to_the_list_and_to_an_operation(ada: Client) -> None:
    stage = places()
    failing = world.new_job(HOURLY, labels={"team": "a"}, unique_key="once:a")
    world.fail(world.claim_one(failing))
    retrying = world.new_job(retries=1, target={"app": "mail", "event": "send"})
    world.postpone(world.claim_one(retrying))
    world.complete(world.claim_one(world.new_job(queue="default", environment_id=stage.pk)))
    world.new_job(queue="slow", namespace="other")
    intervene.cancel(world.new_job().pk)
    elsewhere = Environment.objects.get(product__tag="other")
    world.new_job(environment_id=elsewhere.pk, product_id=elsewhere.product_id)
    shop = Product.objects.get(tag="shop").pk
    queries = [
        "status=scheduled", "status=queued", "status=cancelled", "status=completed", "status=nothing", "last_run=failed",
        "failures=1", "failures=2", "failures=7", "retrying=yes", "recurring=yes", "recurring=no", f"product={shop}",
        "product=x", "env=prd", "env=stg", f"product={shop}&env=prd", "namespace=noop", "namespace=other", "queue=slow",
        "q=mail", "q=mail:send", "q=team:a", "q=once:a", "q=nothing", f"q={encode('job', failing.pk)}", f"q={failing.pk}",
        "env=prd&recurring=yes&status=scheduled", "status=queued&q=mail",
    ]  # fmt: skip
    assert {query.partition("=")[0] for query in queries} >= {each.parameter_name for each in JOB_FILTERS}
    found = 0
    for query in queries:
        listed = {job.pk for job in rows(ada.get(f"{LIST}?{query}"))}
        wanted = job_filter(dict(part.split("=", 1) for part in query.split("&")))
        assert set(matching(wanted).values_list("pk", flat=True)) == listed, query
        found += len(listed)
    assert found > 20


def test_a_filter_that_is_none_is_told() -> None:
    with pytest.raises(NoOperation, match="queue__in in the address is none of the filters"):
        job_filter({"queue__in": "a", "status": "queued"})


# --- large ones -------------------------------------------------------------------------


@pytest.fixture
def large(monkeypatch: pytest.MonkeyPatch) -> list[Job]:
    """Five jobs, where two are tried at once and three done at once."""
    monkeypatch.setattr(many, "MOST_TRIED", 2)
    monkeypatch.setattr(many, "MOST_AT_ONCE", 3)
    monkeypatch.setattr(many, "CHUNK", 2)
    return [world.new_job(HOURLY) for _ in range(5)]


def test_above_the_limit_it_goes_on_in_the_background_with_a_page_of_its_own(ada: Client, large: list[Job]) -> None:
    asked = text(ada.post(f"{LIST}?env=prd", across("cancel")))
    assert "More than 3 jobs." in asked
    assert "Only count" in asked

    begun = ada.post(f"{LIST}?env=prd", across("cancel", confirmed="1", reason="stale"), follow=True)

    operation = Operation.objects.get()
    assert begun.redirect_chain[-1][0] == page_of(operation)
    assert "Waits for a scheduler" in text(begun)
    assert (begun["Refresh"], statuses(*large)) == ("2", ["queued"] * 5)
    assert many.go_on_with_one()
    shown = ada.get(page_of(operation))
    assert "5 of 5 asked: 5 cancelled." in text(shown)
    assert "environments: shop / prd" in text(shown)
    assert "Reason stale" in text(shown)
    assert "Refresh" not in shown
    assert "Abort" not in text(shown)
    assert statuses(*large) == ["cancelled"] * 5


def test_what_is_only_counted_changes_nothing(ada: Client, large: list[Job]) -> None:
    ada.post(f"{LIST}?env=prd", across("cancel", confirmed="1", only_count="1"))
    operation = Operation.objects.get()
    assert many.go_on_with_one()
    assert "5 of 5 asked: 5 would be cancelled." in text(ada.get(page_of(operation)))
    assert statuses(*large) == ["queued"] * 5


def test_one_that_goes_on_is_aborted_and_what_was_done_stays_done(
    ada: Client, large: list[Job], monkeypatch: pytest.MonkeyPatch
) -> None:
    ada.post(f"{LIST}?env=prd", across("cancel", confirmed="1"))
    operation = Operation.objects.get()
    monkeypatch.setattr(many, "TURN_SECONDS", 0.001)  # of one chunk
    assert many.go_on_with_one()
    assert "Abort" in text(ada.get(page_of(operation)))

    aborted = ada.post(f"/admin/jobs/operation/{operation}/abort/", follow=True)

    assert told(aborted) == ["Aborted: what was done stays done"]
    assert "2 of 5 asked: 2 cancelled." in text(aborted)
    assert many.go_on_with_one() is False
    assert sorted(statuses(*large)) == ["cancelled"] * 2 + ["queued"] * 3
    assert ("ada", "operation.aborted") in AuditEntry.objects.values_list("actor", "action")


def test_one_that_has_ended_cannot_be_aborted(ada: Client) -> None:
    ada.post(LIST, ticked("pause", world.new_job(HOURLY)))
    answer = ada.post(f"/admin/jobs/operation/{Operation.objects.get()}/abort/", follow=True)
    assert "nothing is left to abort" in told(answer)[-1]


def test_what_takes_longer_than_a_page_goes_on_in_the_background(ada: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    jobs = [world.new_job(HOURLY) for _ in range(3)]
    monkeypatch.setattr(many, "CHUNK", 1)
    monkeypatch.setattr(of_list, "PATIENCE_SECONDS", 0.0)
    ada.post(LIST, ticked("pause", *jobs))
    assert statuses(*jobs) == ["queued"] * 3
    assert many.go_on_with_one()
    assert statuses(*jobs) == ["paused"] * 3


# --- operations -------------------------------------------------------------------------


def test_the_list_of_operations_says_what_who_and_how_far(ada: Client) -> None:
    job = world.new_job(HOURLY)
    ada.post(LIST, ticked("pause", job))
    many.start(
        many.Asked(
            verb=Verb.RESCHEDULE, wanted=job_filter({"env": "prd"}), arguments={"schedule": {"every": 60_000}},
            actor="ops", product_id=None, environment_ids=None,
        )
    )  # fmt: skip
    words = text(ada.get("/admin/jobs/operation/"))
    assert "Pause many the job that was ticked completed 1 of 1 1 paused ada" in words
    assert "Reschedule many" in words
    assert "environments: shop / prd" in words
    assert "1 rescheduled ops" in words


def test_a_pause_is_taken_back_as_a_whole(ada: Client) -> None:
    mine, by_hand = world.new_job(HOURLY), world.new_job(HOURLY)
    intervene.pause(by_hand.pk)
    ada.post(LIST, ticked("pause", mine))
    operation = Operation.objects.get()
    assert "Resume what it paused" in text(ada.get(page_of(operation)))

    resumed = ada.post(f"/admin/jobs/operation/{operation}/resume/", follow=True)

    assert "1 of 1 asked: 1 resumed." in text(resumed)
    assert statuses(mine, by_hand)[1] == "paused"
    assert statuses(mine)[0] != "paused"


def test_what_could_not_be_done_is_told_with_its_job(ada: Client) -> None:
    job = world.new_job({**HOURLY, "limit": 3})
    world.complete(world.claim_one(job))
    operation = many.start(
        many.Asked(
            verb=Verb.RESCHEDULE, wanted=job_filter({"env": "prd"}), arguments={"schedule": {"limit": 1}},
            actor="ops", product_id=None, environment_ids=None,
        )
    )  # fmt: skip
    words = text(ada.get(page_of(operation)))
    assert encode("job", job.pk) in words
    assert "Could not be done" in words
    assert "0 rescheduled, 1 passed over (invalid)" in words


def test_an_operation_that_there_is_none_of_is_not_found(ada: Client) -> None:
    for address in ("op_x", encode("op", world.new_job().pk), "nothing"):
        assert ada.get(f"/admin/jobs/operation/{address}/change/").status_code == 404
    ada.post(LIST, ticked("trigger", world.new_job(HOURLY)))
    assert ada.post(f"/admin/jobs/operation/{Operation.objects.get()}/resume/").status_code == 404


# --- who may ----------------------------------------------------------------------------


def test_who_may_only_look_sees_operations_and_aborts_none(ada: Client, viewer: Client, large: list[Job]) -> None:
    ada.post(f"{LIST}?env=prd", across("cancel", confirmed="1"))
    operation = Operation.objects.get()
    for address in ("/admin/jobs/operation/", page_of(operation)):
        assert viewer.get(address).status_code == 200
    assert "Abort" not in text(viewer.get(page_of(operation)))
    for verb in ("abort", "resume"):
        assert viewer.post(f"/admin/jobs/operation/{operation}/{verb}/").status_code == 403
        assert ada.get(f"/admin/jobs/operation/{operation}/{verb}/").status_code == 403
    assert Operation.objects.get().finished_at is None


def test_who_may_not_see_jobs_sees_no_operation() -> None:
    user = User.objects.create_user("nora", is_staff=True)
    user.user_permissions.set(Permission.objects.filter(codename="view_product"))
    nora = Client()
    nora.force_login(user)
    assert nora.get("/admin/jobs/operation/").status_code == 403


def test_a_job_that_came_after_the_question_was_not_meant(ada: Client) -> None:
    """An operation takes what its filter finds up to the newest job of when it begins, and no other."""
    first = world.new_job()
    ada.post(f"{LIST}?env=prd", across("cancel", confirmed="1"))
    operation = Operation.objects.get()
    assert operation.until == first.pk
    assert statuses(world.new_job()) == ["queued"]
