"""The catalog in the admin: forms that write as documents do, secrets that go in and never come out."""

from __future__ import annotations

import json
from typing import Any

import pytest
from django.contrib.auth.models import Permission, User
from django.test import Client

from core import crypto
from core.tenancy.models import ApiKey, AuditEntry, Environment, Product
from executors.catalog import document, sealed
from executors.catalog.admin.connections import ConnectionForm
from executors.catalog.admin.events import SavedEventForm
from executors.catalog.models import Component, Connection, SavedEvent, Secret
from executors.catalog.schema import read_document
from tests.conformance.world import new_job
from tests.servers.receiver import Answer, Receiver

pytestmark = pytest.mark.django_db

DOCUMENT: dict[str, Any] = {
    "name": "Shop",
    "envs": [{"slug": "dev", "name": "Development"}, {"slug": "prd", "name": "Production"}],
    "secrets": [{"key": "TOKEN", "envs": {"prd": "live-token"}}, {"key": "ALL", "value": "valid-all-over"}],
    "apps": [
        {
            "tag": "mail",
            "name": "Mail",
            "auth": {"type": "bearer", "token": "literal-token"},
            "headers": {"X-From": "shop"},
            "envs": {
                "prd": {"base_url": "https://mail.example", "timeout": 10000},
                "dev": {
                    "base_url": "http://127.0.0.1:9",
                    "auth": {"type": "basic", "username": "u", "password": "literal-password"},
                },
            },
            "events": [
                {"tag": "send", "method": "POST", "resource": "/users/:userId/welcome", "success": [200, 202]},
                {"tag": "list", "method": "GET", "resource": "/users"},
            ],
        }
    ],
}
SEALED = ("literal-token", "literal-password", "live-token", "valid-all-over")


@pytest.fixture
def ada() -> Client:
    client = Client()
    client.force_login(User.objects.create_superuser("ada"))
    return client


@pytest.fixture
def shop() -> Product:
    document.store("shop", read_document(DOCUMENT, "shop"))
    return Product.objects.get(tag="shop")


def change(row: Any) -> str:
    return f"/admin/{row._meta.app_label}/{row._meta.model_name}/{row.pk}/change/"


def add(model: Any) -> str:
    return f"/admin/{model._meta.app_label}/{model._meta.model_name}/add/"


def filled(client: Client, url: str) -> dict[str, Any]:
    """What a browser would send back if nothing were typed."""
    form = client.get(url).context["adminform"].form
    values = {}
    for bound in form:
        value = bound.value()
        values[bound.html_name] = "" if value is None else value
    return values


def errors(answer: Any) -> dict[str, list[str]]:
    assert answer.status_code == 200
    found: dict[str, list[str]] = answer.context["adminform"].form.errors
    return found


def opened(row: Component | Connection) -> dict[str, str]:
    row.refresh_from_db()
    return sealed.open_sealed(row)


def everything() -> list[Any]:
    return [
        list(model.objects.order_by("pk").values())
        for model in (Product, Environment, Component, Connection, SavedEvent, Secret)
    ]


# --- secrets ------------------------------------------------------------------------------


def test_no_page_shows_what_is_sealed(ada: Client, shop: Product) -> None:
    addresses = [change(row) for model in (Component, Connection, SavedEvent, Secret) for row in model.objects.all()]
    addresses += [f"/admin/catalog/{name}/" for name in ("component", "connection", "savedevent", "secret")]
    sealed = [
        *SEALED,
        *Secret.objects.values_list("value", flat=True),
        *Component.objects.values_list("secrets", flat=True),
    ]
    for address in addresses:
        answer = ada.get(address)
        assert answer.status_code == 200
        page = answer.content.decode()
        assert not [value for value in sealed if value in page], address


def test_saving_a_form_as_it_is_changes_nothing(ada: Client, shop: Product) -> None:
    for model in (Product, Environment, Component, Connection, SavedEvent, Secret):
        for row in model.objects.all():
            before = everything()
            answer = ada.post(change(row), filled(ada, change(row)))
            assert answer.status_code == 302, errors(answer)
            assert everything() == before
    assert not AuditEntry.objects.exists()


