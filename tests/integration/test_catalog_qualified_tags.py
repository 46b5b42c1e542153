"""An event's tag may be written as `component:event`, in all kinds: in documents, and one event at a time."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from pytest_django import Settings

from core.shortcache import forget_everything
from executors.catalog import document
from executors.catalog.schema import read_document
from tests.integration.api import OPERATOR, Api, told

pytestmark = [pytest.mark.django_db, pytest.mark.urls("tests.integration.api")]

BASE = "/v1/products/shop"
QUERY: dict[str, Any] = {"operation": "query", "table": "t"}
CALL: dict[str, Any] = {"method": "GET", "resource": "/x"}


@pytest.fixture
def api(settings: Settings) -> Iterator[Api]:
    settings.OPERATOR_API_KEY = OPERATOR
    forget_everything()
    stored = {
        "apps": [{"tag": "a", "events": [{"tag": "a:q", **CALL}]}],
        "databases": [{"tag": "a", "type": "postgresql", "events": [{"tag": "a:q", **QUERY}]}],
    }
    document.store("shop", read_document(stored, "shop"))
    yield Api()
    forget_everything()


@pytest.mark.parametrize(("path", "event"), [("apps/a", CALL), ("databases/a", QUERY)])
def test_a_qualified_tag_is_the_plain_one(api: Api, path: str, event: dict[str, Any]) -> None:
    other = {**event, "description": "another"}
    before = api.get(f"{BASE}/{path}/events").json()
    assert [saved["tag"] for saved in before["events"]] == ["q"]

    assert told(api.post(f"{BASE}/{path}/events", {"tag": "a:q", **other})) == (409, "exists")
    assert api.get(f"{BASE}/{path}/events").json() == before

    made = api.post(f"{BASE}/{path}/events", {"tag": "a:r", **event})
    assert (made.status_code, made.json()["tag"]) == (201, "r")
    put = api("PUT", f"{BASE}/{path}/events/q", {"tag": "a:q", **other})
    assert (put.status_code, put.json()["tag"], put.json()["description"]) == (200, "q", "another")
    assert [saved["tag"] for saved in api.get(f"{BASE}/{path}/events").json()["events"]] == ["q", "r"]


def test_an_event_of_another_component_is_refused(api: Api) -> None:
    assert api.post(f"{BASE}/apps/a/events", {"tag": "b:q", **CALL}).status_code == 400
    assert api("PUT", f"{BASE}/apps/a/events/q", {"tag": "b:q", **CALL}).status_code == 400
