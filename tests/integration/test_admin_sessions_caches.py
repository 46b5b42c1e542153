"""Sessions and caches in the admin: their declarations, sessions revoked, what a cache keeps and its end."""

from __future__ import annotations

from typing import Any

import pytest
import yaml
from django.contrib.auth.models import Permission, User
from django.test import Client

from core.tenancy.models import AuditEntry, Product
from core.tenancy.visibility import Place
from executors import caching
from executors.catalog import document
from executors.catalog.admin import caches, sessions
from executors.catalog.models import Cache, SessionConfig, SessionRevocation
from executors.catalog.schema import read_document
from executors.sessions import lifecycle
from executors.sessions.counting import Refused
from tests.conformance.world import new_job
from tests.integration.test_admin_catalog import add, change, errors, filled

pytestmark = pytest.mark.django_db

DOCUMENT: dict[str, Any] = {
    "envs": [{"slug": "prd"}, {"slug": "dev"}],
    "sessions": [{"tag": "user", "selector": "$Session{id}", "expiry": 7, "period": "days"}],
    "caches": [{"tag": "prices", "expiry": 60_000}, {"tag": "other", "expiry": 60_000}],
}


@pytest.fixture
def ada() -> Client:
    client = Client()
    client.force_login(User.objects.create_superuser("ada"))
    return client


@pytest.fixture
def shop() -> Product:
    document.store("shop", read_document(DOCUMENT, "shop"))
    return Product.objects.get(tag="shop")


def place(shop: Product) -> Place:
    prd = shop.environments.get(slug="prd")
    return Place(product_id=shop.pk, product="shop", environment_id=prd.pk, env="prd")


def started(shop: Product, who: str = "u_1") -> tuple[str, str]:
    """A session's id and its token."""
    held, token = lifecycle.start(
        SessionConfig.objects.get(), place(shop), {"id": who, "mail": "a@b.example"}, actor="k"
    )
    return held.session_id, token


def counts(shop: Product, token: str) -> bool:
    try:
        lifecycle.verified(SessionConfig.objects.get(), place(shop), token)
    except Refused:
        return False
    return True


def keep(shop: Product, key: str, tag: str = "prices") -> None:
    where = {"environment_id": shop.environments.get(slug="prd").pk, "namespace": "actions"}
    target = {"app": "mail", "event": f"send-{key}"}
    assert caching.keep(shop.pk, tag, key, target=target, result='{"what": "was answered"}', **where)  # type: ignore[arg-type]


def told(answer: Any) -> str:
    return str(list(answer.context["messages"])[-1])


@pytest.mark.parametrize(
    ("model", "entry", "wrong"),
    [
        (SessionConfig, {"tag": "guest", "selector": "$Session{id}", "expiry": 1, "period": "hours"}, "selector"),
        (Cache, {"tag": "rates", "expiry": 1000}, "expiry"),
    ],
)
def test_one_is_added_changed_and_deleted_as_text(
    ada: Client, shop: Product, model: Any, entry: dict[str, Any], wrong: str
) -> None:
    begun = filled(ada, add(model))
    assert ada.post(add(model), {**begun, "product": shop.pk, "declaration": yaml.safe_dump(entry)}).status_code == 302
    row = model.objects.get(tag=entry["tag"])
    page = filled(ada, change(row))
    assert yaml.safe_load(page["declaration"]) == {**entry, "name": entry["tag"]}

    refused = ada.post(change(row), {**page, "declaration": yaml.safe_dump({**entry, wrong: []}, sort_keys=False)})
    (sentence,) = errors(refused)["declaration"]
    assert sentence.startswith(f"{wrong} (line 2): ")

    changed = {**page, "declaration": yaml.safe_dump({**entry, "name": "Renamed"})}
    assert ada.post(change(row), changed).status_code == 302
    assert model.objects.get(tag=entry["tag"]).name == "Renamed"
    older = errors(ada.post(change(row), changed))
    assert older["__all__"][0].startswith("It was changed after this page was opened")

    assert ada.post(f"/admin/catalog/{model._meta.model_name}/{row.pk}/delete/", {"post": "yes"}).status_code == 302
    assert not model.objects.filter(tag=entry["tag"]).exists()
    assert list(AuditEntry.objects.order_by("pk").values_list("actor", "action")) == [
        ("ada", "catalog.stored"), ("ada", "catalog.stored"), ("ada", "catalog.removed"),
    ]  # fmt: skip