def test_a_blank_secret_keeps_what_is_stored_and_a_new_value_replaces_it(ada: Client, shop: Product) -> None:
    connection = Connection.objects.get(environment__slug="dev")
    url = change(connection)

    ada.post(url, {**filled(ada, url), "auth_username": "v", "auth_password": ""})
    assert opened(connection) == {"auth.password": "literal-password"}
    assert connection.settings["auth"] == {"type": "basic", "username": "v"}

    ada.post(url, {**filled(ada, url), "auth_password": "a new one"})
    assert opened(connection) == {"auth.password": "a new one"}


def test_another_kind_of_login_does_not_take_over_the_old_secret(ada: Client, shop: Product) -> None:
    mail = Component.objects.get()
    answer = ada.post(change(mail), {**filled(ada, change(mail)), "auth_type": "header", "auth_name": "X-Key"})
    assert errors(answer) == {"auth_value": ["is required, as text"]}
    assert opened(mail) == {"auth.token": "literal-token"}


def test_a_reference_may_stand_for_a_secret(ada: Client, shop: Product) -> None:
    mail = Component.objects.get()
    ada.post(change(mail), {**filled(ada, change(mail)), "auth_token": "$Secret{TOKEN}"})
    assert opened(mail) == {}
    assert mail.settings["auth"] == {"type": "bearer", "token": "$Secret{TOKEN}"}
    ada.post(change(mail), {**filled(ada, change(mail)), "name": "Post"})
    mail.refresh_from_db()
    assert (mail.name, mail.settings["auth"]["token"]) == ("Post", "$Secret{TOKEN}")


def test_a_value_for_secret_key_is_stored_sealed_and_replaced(ada: Client, shop: Product) -> None:
    prd = Environment.objects.get(slug="prd")
    fields = {"product": shop.pk, "environment": prd.pk, "key": "STRIPE", "new_value": "sk-1"}
    assert ada.post(add(Secret), fields).status_code == 302
    secret = Secret.objects.get(key="STRIPE")
    assert (secret.environment_id, crypto.unseal(secret.value, secret.place)) == (prd.pk, "sk-1")

    for typed in ("", "sk-2"):
        ada.post(change(secret), {**filled(ada, change(secret)), "new_value": typed})
    secret.refresh_from_db()
    assert crypto.unseal(secret.value, secret.place) == "sk-2"
    assert "sk-" not in json.dumps(list(AuditEntry.objects.values_list("detail", flat=True)))


def test_a_new_secret_needs_a_value(ada: Client, shop: Product) -> None:
    answer = ada.post(add(Secret), {"product": shop.pk, "environment": "", "key": "STRIPE", "new_value": ""})
    assert errors(answer) == {"new_value": ["This field is required."]}


def test_a_secret_is_removed_for_one_environment_only(ada: Client, shop: Product) -> None:
    ada.post(
        add(Secret),
        {
            "product": shop.pk,
            "environment": Environment.objects.get(slug="dev").pk,
            "key": "TOKEN",
            "new_value": "token",
        },
    )
    secret = Secret.objects.get(key="TOKEN", environment__slug="prd")
    assert ada.post(f"/admin/catalog/secret/{secret.pk}/delete/", {"post": "yes"}).status_code == 302
    left = set(Secret.objects.values_list("key", "environment__slug"))
    assert left == {("TOKEN", "dev"), ("ALL", None)}


# --- apps ---------------------------------------------------------------------------------


