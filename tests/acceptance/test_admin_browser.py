"""What an operator does daily, in a real browser: Debian's Chromium, driven by Playwright.

Every request of every page must go to loopback: the admin brings its own styles, fonts and scripts.
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterator
from datetime import timedelta
from typing import Any
from urllib.parse import urlsplit

import pytest
from django.contrib.auth.models import User
from django.test import Client
from playwright.sync_api import Browser, BrowserContext, Page, Request, expect, sync_playwright

from core.clock import database_now
from core.ids import encode
from core.tenancy.models import ApiKey, AuditEntry, Product
from core.tenancy.visibility import Place
from executors import caching
from executors.catalog import document
from executors.catalog.models import Connection, SessionConfig
from executors.catalog.schema import read_document
from executors.catalog.sealed import open_sealed
from executors.sessions import lifecycle
from jobs.lifecycle import intervene
from jobs.lifecycle.promote import promote_due
from jobs.models import Execution, Hold, Job, JobEvent
from jobs.operations import many
from tests.conformance import world
from tests.servers.receiver import Answer, Receiver

CHROMIUM = shutil.which("chromium") or "/usr/bin/chromium"
FLAGS = [
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync",
]  # fmt: skip
PASSWORD = "correct horse battery staple"
LOOPBACK = {"127.0.0.1", "localhost", "::1"}

pytestmark = [pytest.mark.processes, pytest.mark.django_db(transaction=True)]


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    if not os.path.exists(CHROMIUM):
        if os.environ.get("CI"):
            pytest.fail("no chromium: the admin is not tested without it (apt-get install chromium)")
        pytest.skip("no chromium on this machine: apt-get install chromium")
    # Playwright runs an event loop in this thread, in which Django would refuse queries; the server
    # has threads of its own, and nothing here is concurrent.
    before = os.environ.get("DJANGO_ALLOW_ASYNC_UNSAFE")
    os.environ["DJANGO_ALLOW_ASYNC_UNSAFE"] = "1"
    try:
        with sync_playwright() as playwright:
            chromium = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
            yield chromium
            chromium.close()
    finally:
        if before is None:
            del os.environ["DJANGO_ALLOW_ASYNC_UNSAFE"]
        else:
            os.environ["DJANGO_ALLOW_ASYNC_UNSAFE"] = before


@pytest.fixture(params=["light", "dark"])
def scheme(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def requested() -> list[str]:
    return []


@pytest.fixture
def context(browser: Browser, live_server: Any, requested: list[str]) -> Iterator[BrowserContext]:
    """A fresh browser profile; afterwards every request it made is looked at."""
    opened = browser.new_context(base_url=live_server.url, viewport={"width": 1440, "height": 900})
    opened.set_default_timeout(20_000)

    def note(request: Request) -> None:
        requested.append(request.url)

    opened.on("request", note)
    yield opened
    opened.close()
    outside = [
        url
        for url in requested
        if urlsplit(url).scheme not in {"data", "blob"} and urlsplit(url).hostname not in LOOPBACK
    ]
    assert outside == []


@pytest.fixture
def page(context: BrowserContext) -> Iterator[Page]:
    """Ada, logged in, on the overview. An error in a page's script fails the test."""
    User.objects.create_superuser("ada", password=PASSWORD)
    opened = context.new_page()
    failures: list[str] = []
    opened.on("pageerror", lambda error: failures.append(str(error)))
    log_in(opened)
    yield opened
    assert failures == []


def log_in(page: Page, name: str = "ada", password: str = PASSWORD) -> None:
    page.goto("/admin/")
    page.fill("#id_username", name)
    page.fill("#id_password", password)
    page.click("button[type=submit]")
    expect(page.locator("h1")).to_contain_text("Overview")


def follow(page: Page, title: str) -> None:
    """By the sidebar."""
    page.locator("a").filter(has=page.get_by_text(title, exact=True)).first.click()


def open_job(page: Page, job: Job) -> None:
    page.goto(f"/admin/jobs/job/{encode('job', job.pk)}/change/")


def status_shown(page: Page) -> Any:
    return page.locator(".acts .badge").first


def press(page: Page, label: str) -> None:
    page.locator(".acts").get_by_role("button", name=re.compile(label)).click()


