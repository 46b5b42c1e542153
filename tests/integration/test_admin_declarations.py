"""Whole declarations in the admin: every kind of the catalog as one text, kept secrets as markers, what is in use."""

from __future__ import annotations

import json
from typing import Any

import pytest
import yaml
from django.contrib.auth.models import Permission, User
from django.test import Client

from core.tenancy.models import AuditEntry, Product
from executors.catalog import document, kinds, sealed
from executors.catalog.models import Cache, Component, Connection, SavedEvent, SessionConfig
from executors.catalog.schema import read_document
from tests.conformance.world import new_job
from tests.integration.test_admin_catalog import add, change, errors, filled

pytestmark = pytest.mark.django_db

PLANTED = "planted-Pa55word"
ENTRIES: dict[str, dict[str, Any]] = {
    "app": {
        "tag": "mail", "name": "Mail", "auth": {"type": "bearer", "token": PLANTED},
        "envs": {"prd": {"base_url": "https://mail.example"}},
        "events": [{"tag": "send", "method": "POST", "resource": "/send"}],
    },
    "notification": {
        "tag": "news", "name": "News",
        "envs": {"prd": {"emails": {"provider": "smtp", "smtp": {
            "host": "127.0.0.1", "port": 2525, "sender_email": "a@example.com", "auth": {"user": "u", "pass": PLANTED},
        }}}},
        "events": [{"tag": "hello", "email": {"subject": "Hello {{name}}", "template": "<p>Hello</p>\n<p>Bye</p>\n"}}],
    },
    "database": {
        "tag": "stock", "name": "Stock", "type": "postgresql", "default_table": "stock",
        "envs": {
            "prd": {"connection_url": f"postgresql://u:{PLANTED}@127.0.0.1/stock"},
            "dev": {"connection_url": f"postgresql://u:{PLANTED}@127.0.0.1/dev"},
        },
        "events": [
            {"tag": "sync", "operation": "UPSERT", "template": {"records": "{{rows}}", "conflictColumns": ["sku"]}},
            {"tag": "read", "operation": "QUERY", "template": {"where": {"sku": "{{sku}}"}}},
        ],
    },
    "graph": {
        "tag": "net", "name": "Net", "type": "neo4j",
        "envs": {"prd": {"connection_url": f"bolt://neo4j:{PLANTED}@127.0.0.1:7687"}},
        "events": [{"tag": "expire", "operation": "DELETE_NODE", "template": {"labels": ["Session"], "where": {"old": True}}}],
    },
    "storage": {
        "tag": "reports", "name": "Reports", "type": "s3",
        "envs": {"prd": {"bucket": "reports", "region": "eu-west-1", "access_key_id": "a", "secret_access_key": PLANTED}},
        "events": [{"tag": "dump", "operation": "upload", "template": {"fileName": "dump-{{day}}.json"}}],
    },
    "broker": {
        "tag": "bus", "name": "Bus", "type": "rabbitmq",
        "envs": {"prd": {"url": f"amqp://u:{PLANTED}@127.0.0.1:5672//"}},
        "events": [{"tag": "promo", "topic": "promo.status", "sample": {"check": True}}],
    },
    "function": {
        "tag": "resize", "name": "Resize", "method": "POST",
        "envs": {"prd": {"url": "https://fn.example/resize", "auth": {"type": "bearer", "token": PLANTED}}},
    },
    "feature": {
        "tag": "report", "name": "Report",
        "steps": [{"tag": "fetch", "type": "action", "app": "mail", "event": "send", "input": {"body": {}}}],
    },
}  # fmt: skip
PLACES = {"envs": [{"slug": "prd"}, {"slug": "dev"}]}
EVERY_KIND = sorted(ENTRIES)


@pytest.fixture
def ada() -> Client:
    client = Client()
    client.force_login(User.objects.create_superuser("ada"))
    return client


@pytest.fixture
def shop() -> Product:
    sessions = [{"tag": "user", "selector": "$Session{id}", "expiry": 7, "period": "days"}]
    caches = [{"tag": "prices", "expiry": 60_000}]
    whole = {kinds.get(name).plural: [entry] for name, entry in ENTRIES.items()}
    document.store("shop", read_document({**PLACES, **whole, "sessions": sessions, "caches": caches}, "shop"))
    return Product.objects.get(tag="shop")


def page_of(row: Any) -> str:
    return change(row) + ("?yaml" if isinstance(row, Component) and row.kind == "app" else "")


def text_on(client: Client, row: Any) -> str:
    text: str = filled(client, page_of(row))["declaration"]
    return text


def shown(client: Client, row: Any) -> dict[str, Any]:
    """The declaration as its page writes it."""
    return dict(yaml.safe_load(text_on(client, row)))