def test_an_app_its_connection_and_an_event_are_made_from_forms(ada: Client, shop: Product) -> None:
    app = {
        **filled(ada, add(Component)),
        "product": shop.pk,
        "tag": "crm",
        "name": "CRM",
        "headers": "X-A: 1\nX-B: b:c",
    }
    app |= {"auth_type": "bearer", "auth_token": "crm-token"}
    assert ada.post(add(Component), app).status_code == 302
    crm = Component.objects.get(tag="crm")
    assert (crm.kind, crm.settings["headers"], opened(crm)) == (
        "app", {"X-A": "1", "X-B": "b:c"}, {"auth.token": "crm-token"},
    )  # fmt: skip

    prd = Environment.objects.get(slug="prd")
    reached = {
        **filled(ada, add(Connection)),
        "component": crm.pk,
        "environment": prd.pk,
        "base_url": "https://crm.example",
    }
    assert ada.post(add(Connection), reached).status_code == 302
    event = {
        **filled(ada, add(SavedEvent)),
        "component": crm.pk,
        "tag": "note",
        "method": "PUT",
        "resource": "notes/:id",
    }
    event |= {"success": "200, 204", "body": '{"type": "object"}'}
    assert ada.post(add(SavedEvent), event).status_code == 302

    assert crm.connections.get().settings == {"base_url": "https://crm.example"}
    assert crm.events.get().settings == {
        "method": "PUT", "resource": "/notes/:id", "success": [200, 204], "body": {"type": "object"},
    }  # fmt: skip
    assert opened(crm) == {"auth.token": "crm-token"}
    assert list(AuditEntry.objects.order_by("id").values_list("actor", "action", "object", "detail")) == [
        ("ada", "catalog.stored", "shop", {"created": ["apps.crm"]}),
        ("ada", "catalog.stored", "shop", {"created": ["apps.crm.envs.prd"]}),
        ("ada", "catalog.stored", "shop", {"created": ["apps.crm.events.note"]}),
    ]


@pytest.mark.parametrize(
    ("typed", "expected"),
    [
        ({"base_url": "ftp://mail.example"}, "base_url"),
        ({"base_url": "https://mail.example?x=1"}, "base_url"),
        ({"headers": "Authorization: Bearer abc"}, "headers"),
        ({"headers": "no colon here"}, "headers"),
        ({"timeout": "0"}, "timeout"),
        ({"base_url": "https://$Secret{"}, "base_url"),
        ({"variables": "[1]"}, "variables"),
    ],
)
def test_what_the_document_refuses_the_form_refuses_under_its_field(
    ada: Client, shop: Product, typed: dict[str, str], expected: str
) -> None:
    connection = Connection.objects.get(environment__slug="prd")
    before = everything()
    answer = ada.post(change(connection), {**filled(ada, change(connection)), **typed})
    assert list(errors(answer)) == [expected]
    assert everything() == before


def test_an_entry_that_exists_is_not_doubled(ada: Client, shop: Product) -> None:
    event = {**filled(ada, add(SavedEvent)), "component": Component.objects.get().pk, "tag": "send", "method": "POST"}
    before = everything()
    refused = "There is one of that name already: change it instead."
    assert errors(ada.post(add(SavedEvent), {**event, "resource": "/other"}))["__all__"][0] == refused
    app = {**filled(ada, add(Component)), "product": shop.pk, "tag": "mail", "name": "Other"}
    assert errors(ada.post(add(Component), app))["__all__"][0] == refused
    secret = {"product": shop.pk, "environment": "", "key": "ALL", "new_value": "another"}
    assert errors(ada.post(add(Secret), secret))["__all__"][0] == refused
    assert errors(ada.post(add(Product), {"tag": "shop", "name": "Other"}))["__all__"][0] == refused
    assert everything() == before


def test_a_connection_to_another_products_environment_is_refused(ada: Client, shop: Product) -> None:
    document.store("bank", read_document({"envs": [{"slug": "prd"}]}, "bank"))
    foreign = Environment.objects.get(product__tag="bank")
    reached = {**filled(ada, add(Connection)), "component": Component.objects.get().pk, "environment": foreign.pk}
    answer = ada.post(add(Connection), {**reached, "base_url": "https://x.example"})
    assert errors(answer) == {"environment": ["is of another product than the app"]}


