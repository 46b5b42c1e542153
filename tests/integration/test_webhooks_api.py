"""Endpoints over HTTP: made, set by their URL, listed, changed, removed; who sees which (api.md §4)."""

from __future__ import annotations

import base64
from datetime import datetime, timedelta
from typing import Any

import pytest
from cryptography.fernet import Fernet
from pytest_django import Settings

from core import crypto
from core.clock import database_now
from core.tenancy import scopes
from core.tenancy.models import AuditEntry
from jobs.models import Listener
from jobs.states import EventType
from tests.integration.api import OPERATOR, Api, key_of, told
from tests.integration.webhook_world import HOOKS, NEW, URL, disabled_by_itself, hook, row
from webhooks.models import Endpoint
from webhooks.operations import removal
from webhooks.secrets import place, signing_secrets

pytestmark = pytest.mark.django_db
SET = "/v1/jobs/webhook"


@pytest.fixture(autouse=True)
def _here(settings: Settings) -> None:
    settings.OPERATOR_API_KEY = OPERATOR
    settings.ROOT_URLCONF = "tests.integration.api"
    settings.EGRESS_ALLOW_CIDRS = []


@pytest.fixture
def shop() -> Api:
    return key_of("shop", envs=("prd", "stg"))


def wrong_fields(answer: Any) -> dict[str, str]:
    assert answer.status_code == 400, answer.content
    return {error["field"]: error["code"] for error in answer.json()["errors"]}


def signs(endpoint: Endpoint, *, at: datetime | None = None) -> list[str]:
    """The texts that sign at that time (now), the newest first."""
    found = signing_secrets(endpoint.secret, endpoint.old_secret, endpoint.pk, at=at or database_now())
    return [base64.b64decode(secret.removeprefix("whsec_")).decode("latin-1") for secret in found]


# --- made ------------------------------------------------------------------------------------


def test_a_webhook_is_made_and_shows_its_secret_once(shop: Api) -> None:
    made = hook(shop)
    secret = made.pop("secret")
    assert secret.startswith("whsec_")
    assert len(base64.b64decode(secret.removeprefix("whsec_"))) == 32
    assert made == {
        "id": made["id"],
        "url": URL,
        "events": ["job.completed", "job.failed"],
        "product": "shop",
        "env": None,
        "namespaces": [],
        "labels": {},
        "description": "",
        "enabled": True,
        "consecutive_failures": 0,
        "created_at": made["created_at"],
        "updated_at": made["created_at"],
    }
    assert shop.get(f"{HOOKS}/{made['id']}").json() == made
    listed = shop.get(HOOKS)
    assert listed.json() == {"webhooks": [made], "total": 1, "limit": 50, "offset": 0}
    assert secret not in listed.content.decode()


def test_the_secret_is_sealed_for_its_endpoint_alone(shop: Api) -> None:
    one, other = row(hook(shop, secret="webhook-secret-key")), row(hook(shop))
    assert "webhook-secret-key" not in one.secret
    canonical = "whsec_" + base64.b64encode(b"webhook-secret-key").decode()
    assert crypto.unseal(one.secret, place(one)) == canonical
    with pytest.raises(crypto.CannotOpen):
        crypto.unseal(one.secret, place(other))


def test_what_was_done_is_in_the_audit_trail_without_the_query_of_the_url(shop: Api) -> None:
    made = hook(shop, url=f"{URL}?token=hush")
    entry = AuditEntry.objects.get(action="webhook.made")
    assert (entry.actor, entry.object) == ("k", f"{made['id']} {URL}")


