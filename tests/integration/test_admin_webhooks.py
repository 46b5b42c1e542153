"""Webhooks in the admin: every button and form goes through the operations, and a secret is shown once."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import Permission, User
from django.db.models import F
from django.test import Client
from django.urls import reverse
from pytest_django import Settings

from core import crypto
from core.clock import database_now
from core.ids import encode
from core.tenancy.models import AuditEntry, Environment, Product
from jobs.models import Listener
from tests.conformance.webhook_world import disabled
from tests.integration.api import key_of
from tests.integration.webhook_world import URL, delivered, disabled_by_itself, hook, row
from webhooks.models import Delivery, Endpoint
from webhooks.secrets import place

pytestmark = pytest.mark.django_db
ADD = "/admin/webhooks/endpoint/add/"
LIST = "/admin/webhooks/endpoint/"
LOG = "/admin/webhooks/delivery/"


@pytest.fixture
def ada() -> Client:
    client = Client()
    client.force_login(User.objects.create_superuser("ada"))
    return client


@pytest.fixture
def shop() -> Product:
    return Product.objects.create(tag="shop", name="Shop")


def form(**changes: Any) -> dict[str, Any]:
    return {"url": URL, "events": ["job.completed", "job.failed"], "labels": "", "enabled": "on", **changes}


def made(ada: Client, **changes: Any) -> Endpoint:
    answer = ada.post(ADD, form(**changes))
    assert answer.status_code == 200, answer.content
    assert "whsec_" in answer.content.decode(), errors(answer)
    return Endpoint.objects.latest("pk")


def errors(answer: Any) -> dict[str, list[str]]:
    found = answer.context["adminform"].form.errors if answer.context and "adminform" in answer.context else {}
    return {name: list(map(str, texts)) for name, texts in found.items()}


def page(endpoint: Endpoint) -> str:
    return reverse("admin:webhooks_endpoint_change", args=[endpoint.pk])


def act(endpoint: Endpoint, what: str) -> str:
    return reverse("admin:webhooks_endpoint_act", args=[endpoint.pk, what])


def test_one_is_made_and_its_secret_shown_in_that_answer_alone(ada: Client, shop: Product) -> None:
    answer = ada.post(ADD, form(product=shop.pk, labels='{"team": "billing"}', namespaces=["actions"]))
    (secret,) = re.findall(r'id="made-secret">(whsec_[^<]+)<', answer.content.decode())
    endpoint = Endpoint.objects.get()
    assert crypto.unseal(endpoint.secret, place(endpoint)) == secret
    assert "no-store" in answer["Cache-Control"]
    assert (endpoint.labels, endpoint.namespaces, endpoint.actor) == ({"team": "billing"}, ["actions"], "ada")
    assert Listener.objects.filter(product_id=shop.pk).count() == 2
    for address in (page(endpoint), LIST):
        text = ada.get(address).content.decode()
        assert URL in text
        assert secret not in text
    assert secret not in str(AuditEntry.objects.values_list())


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"url": "ftp://example.com"}, "url"),
        ({"url": "https://169.254.169.254/"}, "url"),
        ({"events": []}, "events"),
        ({"labels": "team"}, "labels"),
        ({"labels": '{"team": 7}'}, "labels"),
        ({"secret": "short"}, "secret"),
        ({"env": "a b"}, "env"),
    ],
)
def test_what_is_wrong_stands_at_its_field(ada: Client, changes: dict[str, Any], field: str) -> None:
    answer = ada.post(ADD, form(**changes))
    assert answer.status_code == 200
    assert field in errors(answer)
    assert not Endpoint.objects.exists()


def test_an_environment_that_is_not_there_is_told(ada: Client, shop: Product) -> None:
    assert "env" in errors(ada.post(ADD, form(product=shop.pk, env="prod")))


def test_a_change_goes_through_the_operation(ada: Client) -> None:
    endpoint = made(ada, labels='{"team": "billing"}')
    answer = ada.post(page(endpoint), form(events=["*"], description="all", labels=""))
    assert answer.status_code == 302, errors(answer)
    endpoint.refresh_from_db()
    assert (endpoint.events, endpoint.description, endpoint.labels, endpoint.enabled) == (["*"], "all", {}, True)
    changed = AuditEntry.objects.get(action="webhook.changed")
    assert changed.detail == {"fields": ["description", "events", "labels"]}
    ada.post(page(endpoint), {**form(events=["*"]), "enabled": ""})
    assert Endpoint.objects.get().enabled is False
    assert not Listener.objects.exists()


def test_too_many_is_told_and_not_a_server_error(ada: Client, settings: Settings) -> None:
    settings.WEBHOOKS_PER_PRODUCT = 1
    made(ada)
    answer = ada.post(ADD, form(), follow=True)
    assert answer.status_code == 200
    assert "the most there may be" in answer.content.decode()


def test_the_page_tells_how_it_does_and_what_became_of_what(ada: Client) -> None:
    endpoint = made(ada)
    assert "Nothing was sent yet." in ada.get(page(endpoint)).content.decode()
    delivered(endpoint, "failed")
    delivered(endpoint)
    text = ada.get(page(endpoint)).content.decode()
    assert "1 (50 %)" in text
    assert "the endpoint answered 500" in text
    Endpoint.objects.update(
        enabled=False, disabled_at=endpoint.created_at, disabled_reason="it answered 410: it is gone"
    )
    assert "Disabled: it answered 410: it is gone" in ada.get(page(endpoint)).content.decode()


def test_the_buttons_do_what_they_say(ada: Client) -> None:
    endpoint = made(ada)
    failed, fine = delivered(endpoint, "failed"), delivered(endpoint)
    assert ada.post(act(endpoint, "test")).status_code == 302
    assert Delivery.objects.filter(message__job_id=None).count() == 1
    ada.post(act(endpoint, "replay"))
    assert set(Delivery.objects.filter(status="pending", message__job_id__isnull=False)) == {failed}
    assert Delivery.objects.get(pk=fine.pk).status == "delivered"
    before = crypto.unseal(endpoint.secret, place(endpoint))
    answer = ada.post(act(endpoint, "rotate"))
    assert "whsec_" in answer.content.decode()
    endpoint.refresh_from_db()
    assert crypto.unseal(endpoint.old_secret, place(endpoint)) == before
    for what in ("test", "rotate", "replay"):
        assert ada.get(act(endpoint, what)).status_code == 403
    assert ada.post(act(endpoint, "nonsense")).status_code == 404


def test_a_disabled_one_says_so_instead_of_doing_it(ada: Client) -> None:
    endpoint = made(ada, enabled="")
    answer = ada.post(act(endpoint, "test"), follow=True)
    assert "enable it first" in answer.content.decode()


def test_several_are_enabled_disabled_and_deleted(ada: Client) -> None:
    keys = [made(ada).pk, made(ada).pk]
    for action, enabled in (("disable", 0), ("enable", 2)):
        ada.post(LIST, {"action": action, "_selected_action": keys})
        assert Endpoint.objects.filter(enabled=True).count() == enabled
    ada.post(LIST, {"action": "remove", "_selected_action": keys})
    assert not Endpoint.objects.exists()


def test_the_log_is_filtered_and_searched(ada: Client) -> None:
    endpoint = made(ada)
    failed, fine = delivered(endpoint, "failed", type="job.failed"), delivered(endpoint)
    other = made(ada, url=f"{URL}/2")

    def shown(query: str) -> set[str]:
        found = ada.get(f"{LOG}?{query}").context["cl"].result_list
        return {str(each) for each in found}

    assert shown("") == {str(failed), str(fine)}
    assert shown("status=failed") == {str(failed)}
    assert shown("event=job.completed") == {str(fine)}
    assert shown(f"endpoint={other.pk}") == set()
    assert shown(f"endpoint={endpoint.pk}") == {str(failed), str(fine)}
    assert shown("endpoint=nonsense") == set()
    assert fine.message.job_id is not None
    assert shown(f"q={encode('job', fine.message.job_id)}") == {str(fine)}
    assert shown(f"q={encode('msg', failed.message_id)}") == {str(failed)}
    assert shown("q=nonsense") == set()


def test_a_delivery_shows_its_attempts_and_is_sent_again(ada: Client) -> None:
    delivery = delivered(made(ada), "failed")
    address = reverse("admin:webhooks_delivery_change", args=[delivery.pk])
    text = ada.get(address).content.decode()
    for told in ("the endpoint answered 500", "203.0.113.7", "Send again", encode("msg", delivery.message_id)):
        assert told in text
    again = reverse("admin:webhooks_delivery_again", args=[delivery.pk])
    assert ada.get(again).status_code == 403
    ada.post(again)
    assert Delivery.objects.get().status == "pending"
    assert "Send again" not in ada.get(address).content.decode()
    ada.post(LOG, {"action": "replay_selected", "_selected_action": [delivery.pk]})


def test_who_may_only_look_only_looks(ada: Client) -> None:
    endpoint = made(ada)
    delivery = delivered(endpoint, "failed")
    user = User.objects.create_user("eve", is_staff=True)
    user.user_permissions.set(Permission.objects.filter(codename__in=["view_endpoint", "view_delivery"]))
    eve = Client()
    eve.force_login(user)
    assert eve.get(LIST).status_code == 200
    assert eve.get(page(endpoint)).status_code == 200
    assert eve.get(reverse("admin:webhooks_delivery_change", args=[delivery.pk])).status_code == 200
    assert eve.get(ADD).status_code == 403
    for address in (
        page(endpoint), act(endpoint, "test"), act(endpoint, "rotate"),
        reverse("admin:webhooks_delivery_again", args=[delivery.pk]),
    ):  # fmt: skip
        assert eve.post(address, form()).status_code == 403
    assert Endpoint.objects.get().old_secret == ""


def test_what_the_system_disabled_by_itself_is_a_notice(ada: Client) -> None:
    endpoint = made(ada)
    disabled(endpoint, "every attempt of five days has failed")
    text = ada.get("/admin/webhooks/notice/").content.decode()
    assert f"webhook {endpoint} ({URL}) was disabled: every attempt of five days has failed" in text
    assert not Listener.objects.exists()


def test_a_change_of_something_else_keeps_why_it_is_disabled(ada: Client) -> None:
    endpoint = made(ada)
    disabled_by_itself(endpoint, "the endpoint answered 410 (Gone)")
    ada.post(page(endpoint), {**form(description="the pager"), "enabled": ""})
    endpoint.refresh_from_db()
    assert (endpoint.description, endpoint.disabled_reason) == ("the pager", "the endpoint answered 410 (Gone)")
    ada.post(LIST, {"action": "disable", "_selected_action": [endpoint.pk]})
    assert Endpoint.objects.get().disabled_reason == ""
    ada.post(page(endpoint), form())
    assert Endpoint.objects.get().enabled is True


def test_a_change_leaves_what_settling_knows_of_the_endpoint(ada: Client) -> None:
    endpoint = made(ada)
    Endpoint.objects.update(consecutive_failures=3, failing_since=endpoint.created_at, rests=2)
    ada.post(page(endpoint), form(events=["*"]))
    endpoint.refresh_from_db()
    assert (endpoint.events, endpoint.consecutive_failures, endpoint.rests) == (["*"], 3, 2)


def test_a_change_of_something_else_does_not_widen_what_a_key_of_some_environments_made(
    ada: Client, settings: Settings
) -> None:
    settings.ROOT_URLCONF = "tests.integration.api"
    key_of("shop", envs=("prd", "stg"))
    limited = key_of("shop", envs=("prd",), name="prd")
    endpoint = row(hook(limited))
    assert endpoint.environment_ids == [Environment.objects.get(slug="prd").pk]
    settings.ROOT_URLCONF = "ductape_jobs.urls"

    assert ada.post(page(endpoint), form(description="the pager")).status_code == 302
    changed = Endpoint.objects.get()
    assert (changed.description, changed.environment_ids) == ("the pager", endpoint.environment_ids)
    assert "shop / prd" in ada.get(LIST).content.decode()


def ail(endpoint: Endpoint, failures: int, *, ago: timedelta = timedelta(0), **of: Any) -> None:
    began = database_now() - ago
    Endpoint.objects.filter(pk=endpoint.pk).update(consecutive_failures=failures, failing_since=began, **of)


def test_the_overview_names_the_webhooks_that_need_a_look(ada: Client, shop: Product) -> None:
    fine, failing, gone = made(ada), made(ada, url=f"{URL}/failing?token=hush"), made(ada, url=f"{URL}/gone")
    ail(failing, 5, ago=timedelta(minutes=3))
    ail(fine, 4)  # not again and again yet
    disabled_by_itself(gone, "the endpoint answered 410 (Gone)")
    warnings = ada.get("/admin/").context["warnings"]
    assert [warning for warning in warnings if "Webhook" in warning] == [
        f'Webhook <a href="{page(gone)}">{URL}/gone</a> was disabled now: the endpoint answered 410 (Gone).',
        f'Webhook <a href="{page(failing)}">{URL}/failing</a> fails: 5 attempts in a row, the first 3 min ago.',
    ]
    Endpoint.objects.filter(pk=gone.pk).update(disabled_at=database_now() - timedelta(days=8))
    ada.post(page(failing), {**form(url=failing.url), "enabled": ""})  # by a person
    assert "Webhook" not in str(ada.get("/admin/").context["warnings"])


def test_the_overview_names_a_few_and_leads_to_the_others(ada: Client) -> None:
    endpoints = [made(ada, url=f"{URL}/{n}") for n in range(8)]
    for endpoint in endpoints[:4]:
        ail(endpoint, 9)
    for endpoint in endpoints[4:]:
        disabled_by_itself(endpoint, "every attempt of five days has failed")
    warnings = [warning for warning in ada.get("/admin/").context["warnings"] if "ebhook" in warning]
    assert len(warnings) == 8
    assert warnings[3] == f'<a href="{LIST}?state=disabled">More webhooks</a> are disabled.'
    assert warnings[7] == f'<a href="{LIST}?state=failing">More webhooks</a> are failing.'


def test_the_overview_tells_of_webhooks_to_those_who_may_see_them(ada: Client) -> None:
    ail(made(ada), 5)
    user = User.objects.create_user("eve", is_staff=True)
    user.user_permissions.set(Permission.objects.filter(codename="view_job"))
    eve = Client()
    eve.force_login(user)
    assert "Webhook" not in str(eve.get("/admin/").context["warnings"])


def test_the_overview_counts_the_deliveries_that_wait(ada: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    endpoint, off = made(ada), made(ada)
    for ago in (timedelta(seconds=5), timedelta(minutes=2)):
        delivered(endpoint, "pending", ago=ago)
    Delivery.objects.update(due_at=F("created_at"))
    delivered(endpoint, "pending", ago=-timedelta(hours=1))  # its next attempt is due later
    delivered(off, "pending")
    Endpoint.objects.filter(pk=off.pk).update(enabled=False, disabled_at=off.created_at)

    def told() -> dict[str, Any]:
        return next(row for row in ada.get("/admin/").context["queues"] if row["queue"] == "webhooks")

    assert (told()["depth"], told()["age"]) == (2, "2 min")
    monkeypatch.setattr("jobs.admin.dashboard.MOST_COUNTED", 1)
    assert told()["depth"] == "1+"


def test_the_list_says_how_each_does_and_why(ada: Client) -> None:
    fine, failing, gone, off = (made(ada, url=f"{URL}/{name}") for name in ("fine", "failing", "gone", "off"))
    ail(failing, 6, rest_until=database_now() + timedelta(seconds=40))
    disabled_by_itself(gone, "the endpoint answered 410 (Gone)")
    ada.post(LIST, {"action": "disable", "_selected_action": [off.pk]})

    def shown(state: str) -> list[Endpoint]:
        return list(ada.get(f"{LIST}?state={state}").context["cl"].result_list)

    assert [shown(state) for state in ("fine", "failing", "disabled", "off")] == [[fine], [failing], [gone], [off]]
    text = ada.get(LIST).content.decode()
    for told in (
        "the last 6 attempts failed: tried again in",
        "the endpoint answered 410 (Gone)",
        "somebody turned it off",
    ):
        assert told in text


def test_what_waits_for_one_that_rests_says_until_when(ada: Client) -> None:
    delivery = delivered(made(ada), "pending", ago=timedelta(seconds=5))
    address = reverse("admin:webhooks_delivery_change", args=[delivery.pk])
    assert "once an attempt" not in ada.get(address).content.decode()
    ail(delivery.endpoint, 5, rest_until=database_now() + timedelta(minutes=4, seconds=30))
    text = ada.get(address).content.decode()
    assert "in 4 min" in text
    assert "once an attempt for this webhook succeeds" in text