def test_logging_in_with_a_wrong_password_stays_outside(context: BrowserContext) -> None:
    User.objects.create_superuser("ada", password=PASSWORD)
    page = context.new_page()
    page.goto("/admin/jobs/job/")
    page.fill("#id_username", "ada")
    page.fill("#id_password", "wrong")
    page.click("button[type=submit]")
    expect(page.locator("body")).to_contain_text("Please enter the correct username and password")
    page.fill("#id_username", "ada")
    page.fill("#id_password", PASSWORD)
    page.click("button[type=submit]")
    page.wait_for_url("**/admin/jobs/job/")


def test_a_failed_job_is_found_read_and_retried(page: Page) -> None:
    failed = world.new_job(target={"app": "mail", "event": "send_welcome"}, retries=2)
    world.postpone(world.claim_one(failed), code="TIMEOUT", error="no answer within 10 s")
    Execution.objects.update(due_at=database_now() - timedelta(seconds=1))
    promote_due()
    world.fail(world.claim_one(failed), code="UNAUTHORIZED", error="answered 401: the token expired")
    for _ in range(3):
        other = world.new_job(target={"app": "billing", "event": "invoice"})
        world.fail(world.claim_one(other))
    world.complete(world.claim_one(world.new_job(target={"app": "mail", "event": "send_welcome"})))

    follow(page, "Jobs")
    page.locator("#changelist a", has_text="Filters").click()
    page.locator("#changelist-filter").get_by_role("link", name="failed", exact=True).first.click()
    expect(page.locator("#result_list tbody tr")).to_have_count(4)
    page.locator("#searchbar").fill("send_welcome")
    page.locator("#searchbar").press("Enter")
    expect(page.locator("#result_list tbody tr")).to_have_count(1)
    page.locator("#result_list a", has_text="mail:send_welcome").click()

    expect(status_shown(page)).to_have_text("failed")
    expect(page.locator("pre.error")).to_have_text("answered 401: the token expired")
    history = page.locator("#history")
    expect(history).to_contain_text("2 attempts")
    expect(history).to_contain_text("TIMEOUT no answer within 10 s")
    expect(history).to_contain_text("UNAUTHORIZED answered 401: the token expired")

    press(page, "Retry")
    expect(page.locator("body")).to_contain_text("mail:send_welcome: queued again")
    expect(status_shown(page)).to_have_text("queued")
    assert world.fresh(failed).status == "queued"
    assert JobEvent.objects.filter(job_id=failed.pk, type="job.retrying", actor="ada").count() == 1


def test_a_recurring_job_is_read_paused_resumed_and_triggered(page: Page) -> None:
    job = world.new_job({"cron": "30 2 * * *", "tz": "Europe/Berlin"})
    open_job(page, job)
    expect(page.locator("body")).to_contain_text("At 02:30")
    expect(page.locator(".panel", has_text="Next occurrences").locator("tbody tr")).to_have_count(10)

    press(page, "Pause")
    expect(status_shown(page)).to_have_text("paused")
    press(page, "Resume")
    expect(status_shown(page)).to_have_text("scheduled")
    press(page, "Trigger")
    expect(status_shown(page)).to_have_text("queued")

    world.complete(world.claim_one(job), '{"rows": 17}')
    page.reload()
    expect(page.locator("#history")).to_contain_text("trigger")
    expect(page.locator("body")).to_contain_text('"rows": 17')
    actors = JobEvent.objects.filter(job_id=job.pk, type__in=["job.paused", "job.resumed"]).order_by("seq")
    assert list(actors.values_list("type", "actor")) == [("job.paused", "ada"), ("job.resumed", "ada")]


def test_a_job_is_cancelled_with_a_reason_after_a_question(page: Page) -> None:
    job = world.new_job(target={"app": "mail", "event": "send"})
    open_job(page, job)
    page.locator(".acts").get_by_role("link", name=re.compile("Cancel")).click()
    page.get_by_role("link", name="No, go back").click()
    assert world.fresh(job).status == "queued"
    page.locator(".acts").get_by_role("link", name=re.compile("Cancel")).click()
    page.get_by_label("Reason").fill("sent twice")
    page.get_by_role("button", name="Yes, cancel").click()
    expect(status_shown(page)).to_have_text("cancelled")
    expect(page.locator("body")).to_contain_text("reason: sent twice")
    assert world.fresh(job).cancel_reason == "sent twice"


