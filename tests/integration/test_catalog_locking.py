"""Optimistic locking of a catalog: an ETag for what was read, 412 for who writes over what somebody else wrote."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from pytest_django import Settings

from core.shortcache import forget_everything
from core.tenancy import keys, scopes
from core.tenancy.models import Environment, Product
from executors.catalog import document
from executors.catalog.schema import read_document
from tests.integration.test_apps_api import OPERATOR, call

pytestmark = pytest.mark.django_db

CATALOG: dict[str, Any] = {
    "envs": [{"slug": "dev"}, {"slug": "prd"}],
    "secrets": [{"key": "KEY", "value": "s3cret", "envs": {"prd": "live"}}],
    "sessions": [{"tag": "s", "selector": "$Session{id}", "expiry": 1, "period": "days"}],
    "caches": [{"tag": "c", "expiry": 1000}],
    "apps": [
        {
            "tag": "mail",
            "envs": {"prd": {"base_url": "https://mail.example"}},
            "events": [{"tag": "send", "method": "POST", "resource": "/send"}],
        }
    ],
}
EVENT = {"tag": "new", "resource": "/new"}


@pytest.fixture(autouse=True)
def _here(settings: Settings) -> Iterator[None]:
    settings.OPERATOR_API_KEY = OPERATOR
    forget_everything()
    document.store("shop", read_document(CATALOG, "shop"))
    yield
    forget_everything()


# (where its ETag is read, how it is changed by somebody else, what the late one writes)
LATE = [
    ("/catalog", ("PUT", "/apps/mail/events/send", {"resource": "/other"}), ("PUT", "/catalog", {"name": "Late"})),
    ("/catalog", ("POST", "/secrets", {"key": "KEY", "value": "newer"}), ("PUT", "/catalog?prune=true", CATALOG)),
    ("/catalog", ("DELETE", "/envs/dev", None), ("PUT", "/catalog?dry_run=true", {"name": "Late"})),
    ("/catalog", ("DELETE", "/secrets/KEY", None), ("PUT", "/catalog", {"name": "Late"})),
    ("/catalog", ("PATCH", "/caches/c", {"expiry": 9}), ("PUT", "/catalog", {"name": "Late"})),
    ("", ("PATCH", "", {"name": "Early"}), ("PATCH", "", {"name": "Late"})),
    ("", ("POST", "/envs", {"slug": "new"}), ("DELETE", "", None)),
    ("/envs/prd", ("PATCH", "/envs/prd", {"name": "Early"}), ("PATCH", "/envs/prd", {"name": "Late"})),
    ("/envs/prd", ("POST", "/secrets", {"key": "KEY", "envs": {"prd": "newer"}}), ("DELETE", "/envs/prd", None)),
    ("/envs/prd", ("PUT", "/apps/mail/envs/prd", {"base_url": "https://b.example"}), ("DELETE", "/envs/prd", None)),
    ("/secrets/KEY", ("POST", "/secrets", {"key": "KEY", "value": "newer"}), ("DELETE", "/secrets/KEY", None)),
    ("/secrets/KEY", ("DELETE", "/secrets/KEY?env=prd", None), ("POST", "/secrets", {"key": "KEY", "value": "late"})),
    ("/apps/mail/events/send", ("PATCH", "/apps/mail", {"timeout": 5}), ("POST", "/apps/mail/events", EVENT)),
    ("/apps/mail/events/send", ("POST", "/apps/mail/events", EVENT), ("DELETE", "/apps/mail/events/send", None)),
    ("/apps/mail/events", ("DELETE", "/apps/mail/events/send", None), ("PUT", "/apps/mail/events/send", EVENT | {"tag": "send"})),
]  # fmt: skip


@pytest.mark.parametrize(("read", "early", "late"), LATE)
def test_who_read_another_version_than_is_there_changes_nothing(read: str, early: Any, late: Any) -> None:
    etag = call("GET", read)["ETag"]
    assert call(*early).status_code in (200, 201, 204)
    now = call("GET", "/catalog")

    refused = call(*late, match=etag)

    assert (refused.status_code, refused.json()["code"]) == (412, "changed_meanwhile")
    assert (call("GET", "/catalog").json(), call("GET", "/catalog")["ETag"]) == (now.json(), now["ETag"])
    if (again := call("GET", read)).status_code == 200:
        assert again["ETag"] != etag
        assert call(*late, match=again["ETag"]).status_code in (200, 201, 204)


@pytest.mark.parametrize(
    ("method", "path", "body", "read"),
    [
        ("PUT", "/catalog", {"name": "New"}, "/catalog"),
        ("PATCH", "", {"name": "New"}, ""),
        ("POST", "/envs", {"slug": "new"}, "/envs/new"),
        ("PATCH", "/envs/prd", {"name": "New"}, "/envs/prd"),
        ("POST", "/secrets", {"key": "KEY", "value": "newer"}, "/secrets/KEY"),
        ("POST", "/apps/mail/events", EVENT, "/apps/mail/events/new"),
        ("PUT", "/apps/mail/events/send", {"resource": "/new"}, "/apps/mail/events"),
        ("PUT", "/apps/mail/envs/prd", {"base_url": "https://b.example"}, "/apps/mail"),
        ("POST", "/apps", {"tag": "pay"}, "/apps/pay"),
    ],
)
def test_a_write_answers_the_etag_of_what_it_made(method: str, path: str, body: Any, read: str) -> None:
    made = call(method, path, body)
    assert made.status_code in (200, 201)
    assert made["ETag"] == call("GET", read)["ETag"]


def test_a_dry_run_answers_the_etag_by_which_just_that_is_stored_later() -> None:
    before = call("GET", "/catalog")["ETag"]
    dry = call("PUT", "/catalog?dry_run=true", {"name": "New"})
    assert (dry["ETag"], call("GET", "/catalog")["ETag"]) == (before, before)
    stored = call("PUT", "/catalog", {"name": "New"}, match=dry["ETag"])
    assert (stored.status_code, stored["ETag"] == before) == (200, False)
    assert call("PUT", "/catalog", {"name": "Newer"}, match=dry["ETag"]).status_code == 412


def test_a_document_that_changes_nothing_leaves_the_etag() -> None:
    before = call("GET", "/catalog")["ETag"]
    assert call("PUT", "/catalog", CATALOG, match=before)["ETag"] == before


def test_what_is_not_there_matches_no_etag() -> None:
    Product.objects.all().delete()
    for match in ("*", '"of-another-time"'):
        refused = call("PUT", "/catalog", CATALOG, match=match)
        assert (refused.status_code, refused.json()["code"]) == (412, "changed_meanwhile")
    assert not Product.objects.exists()
    dry = call("PUT", "/catalog?dry_run=true", CATALOG)
    assert (dry.status_code, dry.has_header("ETag")) == (200, False)
    assert call("PUT", "/catalog", CATALOG).status_code == 200
    assert call("POST", "/secrets", {"key": "NEW", "value": "newer"}, match="*").status_code == 412
    assert call("POST", "/secrets", {"key": "KEY", "value": "newer"}, match="*").status_code == 200


def test_a_product_that_was_removed_and_made_again_is_another_version() -> None:
    before = call("GET", "/catalog")["ETag"]
    assert call("DELETE", "").status_code == 204
    assert call("PUT", "/catalog", CATALOG)["ETag"] != before


def test_one_environment_or_secret_is_shown_to_who_sees_it() -> None:
    product = Product.objects.get(tag="shop")
    dev = Environment.objects.get(product=product, slug="dev")
    limited = keys.create(name="d", product=product, scopes=[scopes.CATALOG_READ], environments=[dev]).text
    assert call("GET", "/envs/prd").json()["slug"] == "prd"
    assert call("GET", "/envs/dev", key=limited).status_code == 200
    unseen = call("GET", "/envs/prd", key=limited)
    assert (unseen.status_code, unseen.json()["code"]) == (404, "env_not_found")
    assert call("GET", "/secrets/KEY").json() == {"key": "KEY", "value": {"set": True}, "envs": {"prd": {"set": True}}}
    assert call("GET", "/secrets/KEY", key=limited).json() == {"key": "KEY", "value": {"set": True}}
    missing = call("GET", "/secrets/NOPE")
    assert (missing.status_code, missing.json()["code"]) == (404, "secret_not_found")