def save(client: Client, row: Any, entry: Any, **fields: Any) -> Any:
    text = entry if isinstance(entry, str) else yaml.safe_dump(entry, sort_keys=False)
    return client.post(page_of(row), {**filled(client, page_of(row)), "declaration": text, **fields})


def stored() -> list[Any]:
    models: tuple[Any, ...] = (Component, Connection, SavedEvent, SessionConfig, Cache)
    return [list(model.objects.order_by("pk").values()) for model in models]


def test_there_is_an_example_of_every_kind() -> None:
    assert sorted(kinds.names()) == EVERY_KIND


@pytest.mark.parametrize("kind", EVERY_KIND)
def test_a_kind_is_added_read_changed_and_deleted_as_text(ada: Client, kind: str) -> None:
    apps = {"apps": [ENTRIES["app"]]} if kind == "feature" else {}
    document.store("shop", read_document({**PLACES, **apps}, "shop"))
    new = f"{add(Component)}?kind={kind}&yaml"
    text = yaml.safe_dump(ENTRIES[kind])
    assert ada.post(new, {"product": Product.objects.get().pk, "declaration": text, "version": ""}).status_code == 302

    row = Component.objects.get(kind=kind)
    entry = shown(ada, row)
    assert (entry["tag"], entry["name"]) == (ENTRIES[kind]["tag"], ENTRIES[kind]["name"])
    assert [each["tag"] for each in entry.get("events", [])] == sorted(
        each["tag"] for each in ENTRIES[kind].get("events", [])
    )
    assert sorted(entry.get("envs", {})) == sorted(ENTRIES[kind].get("envs", {}))
    assert ENTRIES[kind]["tag"] in ada.get("/admin/catalog/component/").content.decode()

    assert save(ada, row, {**entry, "name": "Another name"}).status_code == 302
    row.refresh_from_db()
    assert row.name == "Another name"
    assert ada.post(f"/admin/catalog/component/{row.pk}/delete/", {"post": "yes"}).status_code == 302
    assert not Component.objects.filter(kind=kind).exists()
    plural, tag = kinds.get(kind).plural, ENTRIES[kind]["tag"]
    deeds = list(AuditEntry.objects.order_by("pk").values_list("actor", "action", "detail"))
    assert [deed[:2] for deed in deeds] == [
        ("ada", "catalog.stored"), ("ada", "catalog.stored"), ("ada", "catalog.removed")
    ]  # fmt: skip
    assert deeds[0][2]["created"][0] == f"{plural}.{tag}"
    assert deeds[1][2] == {"updated": [f"{plural}.{tag}"]}
    assert f"{plural}.{tag}" in deeds[2][2]["removed"]


@pytest.mark.parametrize("kind", EVERY_KIND)
def test_the_page_of_a_new_one_begins_with_what_its_kind_needs(ada: Client, shop: Product, kind: str) -> None:
    begun = yaml.safe_load(filled(ada, f"{add(Component)}?kind={kind}&yaml")["declaration"])
    assert begun["tag"] == f"my-{kind}"
    assert ("envs" in begun) == kinds.get(kind).connected


def test_saving_a_text_as_it_is_changes_nothing(ada: Client, shop: Product) -> None:
    before = stored()
    rows = [*Component.objects.all(), *SessionConfig.objects.all(), *Cache.objects.all()]
    for row in rows:
        answer = ada.post(page_of(row), filled(ada, page_of(row)))
        assert answer.status_code == 302, errors(answer)
    assert len(rows) == len(ENTRIES) + 2
    assert stored() == before
    assert not AuditEntry.objects.exists()


def test_a_text_is_laid_out_for_people(ada: Client, shop: Product) -> None:
    assert text_on(ada, Component.objects.get(kind="notification")) == (
        "tag: news\n"
        "name: News\n"
        "envs:\n"
        "  prd:\n"
        "    emails:\n"
        "      provider: smtp\n"
        "      smtp:\n"
        "        host: 127.0.0.1\n"
        "        port: 2525\n"
        "        sender_email: a@example.com\n"
        "        auth:\n"
        "          pass: {set: true}\n"
        "          user: u\n"
        "events:\n"
        "  - tag: hello\n"
        "    email:\n"
        "      subject: Hello {{name}}\n"
        "      template: |\n"
        "        <p>Hello</p>\n"
        "        <p>Bye</p>\n"
    )


def test_saving_and_going_on_stays_with_the_text(ada: Client, shop: Product) -> None:
    mail = Component.objects.get(kind="app")
    answer = save(ada, mail, shown(ada, mail), _continue="1")
    assert answer["Location"] == page_of(mail)
    new = f"{add(Component)}?kind=broker"
    text = yaml.safe_dump({**ENTRIES["broker"], "tag": "tram"})
    answer = ada.post(new, {"product": shop.pk, "declaration": text, "version": "", "_addanother": "1"})
    assert answer["Location"] == new