def test_a_page_that_is_out_of_date_is_told_what_was_found(page: Page) -> None:
    job = world.new_job({"every": 3_600_000})
    open_job(page, job)
    world.complete(world.claim_one(job))
    intervene.cancel(job.pk, reason="somebody was faster")
    press(page, "Pause")
    expect(page.locator("body")).to_contain_text("(found: cancelled)")
    expect(status_shown(page)).to_have_text("cancelled")


def test_many_jobs_are_cancelled_from_the_list(page: Page) -> None:
    jobs = [world.new_job() for _ in range(3)]
    ended = world.new_job()
    Execution.objects.filter(job=ended).update(priority=9)
    world.complete(world.claim_one(ended))
    follow(page, "Jobs")
    expect(page.locator("#result_list tbody tr")).to_have_count(4)
    for box in page.locator("input.action-select").all():
        box.check()
    page.locator("#changelist-actions-wrapper select[name=action]").select_option("cancel_jobs")
    page.locator("#changelist-actions-wrapper").get_by_role("button").first.click()
    page.get_by_label("Reason").fill("stale")
    page.get_by_role("button", name="Yes, cancel").click()
    expect(page.locator("body")).to_contain_text("3 cancelled, 1 passed over (already completed)")
    assert {world.fresh(job).status for job in jobs} == {"cancelled"}


def test_all_that_a_filter_finds_are_cancelled_in_the_background_and_watched(
    page: Page, monkeypatch: pytest.MonkeyPatch
) -> None:
    jobs = [world.new_job(target={"app": "mail", "event": "send"}, queue="slow") for _ in range(60)]
    monkeypatch.setattr(many, "MOST_TRIED", 20)
    monkeypatch.setattr(many, "MOST_AT_ONCE", 30)
    monkeypatch.setattr(many, "TURN_SECONDS", 0.001)
    page.goto("/admin/jobs/job/?queue=slow")
    page.locator("#action-toggle").check()
    page.get_by_text("Select all 60 jobs").click()
    page.locator("#changelist-actions-wrapper select[name=action]").select_option("cancel_jobs")
    page.locator("#changelist-actions-wrapper").get_by_role("button").first.click()
    expect(page.locator(".tried")).to_contain_text("More than 30 jobs.")
    page.get_by_role("button", name="Yes, cancel").click()
    expect(page.locator("body")).to_contain_text("Waits for a scheduler")
    assert many.go_on_with_one()  # as a scheduler would
    expect(page.locator("body")).to_contain_text("50 of 60 asked: 50 cancelled.")  # the page looks again by itself
    assert many.go_on_with_one()
    expect(page.locator("body")).to_contain_text("60 of 60 asked: 60 cancelled.")
    assert {world.fresh(job).status for job in jobs} == {"cancelled"}
    follow(page, "Operations")
    expect(page.locator("#result_list tbody tr")).to_have_count(1)


def test_an_api_key_is_made_shown_once_and_works(page: Page, live_server: Any) -> None:
    world.environment()
    follow(page, "API keys")
    page.goto("/admin/tenancy/apikey/add/")
    page.fill("#id_name", "ci")
    page.select_option("#id_product", label="shop")
    page.get_by_label("catalog:read").check()
    page.get_by_role("button", name="Save", exact=True).click()
    text = page.locator("#made-key").inner_text()
    assert Client().get("/v1/products/shop/catalog", headers={"Authorization": f"Bearer {text}"}).status_code == 200
    page.get_by_role("link", name="I have copied it").click()
    expect(page.locator("#result_list")).to_contain_text("ci")
    assert text not in page.content()
    assert ApiKey.objects.get().name == "ci"


def test_a_product_is_held_and_released(page: Page) -> None:
    world.environment()
    follow(page, "Holds")
    page.goto("/admin/jobs/hold/add/")
    page.select_option("#id_product", label="shop")
    page.fill("#id_note", "database upgrade")
    page.get_by_role("button", name="Save", exact=True).click()
    expect(page.locator("#result_list")).to_contain_text("database upgrade")
    assert Hold.objects.get().actor == "ada"
    page.locator("input.action-select").check()
    page.locator("#changelist-actions-wrapper select[name=action]").select_option("release")
    page.locator("#changelist-actions-wrapper").get_by_role("button").first.click()
    expect(page.locator("body")).to_contain_text("1 released")
    assert not Hold.objects.exists()
    follow(page, "Who did what")
    expect(page.locator("table.rows")).to_contain_text("hold.released")