@pytest.mark.parametrize("model", [Component, Connection, SavedEvent])
def test_a_part_is_removed_and_the_rest_stays(ada: Client, shop: Product, model: Any) -> None:
    row = model.objects.first()
    counts = {kept: kept.objects.count() for kept in (Component, Connection, SavedEvent, Secret)}
    ada.post(f"/admin/catalog/{model._meta.model_name}/{row.pk}/delete/", {"post": "yes"})
    left = {kept: kept.objects.count() for kept in (Component, Connection, SavedEvent, Secret)}
    expected = {**counts, model: counts[model] - 1}
    if model is Component:
        expected |= {Connection: 0, SavedEvent: 0}
    assert left == expected
    assert AuditEntry.objects.get().action == "catalog.removed"


@pytest.mark.parametrize("model", [Component, Connection, SavedEvent])
def test_what_a_job_needs_is_not_removed(ada: Client, shop: Product, model: Any) -> None:
    row = model.objects.first()
    reached, event = Connection.objects.first(), SavedEvent.objects.first()
    assert reached is not None
    assert event is not None
    place: dict[str, Any] = {"product_id": shop.pk, "environment_id": reached.environment_id}
    new_job(**place, namespace="actions", target={"app": reached.component.tag, "event": event.tag})

    url = f"/admin/catalog/{model._meta.model_name}/{row.pk}/delete/"
    answer = ada.post(url, {"post": "yes"}, follow=True)

    assert model.objects.filter(pk=row.pk).exists()
    assert "Not deleted: an unfinished job needs" in answer.content.decode()


def test_products_and_environments_are_made_as_documents_make_them(ada: Client) -> None:
    assert ada.post(add(Product), {"tag": "bank", "name": "Bank"}).status_code == 302
    bank = Product.objects.get(tag="bank")
    assert ada.post(add(Environment), {"product": bank.pk, "slug": "prd", "name": "Live"}).status_code == 302
    environment = bank.environments.get()
    ada.post(change(environment), {**filled(ada, change(environment)), "name": "Production"})
    environment.refresh_from_db()
    assert (environment.slug, environment.name) == ("prd", "Production")
    assert list(errors(ada.post(add(Product), {"tag": "no good", "name": "x"}))) == ["__all__"]
    assert ada.get(f"/admin/tenancy/product/{bank.pk}/delete/").status_code == 403


# --- checking a connection ------------------------------------------------------------------


def test_a_check_says_that_it_was_reached_and_what_failed(ada: Client, shop: Product) -> None:
    connection = Connection.objects.get(environment__slug="prd")
    with Receiver() as receiver:
        Connection.objects.filter(pk=connection.pk).update(settings={"base_url": receiver.url})
        receiver.answer("/", Answer(status=200), Answer(status=401))
        messages = [
            str(
                list(ada.post(f"/admin/catalog/connection/{connection.pk}/check/", follow=True).context["messages"])[-1]
            )
            for _ in range(2)
        ]
        assert [request.headers["authorization"] for request in receiver.requests] == ["Bearer literal-token"] * 2
    assert messages[0].startswith("app mail in prd: ")
    assert "401" not in messages[0]
    assert "reached, but it answered 401: the credentials are not accepted there" in messages[1]
    assert messages[1].endswith("[UNAUTHORIZED]")
    assert "literal-token" not in "".join(messages)
    assert list(AuditEntry.objects.order_by("id").values_list("action", "detail")) == [
        ("connection.checked", {"ok": True}),
        ("connection.checked", {"ok": False}),
    ]


def test_a_get_checks_nothing(ada: Client, shop: Product) -> None:
    connection = Connection.objects.get(environment__slug="prd")
    assert ada.get(f"/admin/catalog/connection/{connection.pk}/check/").status_code == 302
    assert not AuditEntry.objects.exists()


# --- who may ------------------------------------------------------------------------------