# --- secrets ------------------------------------------------------------------------------


def test_no_page_of_any_kind_shows_what_is_sealed(ada: Client, shop: Product) -> None:
    rows = [*Component.objects.all(), *Connection.objects.all(), *SavedEvent.objects.all()]
    sealed_rows: list[Any] = [row for row in rows if getattr(row, "secrets", "")]
    assert len(sealed_rows) == 8
    assert all(PLANTED in json.dumps(sealed.open_sealed(row)) for row in sealed_rows)
    addresses = {address for row in rows for address in (change(row), page_of(row))}
    addresses |= {f"/admin/catalog/{name}/" for name in ("component", "connection", "savedevent")}
    hidden = [PLANTED, *(row.secrets for row in sealed_rows)]
    for address in sorted(addresses):
        answer = ada.get(address, follow=True)
        assert answer.status_code == 200
        assert not [value for value in hidden if value in answer.content.decode()], address


def test_what_is_refused_is_not_told_with_the_secrets_that_are_stored(ada: Client, shop: Product) -> None:
    stock = Component.objects.get(kind="database")
    answer = save(ada, stock, {**shown(ada, stock), "type": "nosuch"})
    assert errors(answer)
    assert PLANTED not in answer.content.decode()


def test_a_marker_keeps_a_secret_a_value_replaces_it(ada: Client, shop: Product) -> None:
    stock = Component.objects.get(kind="database")
    connection = stock.connections.get(environment__slug="prd")
    entry = shown(ada, stock)
    assert entry["envs"]["prd"] == {"connection_url": {"set": True}}

    save(ada, stock, {**entry, "default_table": "things"})
    connection.refresh_from_db()
    assert sealed.open_sealed(connection) == {"connection_url": f"postgresql://u:{PLANTED}@127.0.0.1/stock"}

    entry["envs"]["prd"] = {"connection_url": "postgresql://u:new@127.0.0.1/stock"}
    save(ada, stock, entry)
    connection.refresh_from_db()
    assert sealed.open_sealed(connection) == {"connection_url": "postgresql://u:new@127.0.0.1/stock"}


def test_a_marker_where_nothing_is_set_is_refused(ada: Client, shop: Product) -> None:
    bus = Component.objects.get(kind="broker")
    entry = shown(ada, bus)
    entry["envs"]["dev"] = {"url": {"set": True}}
    (told,) = errors(save(ada, bus, entry))["declaration"]
    assert told.endswith("is not set yet: give its value")
    assert told.startswith("envs.dev.url (line ")


# --- what is wrong ------------------------------------------------------------------------


def test_each_problem_is_told_with_its_field_and_line(ada: Client, shop: Product) -> None:
    stock = Component.objects.get(kind="database")
    text = (
        "tag: stock\n"
        "type: postgresql\n"
        "colour: red\n"
        "envs:\n"
        "  prd: {connection_url: 5}\n"
        "events:\n"
        "  - tag: sync\n"
        "    operation: JUMP\n"
    )
    before = stored()
    told = errors(save(ada, stock, text))
    assert list(told) == ["declaration"]
    assert [problem.split(":")[0] for problem in told["declaration"]] == [
        "colour (line 3)", "envs.prd.connection_url (line 5)", "events.0.operation (line 8)",
    ]  # fmt: skip
    assert stored() == before


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("tag: [", "this cannot be read as YAML (line 1): expected the node content, but found '<stream end>'"),
        ("tag: a\ntag: b", "a key appears twice in the object at line 1"),
        ("- tag", "this must be a JSON object ({…})"),
        ("tag: &x a\nname: *x", "the document uses YAML aliases (*name): write the values out"),
        ("", "This field is required."),
    ],
)
def test_a_text_that_is_no_object_is_refused(ada: Client, shop: Product, text: str, told: str) -> None:
    assert errors(save(ada, Component.objects.get(kind="broker"), text)) == {"declaration": [told]}


def test_another_tag_is_another_component(ada: Client, shop: Product) -> None:
    bus = Component.objects.get(kind="broker")
    told = errors(save(ada, bus, {**shown(ada, bus), "tag": "tram"}))
    assert told == {
        "declaration": ["tag (line 1): cannot be changed from 'bus': add another broker, and delete this one"]
    }


def test_one_that_is_there_is_not_written_over(ada: Client, shop: Product) -> None:
    before = stored()
    answer = ada.post(
        f"{add(Component)}?kind=broker",
        {"product": shop.pk, "declaration": yaml.safe_dump(ENTRIES["broker"]), "version": ""},
    )
    assert errors(answer) == {"__all__": ["There is one of that name already: change it instead."]}
    assert stored() == before