def test_a_connection_is_checked_and_a_secret_kept_by_leaving_it_blank(page: Page) -> None:
    with Receiver() as receiver:
        receiver.answer("/", Answer(status=401), Answer(status=200))
        app = {
            "tag": "mail", "envs": {"prd": {"base_url": receiver.url, "auth": {"type": "bearer", "token": "t-1"}}},
            "events": [{"tag": "send", "resource": "/send"}],
        }  # fmt: skip
        document.store("shop", read_document({"envs": [{"slug": "prd"}], "apps": [app]}, "shop"))
        connection = Connection.objects.get()
        follow(page, "Connections")
        page.get_by_role("button", name="Check").click()
        expect(page.locator("body")).to_contain_text("reached, but it answered 401")

        page.goto(f"/admin/catalog/connection/{connection.pk}/change/")
        expect(page.locator("#id_auth_token")).to_be_visible()
        expect(page.locator("#id_auth_password")).to_be_hidden()
        assert page.locator("#id_auth_token").input_value() == ""
        page.fill("#id_timeout", "5000")
        page.get_by_role("button", name="Save and continue editing").click()
        expect(page.locator("#id_timeout")).to_have_value("5000")
        press(page, "Check connection")
        expect(page.locator("body")).to_contain_text("app mail in prd")
        assert [request.headers["authorization"] for request in receiver.requests] == ["Bearer t-1", "Bearer t-1"]
    assert Product.objects.get().tag == "shop"
    assert list(AuditEntry.objects.order_by("id").values_list("actor", "action")) == [
        ("ada", "connection.checked"),
        ("ada", "catalog.stored"),
        ("ada", "connection.checked"),
    ]


def test_a_declaration_is_corrected_at_the_line_that_is_told_and_keeps_its_secret(page: Page) -> None:
    database = {
        "tag": "stock", "type": "postgresql", "envs": {"prd": {"connection_url": "postgresql://u:planted@127.0.0.1/stock"}}
    }  # fmt: skip
    document.store("shop", read_document({"envs": [{"slug": "prd"}], "databases": [database]}, "shop"))
    follow(page, "Components")
    page.locator("#result_list a", has_text="stock").first.click()
    text = page.locator("#id_declaration")
    written = text.input_value()
    assert "    connection_url: {set: true}\n" in written
    text.fill(written + "colour: red\n")
    page.get_by_role("button", name="Save and continue editing").click()
    expect(page.locator("body")).to_contain_text(f"colour (line {written.count(chr(10)) + 1}): there is no such field")
    expect(text).to_have_value(written + "colour: red\n")
    text.fill(written.replace("name: stock", "name: What is left"))
    page.get_by_role("button", name="Save and continue editing").click()
    expect(page.locator("body")).to_contain_text("was changed successfully")
    stored = Connection.objects.get()
    assert open_sealed(stored) == {"connection_url": "postgresql://u:planted@127.0.0.1/stock"}
    assert stored.component.name == "What is left"
    assert "planted" not in page.content()


def test_a_new_component_of_another_kind_begins_with_a_text_to_fill_in(page: Page) -> None:
    document.store("shop", read_document({"envs": [{"slug": "prd"}]}, "shop"))
    page.goto("/admin/catalog/component/add/")
    page.get_by_role("link", name="broker", exact=True).click()
    page.select_option("#id_product", label="shop")
    text = page.locator("#id_declaration")
    assert "tag: my-broker" in text.input_value()
    text.fill(
        "tag: bus\ntype: redis\nenvs:\n  prd: {url: redis://127.0.0.1:6379/0}\nevents:\n  - {tag: promo, topic: promo}\n"
    )
    page.get_by_role("button", name="Save", exact=True).click()
    expect(page.locator("#result_list")).to_contain_text("broker")
    assert Connection.objects.get().component.kind == "broker"