def test_those_who_listen_are_told_to_jobs(shop: Api) -> None:
    product = row(hook(shop)).product_id
    hook(shop, events=["job.failed", "job.started"])
    assert set(Listener.objects.values_list("product_id", "type")) == {
        (product, "job.completed"), (product, "job.failed"), (product, "job.started"),
    }  # fmt: skip
    everything = hook(Api(), events=["*"])
    assert Listener.objects.filter(product_id=0).count() == len(EventType)
    assert Api().delete(f"{HOOKS}/{everything['id']}").status_code == 204
    assert not Listener.objects.filter(product_id=0).exists()
    for each in shop.get(HOOKS).json()["webhooks"]:
        assert shop("PATCH", f"{HOOKS}/{each['id']}", {"enabled": False}).status_code == 200
    assert not Listener.objects.exists()


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"url": URL}, "events"),
        ({"events": ["*"]}, "url"),
        ({**NEW, "events": []}, "events"),
        ({**NEW, "events": "job.completed"}, "events"),
        ({**NEW, "events": ["job.complete"]}, "events.0"),
        ({**NEW, "events": [7]}, "events.0"),
        ({**NEW, "evnts": ["*"]}, "evnts"),
        ({**NEW, "url": 7}, "url"),
        ({**NEW, "url": "ftp://example.com/"}, "url"),
        ({**NEW, "url": "https://user:pass@example.com/"}, "url"),
        ({**NEW, "url": "https://:pass@example.com"}, "url"),
        ({**NEW, "url": "https://stra\u00dfe.example/"}, "url"),
        ({**NEW, "url": "https://1.2.3.256/"}, "url"),
        ({**NEW, "url": "https://1.2.3.4.5/"}, "url"),
        ({**NEW, "url": "https://example.0x1/"}, "url"),
        ({**NEW, "url": "https://exa mple.com/"}, "url"),
        ({**NEW, "url": "https://example.com/#there"}, "url"),
        ({**NEW, "url": "not a url"}, "url"),
        ({**NEW, "url": "https://example.com/" + "x" * 2000}, "url"),
        ({**NEW, "url": "https://example.com/" + "ü" * 1000}, "url"),
        ({**NEW, "secret": "short"}, "secret"),
        ({**NEW, "secret": "whsec_***"}, "secret"),
        ({**NEW, "secret": 7}, "secret"),
        ({**NEW, "namespaces": ["action"]}, "namespaces.0"),
        ({**NEW, "namespaces": "actions"}, "namespaces"),
        ({**NEW, "labels": {"team": 7}}, "labels.team"),
        ({**NEW, "labels": ["team"]}, "labels"),
        ({**NEW, "enabled": "yes"}, "enabled"),
        ({**NEW, "description": "x" * 501}, "description"),
        ({**NEW, "env": "a b"}, "env"),
        ({**NEW, "product": 7}, "product"),
    ],
)
def test_what_is_wrong_is_told_by_its_field(shop: Api, body: dict[str, Any], field: str) -> None:
    assert field in wrong_fields(shop.post(HOOKS, body))
    assert not Endpoint.objects.exists()


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1", "localhost", "api.localhost", "10.0.0.7", "192.168.1.1", "169.254.169.254", "[::1]", "0x7f.1",
        "2130706433", "[::ffff:10.0.0.1]", "0.0.0.0",
    ],
)  # fmt: skip
def test_a_private_address_is_refused_however_it_is_written(shop: Api, host: str) -> None:
    assert wrong_fields(shop.post(HOOKS, {**NEW, "url": f"https://{host}/hook"})) == {"url": "invalid"}


def test_an_operator_may_allow_private_addresses(shop: Api, settings: Settings) -> None:
    settings.EGRESS_ALLOW_CIDRS = ["127.0.0.0/8"]
    assert hook(shop, url="http://localhost:9/hook")["url"] == "http://localhost:9/hook"


def test_in_production_only_https_is_taken(shop: Api, settings: Settings) -> None:
    settings.WEBHOOK_ALLOW_HTTP = False
    answer = shop.post(HOOKS, {**NEW, "url": "http://api.example.com/"})
    assert wrong_fields(answer) == {"url": "invalid"}
    assert "https://" in answer.json()["detail"]
    assert hook(shop)["url"] == URL


def test_a_product_has_so_many_and_no_more(shop: Api, settings: Settings) -> None:
    settings.WEBHOOKS_PER_PRODUCT = 2
    first = hook(shop)
    hook(shop)
    answer = shop.post(HOOKS, NEW)
    assert told(answer) == (409, "too_many_webhooks")
    assert "has 2 webhooks already" in answer.json()["detail"]
    assert shop("PUT", SET, {"url": "https://other.example.com/"}).status_code == 409
    hook(key_of("other", name="o"))
    shop.delete(f"{HOOKS}/{first['id']}")
    hook(shop)


# --- set by its URL ----------------------------------------------------------------------------