def test_who_may_only_look_sees_the_entries_and_cannot_write(shop: Product) -> None:
    user = User.objects.create_user("vera", is_staff=True)
    user.user_permissions.set(Permission.objects.filter(codename__startswith="view_"))
    vera = Client()
    vera.force_login(user)
    before = everything()
    for model in (Product, Environment, Component, Connection, SavedEvent, Secret):
        row = model.objects.first()
        assert row is not None
        page = vera.get(change(row))
        assert page.status_code == 200
        assert "_save" not in page.content.decode()
        assert not [value for value in SEALED if value in page.content.decode()]
        vera.post(change(row), {"name": "x", "base_url": "http://127.0.0.1:1", "new_value": "another"})
        assert vera.get(add(model)).status_code == 403
        assert (
            vera.post(
                f"/admin/{model._meta.app_label}/{model._meta.model_name}/{row.pk}/delete/", {"post": "yes"}
            ).status_code
            == 403
        )
    assert vera.post(f"/admin/catalog/connection/{Connection.objects.first().pk}/check/").status_code == 403
    assert everything() == before


# --- keys ---------------------------------------------------------------------------------


def test_a_key_is_shown_once_and_works(ada: Client, shop: Product) -> None:
    prd = Environment.objects.get(slug="prd")
    fields = {"name": "ci", "product": shop.pk, "environments": [prd.pk], "scopes": ["jobs:read", "catalog:read"]}
    answer = ada.post(add(ApiKey), {**fields, "expires_at_0": "", "expires_at_1": ""})

    text = answer.context["text"]
    key = ApiKey.objects.get()
    assert text in answer.content.decode()
    assert "no-store" in answer["Cache-Control"]
    assert (key.name, key.scopes, list(key.environments.all())) == ("ci", ["catalog:read", "jobs:read"], [prd])
    asked = Client().get("/v1/products/shop/catalog", headers={"Authorization": f"Bearer {text}"})
    assert asked.status_code == 200
    for address in ("/admin/tenancy/apikey/", change(key), "/admin/tenancy/auditentry/", "/admin/jobs/jobevent/who/"):
        assert text not in ada.get(address).content.decode()
    assert AuditEntry.objects.get(action="key.created").actor == "ada"


def test_a_key_for_another_products_environment_is_refused(ada: Client, shop: Product) -> None:
    prd = Environment.objects.get(slug="prd")
    fields = {"name": "ci", "product": "", "environments": [prd.pk], "scopes": ["jobs:read"]}
    answer = ada.post(add(ApiKey), {**fields, "expires_at_0": "", "expires_at_1": ""})
    assert errors(answer) == {"environments": ["shop/prd is not an environment of the key's product"]}
    assert not ApiKey.objects.exists()


def test_a_revoked_key_opens_nothing(ada: Client, shop: Product) -> None:
    fields = {"name": "ci", "product": shop.pk, "scopes": ["catalog:read"], "expires_at_0": "", "expires_at_1": ""}
    text = ada.post(add(ApiKey), fields).context["text"]
    key = ApiKey.objects.get()
    answer = ada.post("/admin/tenancy/apikey/", {"action": "revoke", "_selected_action": [str(key.pk)]}, follow=True)
    assert "1 revoked" in str(list(answer.context["messages"])[-1])
    asked = Client().get("/v1/products/shop/catalog", headers={"Authorization": f"Bearer {text}"})
    assert asked.status_code == 401
    assert AuditEntry.objects.filter(action="key.revoked", actor="ada").count() == 1
    assert ada.post(change(key), {"name": "other"}).status_code in (200, 403)
    key.refresh_from_db()
    assert key.name == "ci"


@pytest.mark.parametrize("model", [Connection, SavedEvent])
def test_what_changes_of_an_app_while_a_part_of_it_is_saved_stays(model: Any, ada: Client, shop: Product) -> None:
    row = model.objects.select_related("component").order_by("pk").first()
    form = (ConnectionForm if model is Connection else SavedEventForm)(filled(ada, change(row)), instance=row)
    for name in ("component", "environment", "tag"):  # which a page shows, and does not ask for again
        form.fields.pop(name, None)
    changed = {**DOCUMENT["apps"][0], "timeout": 4321, "auth": {"type": "bearer", "token": {"set": True}}}
    document.store("shop", read_document({"apps": [{**changed, "envs": {}, "events": []}]}, "shop"))

    assert form.is_valid(), form.errors
    form.store()

    assert Component.objects.get(tag="mail").settings["timeout"] == 4321