# --- what goes away, and what is in use ------------------------------------------------------


def test_what_the_text_no_longer_names_is_removed(ada: Client, shop: Product) -> None:
    stock = Component.objects.get(kind="database")
    entry = shown(ada, stock)
    del entry["envs"]["dev"], entry["events"][1]
    others = stored()[0]
    assert save(ada, stock, entry).status_code == 302
    assert [each.environment.slug for each in stock.connections.all()] == ["prd"]
    assert [saved.tag for saved in stock.events.all()] == ["read"]
    assert stored()[0] == others
    assert AuditEntry.objects.get().detail == {"removed": ["databases.stock.envs.dev", "databases.stock.events.sync"]}


def test_what_a_job_needs_is_not_taken_out_of_a_text(ada: Client, shop: Product) -> None:
    stock = Component.objects.get(kind="database")
    prd = stock.connections.get(environment__slug="prd").environment
    new_job(
        product_id=shop.pk, environment_id=prd.pk, namespace="databases.action",
        target={"database": "stock", "event": "sync"},
    )  # fmt: skip
    before = stored()
    entry = shown(ada, stock)
    del entry["events"][1]
    (told,) = errors(save(ada, stock, entry))["__all__"]
    assert told.startswith(
        "an unfinished job needs event 'sync' of database 'stock': cancel what is not to run any more"
    )

    answer = ada.post(f"/admin/catalog/component/{stock.pk}/delete/", {"post": "yes"}, follow=True)
    assert "Not deleted: an unfinished job needs database" in answer.content.decode()
    assert stored() == before


@pytest.mark.parametrize("name", ["connection", "savedevent"])
def test_a_part_of_any_kind_is_deleted_by_itself(ada: Client, shop: Product, name: str) -> None:
    stock = Component.objects.get(kind="database")
    rows: Any = stock.connections if name == "connection" else stock.events
    row = rows.first()
    page = ada.get(change(row))
    assert page_of(stock) in page.content.decode()
    assert ada.post(f"/admin/catalog/{name}/{row.pk}/delete/", {"post": "yes"}).status_code == 302
    assert not rows.filter(pk=row.pk).exists()
    assert rows.count() == 1


# --- a page that is older than what is stored ----------------------------------------------


@pytest.mark.parametrize("part", ["name", "secret", "event"])
def test_a_page_that_is_older_than_what_is_stored_is_refused(ada: Client, shop: Product, part: str) -> None:
    bus = Component.objects.get(kind="broker")
    opened = filled(ada, page_of(bus))
    changes: dict[str, dict[str, Any]] = {
        "name": {"name": "Tram"},
        "secret": {"envs": {"prd": {"url": "amqp://u:other@127.0.0.1:5672//"}}},
        "event": {"events": [{"tag": "promo", "topic": "promo.other"}]},
    }
    entry = {**ENTRIES["broker"], **changes[part]}
    document.store("shop", read_document({"brokers": [entry]}, "shop"))
    before = stored()

    told = errors(ada.post(page_of(bus), opened))

    assert told["__all__"][0].startswith("It was changed after this page was opened: open it again")
    assert stored() == before


def test_a_form_that_is_older_than_what_is_stored_is_refused(ada: Client, shop: Product) -> None:
    mail = Connection.objects.get(component__kind="app")
    opened = filled(ada, change(mail))
    document.store(
        "shop",
        read_document({"apps": [{**ENTRIES["app"], "envs": {"prd": {"base_url": "https://new.example"}}}]}, "shop"),
    )
    told = errors(ada.post(change(mail), {**opened, "timeout": "5000"}))
    assert told["__all__"][0].startswith("It was changed after this page was opened: open it again")
    mail.refresh_from_db()
    assert mail.settings == {"base_url": "https://new.example"}


def test_a_page_that_says_no_version_is_refused(ada: Client, shop: Product) -> None:
    bus = Component.objects.get(kind="broker")
    told = errors(save(ada, bus, {**shown(ada, bus), "name": "Tram"}, version=""))
    assert told["__all__"][0].startswith("It was changed after this page was opened")


# --- who may ------------------------------------------------------------------------------


def test_who_may_only_look_sees_no_text_to_edit(shop: Product) -> None:
    user = User.objects.create_user("vera", is_staff=True)
    user.user_permissions.set(Permission.objects.filter(codename__startswith="view_"))
    vera = Client()
    vera.force_login(user)
    before = stored()
    for row in (*Component.objects.all(), SessionConfig.objects.get(), Cache.objects.get()):
        page = vera.get(page_of(row)).content.decode()
        assert "<textarea" not in page
        assert PLANTED not in page
        vera.post(page_of(row), {"declaration": "tag: x"})
        assert vera.get(f"{add(type(row))}?kind=broker").status_code == 403
    assert stored() == before