def test_the_same_url_again_changes_what_is_there(shop: Api) -> None:
    """Contracts §5.2, row 38: a product has several webhooks, and the same URL again replaces what was set."""
    body = {"url": URL, "events": ["job.completed", "job.failed"], "secret": "webhook-secret-key"}
    first = shop("PUT", SET, body)
    assert first.status_code == 201
    assert first.json()["secret"] == "whsec_" + base64.b64encode(b"webhook-secret-key").decode()

    again = shop("PUT", SET, {"url": URL, "events": ["*"]})
    assert again.status_code == 200
    assert "secret" not in again.json()
    assert (again.json()["id"], again.json()["events"]) == (first.json()["id"], ["*"])
    assert Endpoint.objects.count() == 1
    kept = Endpoint.objects.get()
    assert kept.old_secret == ""

    other = shop("PUT", SET, {"url": f"{URL}/2"})
    assert other.status_code == 201
    assert other.json()["events"] == ["*"]


@pytest.mark.parametrize(
    ("url", "same"),
    [
        ("https://api.example.com", "HTTPS://API.example.COM:443/"),
        ("https://api.example.com:/a@b?to=c@d", "https://api.example.com/a@b?to=c@d"),
        ("http://[2606:4700::1111]:80/a", "http://[2606:4700::1111]/a"),
        ("http://api.example.com:443/", None),
        ("https://api.example.com:8443/", None),
    ],
)
def test_one_url_in_two_spellings_is_one_webhook(shop: Api, url: str, same: str | None) -> None:
    first = shop("PUT", SET, {"url": url})
    assert first.status_code == 201, first.content
    assert shop("PUT", SET, {"url": same or url.replace(":443", "").replace(":8443", "")}).status_code == (
        200 if same else 201
    )


def test_another_environment_is_another_webhook(shop: Api) -> None:
    ids = {shop("PUT", SET, {"url": URL, "env": env}).json()["id"] for env in ("prd", "stg", "prd", None)}
    assert len(ids) == 3


def test_a_secret_given_again_replaces_the_one_before(shop: Api) -> None:
    shop("PUT", SET, {"url": URL, "secret": "webhook-secret-key"})
    shop("PUT", SET, {"url": URL, "secret": "another-secret-key"})
    endpoint = Endpoint.objects.get()
    assert crypto.unseal(endpoint.secret, place(endpoint)).endswith(base64.b64encode(b"another-secret-key").decode())
    assert crypto.unseal(endpoint.old_secret, place(endpoint)).endswith(
        base64.b64encode(b"webhook-secret-key").decode()
    )


def test_several_that_set_the_same_secret_replace_the_one_before_once(shop: Api) -> None:
    """As the processes of a service do that each set their webhook when they start."""
    for secret in ("webhook-secret-key", "another-secret-key", "another-secret-key"):
        shop("PUT", SET, {"url": URL, "secret": secret})
    assert signs(Endpoint.objects.get()) == ["another-secret-key", "webhook-secret-key"]
    one = f"{HOOKS}/{Endpoint.objects.get()}"
    until = Endpoint.objects.get().old_secret_until
    shop("PATCH", one, {"secret": "another-secret-key"})
    again = shop.post(f"{one}/rotate-secret", {"secret": "another-secret-key"})
    assert again.status_code == 200
    assert signs(Endpoint.objects.get()) == ["another-secret-key", "webhook-secret-key"]
    assert Endpoint.objects.get().old_secret_until == until


def test_one_that_the_system_disabled_is_told_again_when_it_is_set_again(shop: Api) -> None:
    """As a service does when it starts. What a person turned off stays off."""
    first = shop("PUT", SET, {"url": URL}).json()
    disabled_by_itself(row(first), "every attempt of five days has failed")
    assert not Listener.objects.exists()
    again = shop("PUT", SET, {"url": URL})
    assert (again.status_code, again.json()["id"], again.json()["enabled"]) == (200, first["id"], True)
    assert "disabled_reason" not in again.json()
    assert Listener.objects.exists()

    disabled_by_itself(row(first), "the endpoint answered 410 (Gone)")
    off = shop("PATCH", f"{HOOKS}/{first['id']}", {"enabled": False}).json()
    assert "disabled_reason" not in off
    assert shop("PUT", SET, {"url": URL}).json()["enabled"] is False


def test_one_that_is_being_removed_is_not_the_one_that_is_set(shop: Api) -> None:
    first = shop("PUT", SET, {"url": URL}).json()
    disabled_by_itself(row(first), removal.REASON)
    again = shop("PUT", SET, {"url": URL})
    assert (again.status_code, again.json()["id"] == first["id"]) == (201, False)
    assert row(first).enabled is False


# --- changed -----------------------------------------------------------------------------------


