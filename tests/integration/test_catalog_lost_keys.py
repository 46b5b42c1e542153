"""A sealed value that no key opens any more: it counts as not set, can be set again, and hinders no other component."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from pytest_django import Settings

from core.shortcache import forget_everything
from executors.catalog import document
from executors.catalog.models import Connection
from executors.catalog.schema import read_document
from tests.integration.api import OPERATOR, Api

pytestmark = [pytest.mark.django_db, pytest.mark.urls("tests.integration.api")]

BASE = "/v1/products/shop"
URL = {"connection_url": "postgresql://u:p@db.example/a"}
SET = {"connection_url": {"set": True}}


@pytest.fixture
def api(settings: Settings) -> Iterator[Api]:
    settings.OPERATOR_API_KEY = OPERATOR
    forget_everything()
    databases = [{"tag": tag, "type": "postgresql", "envs": {"prd": URL}} for tag in ("a", "b")]
    document.store("shop", read_document({"envs": [{"slug": "prd"}], "databases": databases}, "shop"))
    Connection.objects.filter(component__tag="b").update(secrets="lost.sealed-under-a-key-that-is-gone")
    yield Api()
    forget_everything()


def test_it_hinders_no_other_component(api: Api) -> None:
    assert api.get(f"{BASE}/databases/a").json()["envs"] == {"prd": SET}
    changed = api("PATCH", f"{BASE}/databases/a", {"description": "of all"})
    made = api.post(f"{BASE}/databases", {"tag": "c", "type": "sqlite"})

    assert (changed.status_code, changed.json()["description"]) == (200, "of all")
    assert (made.status_code, made.json()["tag"]) == (201, "c")
    assert api("PUT", f"{BASE}/databases/a/envs/prd", URL).json() == SET


def test_it_is_shown_as_not_set_until_it_is_set_again(api: Api) -> None:
    listed: dict[str, Any] = {each["tag"]: each["envs"] for each in api.get(f"{BASE}/databases").json()["databases"]}
    assert listed == {"a": {"prd": SET}, "b": {"prd": {}}}
    assert api.get(f"{BASE}/databases/b").json()["envs"] == {"prd": {}}

    described = api("PATCH", f"{BASE}/databases/b", {"description": "still to be set"})
    assert (described.status_code, described.json()["envs"]) == (200, {"prd": {}})
    assert api("PUT", f"{BASE}/databases/b/envs/prd", URL).json() == SET


def test_the_document_as_a_whole_is_not_exported_without_it(api: Api) -> None:
    answer = api.get(f"{BASE}/catalog")

    assert (answer.status_code, answer.json()["code"]) == (409, "secret_unreadable")