def test_a_session_is_revoked_and_a_cache_cleared(page: Page) -> None:
    declared = {
        "envs": [{"slug": "prd"}], "caches": [{"tag": "prices", "expiry": 60_000}],
        "sessions": [{"tag": "user", "selector": "$Session{id}", "expiry": 7, "period": "days"}],
    }  # fmt: skip
    document.store("shop", read_document(declared, "shop"))
    product = Product.objects.get()
    prd = product.environments.get()
    place = Place(product_id=product.pk, product="shop", environment_id=prd.pk, env="prd")
    held, _ = lifecycle.start(SessionConfig.objects.get(), place, {"id": "u_1"}, actor="web")
    caching.keep(
        product.pk, "prices", "k1", environment_id=prd.pk, namespace="actions", target={"app": "mail"}, result="1"
    )  # fmt: skip
    follow(page, "Sessions")
    page.locator("#result_list a", has_text="user").first.click()
    page.locator("tr", has_text=held.session_id).get_by_role("button", name="Revoke").click()
    expect(page.locator("body")).to_contain_text(f"Revoked in prd: {held.session_id}")
    expect(page.locator(".badge", has_text="revoked")).to_have_count(1)
    follow(page, "Caches")
    page.locator("#result_list a", has_text="prices").first.click()
    page.get_by_role("button", name="Clear all").click()
    expect(page.locator("body")).to_contain_text("1 cleared")
    assert [entry.action for entry in AuditEntry.objects.filter(actor="ada").order_by("id")] == [
        "session.revoked", "cache.cleared",
    ]  # fmt: skip


def test_a_job_is_rescheduled_and_a_wrong_cron_is_told_at_its_field(page: Page) -> None:
    job = world.new_job({"cron": "30 2 * * *", "tz": "Europe/Berlin"})
    open_job(page, job)
    page.locator(".acts").get_by_role("link", name=re.compile("Reschedule")).click()
    page.get_by_label("Cron").fill("61 2 * * *")
    page.get_by_role("button", name="Reschedule").click()
    expect(page.locator(".asked", has_text="Cron").first).to_contain_text("'61' in minute is not a value of that field")
    page.get_by_label("Cron").fill("15 4 * * *")
    page.get_by_role("button", name="Reschedule").click()
    expect(page.locator("body")).to_contain_text("nothing: rescheduled")
    expect(page.locator("body")).to_contain_text("At 04:15")
    assert (world.fresh(job).cron, world.fresh(job).tz) == ("15 4 * * *", "Europe/Berlin")


def test_the_steps_of_a_run_are_read_with_their_outputs(page: Page) -> None:
    job = world.new_job(namespace="features", target={"tag": "report"})
    run = world.claim_one(job)
    Execution.objects.filter(job=job).update(
        steps=[
            {"step": "fetch", "status": "completed", "attempts": 1, "output": {"rows": 17}},
            {"step": "tell", "status": "failed", "attempts": 3, "code": "TIMEOUT", "error": "no answer within 10 s"},
        ]
    )
    world.complete(run)
    open_job(page, job)
    steps = page.locator("#history table.steps")
    expect(steps.locator("tbody tr").nth(1)).to_contain_text("TIMEOUT no answer within 10 s")
    expect(steps.locator("pre")).to_be_hidden()
    steps.get_by_text("output", exact=True).click()
    expect(steps.locator("pre")).to_contain_text('"rows": 17')


def test_every_page_opens_in_light_and_dark_without_leaving_this_machine(
    page: Page, scheme: str, requested: list[str]
) -> None:
    page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]  # one of two literals
    world.fail(world.claim_one(world.new_job(world.RECURRING)))
    for title in (
        "Overview", "Jobs", "Runs", "Operations", "Holds", "Products", "Environments", "Components", "Connections", "Events",
        "Secrets", "Sessions", "Caches", "API keys", "Users", "Groups", "Who did what", "Workers", "Schedulers", "Maintenance tasks",
    ):  # fmt: skip
        follow(page, title)
        page.wait_for_load_state("networkidle")
        assert "Ductape Jobs" in page.title(), title
    expect(page.locator("html")).to_have_class(re.compile("dark") if scheme == "dark" else re.compile("^(?!.*dark)"))
    assert any(url.endswith(".woff2") for url in requested)  # the bundled fonts, so the check below saw something