def test_a_change_touches_what_it_names(shop: Api) -> None:
    made = hook(shop, labels={"team": "billing"}, namespaces=["actions"], env="prd")
    changed = shop("PATCH", f"{HOOKS}/{made['id']}", {"events": ["job.failed", "job.failed"], "labels": {}})
    assert changed.status_code == 200
    made.pop("secret")
    assert changed.json() == {
        **made, "events": ["job.failed"], "labels": {}, "updated_at": changed.json()["updated_at"],
    }  # fmt: skip


def test_a_change_of_nothing_and_of_the_product_is_refused(shop: Api) -> None:
    one = f"{HOOKS}/{hook(shop)['id']}"
    assert told(shop("PATCH", one, {})) == (400, "nothing_to_change")
    assert wrong_fields(shop("PATCH", one, {"product": "other"})) == {"product": "unknown_field"}


def test_enabling_forgets_the_failures(shop: Api) -> None:
    made = hook(shop)
    Endpoint.objects.update(
        enabled=False, disabled_at=row(made).created_at, disabled_reason="five days of failures",
        failing_since=row(made).created_at, consecutive_failures=9, rest_until=row(made).created_at,
    )  # fmt: skip
    shown = shop.get(f"{HOOKS}/{made['id']}").json()
    assert (shown["enabled"], shown["disabled_reason"], shown["consecutive_failures"]) == (
        False, "five days of failures", 9,
    )  # fmt: skip
    assert shown["resting_until"] == shown["failing_since"]
    enabled = shop("PATCH", f"{HOOKS}/{made['id']}", {"enabled": True}).json()
    assert enabled["enabled"] is True
    assert enabled.keys().isdisjoint({"disabled_at", "disabled_reason", "failing_since", "resting_until"})
    assert row(made).rest_until is None


def test_a_rotated_secret_is_shown_once_and_the_old_one_signs_for_a_day(shop: Api) -> None:
    made = hook(shop)
    answer = shop.post(f"{HOOKS}/{made['id']}/rotate-secret")
    assert answer.status_code == 200
    fresh = answer.json()
    assert fresh["secret"] != made["secret"]
    assert fresh["old_secret_until"] - fresh["updated_at"] == pytest.approx(86_400_000, abs=5_000)
    endpoint = row(made)
    assert crypto.unseal(endpoint.secret, place(endpoint)) == fresh["secret"]
    assert crypto.unseal(endpoint.old_secret, place(endpoint)) == made["secret"]
    given = shop.post(f"{HOOKS}/{made['id']}/rotate-secret", {"secret": "webhook-secret-key"})
    assert given.json()["secret"] == "whsec_" + base64.b64encode(b"webhook-secret-key").decode()
    assert wrong_fields(shop.post(f"{HOOKS}/{made['id']}/rotate-secret", {"secret": "x"})) == {"secret": "invalid"}


def test_each_secret_that_was_replaced_signs_for_a_day(shop: Api) -> None:
    made = hook(shop, secret="the first secret key")
    rotate = f"{HOOKS}/{made['id']}/rotate-secret"
    for secret in ("the second secret key", "the third secret key"):
        assert shop.post(rotate, {"secret": secret}).status_code == 200
    endpoint = row(made)
    assert signs(endpoint) == ["the third secret key", "the second secret key", "the first secret key"]
    assert endpoint.old_secret_until is not None
    assert signs(endpoint, at=endpoint.old_secret_until) == ["the third secret key"]

    shop.post(rotate, {"secret": "the second secret key"})  # back again
    assert signs(row(made)) == ["the second secret key", "the third secret key", "the first secret key"]


def test_the_first_of_several_stops_signing_first(shop: Api) -> None:
    made = hook(shop, secret="the first secret key")
    rotate = f"{HOOKS}/{made['id']}/rotate-secret"
    shop.post(rotate, {"secret": "the second secret key"})
    an_hour_ago = database_now() + timedelta(hours=23)
    Endpoint.objects.update(old_secret_until=an_hour_ago)
    shop.post(rotate, {"secret": "the third secret key"})
    assert signs(row(made), at=an_hour_ago + timedelta(seconds=1)) == ["the third secret key", "the second secret key"]