def test_a_cache_that_a_job_needs_is_not_deleted(ada: Client, shop: Product) -> None:
    new_job(product_id=shop.pk, environment_id=place(shop).environment_id, cache="prices")
    row = Cache.objects.get(tag="prices")
    answer = ada.post(f"/admin/catalog/cache/{row.pk}/delete/", {"post": "yes"}, follow=True)
    assert "Not deleted: an unfinished job needs cache" in told(answer)
    assert Cache.objects.filter(pk=row.pk).exists()


# --- sessions -----------------------------------------------------------------------------


def test_sessions_are_listed_without_their_tokens_and_data(ada: Client, shop: Product) -> None:
    session_id, token = started(shop)
    page = ada.get(change(SessionConfig.objects.get())).content.decode()
    assert session_id in page
    assert token.partition(":")[2] not in page
    assert "a@b.example" not in page
    assert "user" in ada.get("/admin/catalog/sessionconfig/").content.decode()


def test_sessions_are_looked_for_among_the_newest_entries_of_the_audit_trail(
    ada: Client, shop: Product, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sessions, "AUDIT_LOOKED_AT", 2)
    ids = [started(shop)[0] for _ in range(3)]
    page = ada.get(change(SessionConfig.objects.get())).content.decode()
    assert [session_id in page for session_id in ids] == [False, True, True]


def test_one_session_is_revoked_by_its_id(ada: Client, shop: Product) -> None:
    (session_id, token), (_, other) = started(shop), started(shop)
    row = SessionConfig.objects.get()
    answer = ada.post(
        f"/admin/catalog/sessionconfig/{row.pk}/revoke/", {"env": "prd", "session_id": session_id}, follow=True
    )
    assert told(answer) == f"Revoked in prd: {session_id}"
    assert (counts(shop, token), counts(shop, other)) == (False, True)
    assert ">revoked</span>" in answer.content.decode()
    assert AuditEntry.objects.get(action="session.revoked").actor == "ada"


def test_all_sessions_of_an_identifier_are_revoked(ada: Client, shop: Product) -> None:
    tokens = [started(shop, who)[1] for who in ("u_1", "u_1", "u_2")]
    row = SessionConfig.objects.get()
    answer = ada.post(
        f"/admin/catalog/sessionconfig/{row.pk}/revoke/", {"env": "prd", "identifier": "u_1"}, follow=True
    )
    assert told(answer) == "Revoked in prd: every session of that identifier that was started until now"
    assert [counts(shop, token) for token in tokens] == [False, False, True]
    assert "every session of one identifier until then" in answer.content.decode()


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ({"env": "prd"}, "give the id of a session, or an identifier: one of them"),
        ({"env": "prd", "session_id": "ses_1", "identifier": "u_1"}, "give the id of a session, or an identifier: one of them"),
        ({"env": "prd", "session_id": "ses_x\x00"}, "session_id: is no id of a session: `start` returns it, ses_…"),
        ({"env": "prd", "session_id": "u_1"}, "session_id: is no id of a session: `start` returns it, ses_…"),
        ({"env": "other", "identifier": "u_1"}, "env: choose an environment of product 'shop'"),
        ({"env": "prd", "identifier": "u" * 501}, "identifier: has more than 500 characters"),
    ],
)  # fmt: skip
def test_what_names_no_session_revokes_none(ada: Client, shop: Product, given: dict[str, str], sentence: str) -> None:
    row = SessionConfig.objects.get()
    answer = ada.post(f"/admin/catalog/sessionconfig/{row.pk}/revoke/", given, follow=True)
    assert told(answer) == f"Not revoked: {sentence}"
    assert not SessionRevocation.objects.exists()