def test_the_secret_is_not_replaced_over_and_over_in_a_day(shop: Api) -> None:
    made = hook(shop)
    rotate = f"{HOOKS}/{made['id']}/rotate-secret"
    for _ in range(5):
        assert shop.post(rotate).status_code == 200
    kept = signs(row(made))
    assert len(kept) == 6
    answer = shop.post(rotate)
    assert told(answer) == (409, "too_many_rotations")
    assert "5 secrets before this one sign still" in answer.json()["detail"]
    assert told(shop("PATCH", f"{HOOKS}/{made['id']}", {"secret": "another-secret-key"})) == (409, "too_many_rotations")
    assert signs(row(made)) == kept


def test_a_secret_that_cannot_be_opened_any_more_is_replaced_by_one_that_signs_alone(
    shop: Api, settings: Settings
) -> None:
    made = hook(shop)
    settings.FIELD_ENCRYPTION_KEYS = [Fernet.generate_key().decode()]
    assert shop.post(f"{HOOKS}/{made['id']}/rotate-secret", {"secret": "another-secret-key"}).status_code == 200
    assert signs(row(made)) == ["another-secret-key"]


# --- who sees which ----------------------------------------------------------------------------


@pytest.mark.parametrize("envs", [("prd", "stg"), ()], ids=["of environments", "of a product"])
def test_what_a_key_may_not_see_does_not_exist(envs: tuple[str, ...]) -> None:
    shop = key_of("shop", envs=envs)
    mine, theirs = hook(shop), hook(key_of("other", name="o"))
    everybodys = hook(Api(), events=["*"])
    assert everybodys["product"] is None
    assert [each["id"] for each in shop.get(HOOKS).json()["webhooks"]] == [mine["id"]]
    assert Api().get(HOOKS).json()["total"] == 3
    assert [each["id"] for each in Api().get(f"{HOOKS}?product=other").json()["webhooks"]] == [theirs["id"]]
    for other in (theirs, everybodys):
        one = f"{HOOKS}/{other['id']}"
        for answer in (
            shop.get(one), shop("PATCH", one, {"enabled": False}), shop.delete(one), shop.get(f"{one}/deliveries"),
            shop.post(f"{one}/test"), shop.post(f"{one}/rotate-secret"), shop.get(f"{one}/stats"),
            shop.post(f"{one}/replay", {"from": 0}),
        ):  # fmt: skip
            assert told(answer) == (404, "webhook_not_found")
    assert Endpoint.objects.count() == 3


def test_a_key_of_some_environments_reaches_no_further() -> None:
    wider, limited = key_of("shop", envs=("prd", "stg")), key_of("shop", envs=("prd",), name="prd")
    made = hook(limited)
    environment_ids = row(made).environment_ids
    assert environment_ids is not None
    assert len(environment_ids) == 1
    for other in (hook(wider), hook(Api(), product="shop")):
        assert told(limited.get(f"{HOOKS}/{other['id']}")) == (404, "webhook_not_found")
    assert [each["id"] for each in limited.get(HOOKS).json()["webhooks"]] == [made["id"]]
    assert wider.get(HOOKS).json()["total"] == 2
    assert told(limited.post(HOOKS, {**NEW, "env": "stg"})) == (404, "env_not_found")


def test_an_environment_must_be_there(shop: Api) -> None:
    assert told(shop.post(HOOKS, {**NEW, "env": "prod"})) == (404, "env_not_found")
    assert told(Api().post(HOOKS, {**NEW, "product": "shp"})) == (404, "product_not_found")
    assert hook(Api(), product="shop", env="prd")["env"] == "prd"


def test_the_scope_is_needed() -> None:
    reader = key_of("shop", scopes_={scopes.JOBS_READ}, name="r")
    for answer in (reader.get(HOOKS), reader.post(HOOKS, NEW), reader("PUT", SET, {"url": URL})):
        assert told(answer) == (403, "scope_missing")


def test_another_url_is_not_blamed_for_the_failures_of_the_one_before(shop: Api) -> None:
    id, now = hook(shop)["id"], database_now()
    ill = {"failing_since": now, "consecutive_failures": 9, "rest_until": now, "rests": 3}
    Endpoint.objects.update(**ill)
    assert shop("PATCH", f"{HOOKS}/{id}", {"description": "the same address"}).status_code == 200
    assert Endpoint.objects.values(*ill).get() == ill
    assert shop("PATCH", f"{HOOKS}/{id}", {"url": f"{URL}/moved"}).status_code == 200
    well = {"failing_since": None, "consecutive_failures": 0, "rest_until": None, "rests": 0}
    assert Endpoint.objects.values(*ill).get() == well