# --- caches -------------------------------------------------------------------------------


def test_a_cache_tells_of_which_calls_it_keeps_results_not_what_they_are(ada: Client, shop: Product) -> None:
    keep(shop, "k1")
    keep(shop, "k2")
    listed = ada.get("/admin/catalog/cache/")
    assert {row.tag: row.holding for row in listed.context["cl"].result_list} == {"prices": 2, "other": 0}
    page = ada.get(change(Cache.objects.get(tag="prices"))).content.decode()
    assert "mail:send-k1" in page
    assert "mail:send-k2" in page
    assert "was answered" not in page


def test_one_entry_is_cleared_or_all_of_one_cache(ada: Client, shop: Product) -> None:
    for key in ("k1", "k2", "k3"):
        keep(shop, key)
    keep(shop, "k4", tag="other")
    row = Cache.objects.get(tag="prices")
    answer = ada.post(f"/admin/catalog/cache/{row.pk}/clear/", {"key": "k2"}, follow=True)
    assert told(answer) == "1 cleared"
    assert sorted(row.entries.values_list("key", flat=True)) == ["k1", "k3"]
    assert told(ada.post(f"/admin/catalog/cache/{row.pk}/clear/", follow=True)) == "2 cleared"
    assert not row.entries.exists()
    assert Cache.objects.get(tag="other").entries.count() == 1
    deeds = AuditEntry.objects.filter(action="cache.cleared").order_by("pk").values_list("actor", "object", "detail")
    assert list(deeds) == [("ada", "shop/prices", {"entries": 1}), ("ada", "shop/prices", {"entries": 2})]


def test_a_clearing_that_stops_at_its_bound_says_so(
    ada: Client, shop: Product, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(caching, "MOST_CLEARED", 2)
    for key in ("k1", "k2", "k3"):
        keep(shop, key)
    row = Cache.objects.get(tag="prices")
    answer = ada.post(f"/admin/catalog/cache/{row.pk}/clear/", follow=True)
    assert told(answer) == "2 cleared, the oldest: once more clears the next"
    assert list(row.entries.values_list("key", flat=True)) == ["k3"]


def test_the_question_before_a_delete_reads_none_of_what_is_kept(ada: Client, shop: Product) -> None:
    keep(shop, "k1")
    row = Cache.objects.get(tag="prices")
    page = ada.get(f"/admin/catalog/cache/{row.pk}/delete/").content.decode()
    assert "cache prices" in page
    assert f"k1 of {row.pk}" not in page


def test_a_list_of_what_is_kept_shows_the_newest_alone(
    ada: Client, shop: Product, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(caches, "SHOWN", 1)
    keep(shop, "k1")
    keep(shop, "k2")
    page = ada.get(change(Cache.objects.get(tag="prices"))).content.decode()
    assert "mail:send-k2" in page
    assert "mail:send-k1" not in page
    assert "Kept now: 2" in page


# --- who may ------------------------------------------------------------------------------


def test_a_get_and_who_may_only_look_revoke_and_clear_nothing(ada: Client, shop: Product) -> None:
    session_id, token = started(shop)
    keep(shop, "k1")
    addresses = [
        f"/admin/catalog/sessionconfig/{SessionConfig.objects.get().pk}/revoke/",
        f"/admin/catalog/cache/{Cache.objects.get(tag='prices').pk}/clear/",
    ]
    user = User.objects.create_user("vera", is_staff=True)
    user.user_permissions.set(Permission.objects.filter(codename__startswith="view_"))
    vera = Client()
    vera.force_login(user)
    for address in addresses:
        assert ada.get(address).status_code == 302
        assert vera.post(address, {"env": "prd", "session_id": session_id}).status_code == 403
    for row in (SessionConfig.objects.get(), Cache.objects.get(tag="prices")):
        page = vera.get(change(row)).content.decode()
        assert "/revoke/" not in page
        assert "/clear/" not in page
    assert counts(shop, token)
    assert Cache.objects.get(tag="prices").entries.count() == 1
