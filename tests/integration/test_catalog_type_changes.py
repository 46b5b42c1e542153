"""A component whose settings change, and what is stored with it: connections and events that no longer fit are told."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from pytest_django import Settings

from core.shortcache import forget_everything
from executors.catalog import document
from executors.catalog.models import Component
from executors.catalog.schema import read_document
from tests.integration.api import OPERATOR, Api

pytestmark = [pytest.mark.django_db, pytest.mark.urls("tests.integration.api")]

BASE = "/v1/products/shop"
URL = "postgresql://u:hush-password@db.example/orders"
STORED: dict[str, Any] = {
    "envs": [{"slug": "prd"}],
    "databases": [
        {
            "tag": "orders",
            "type": "postgresql",
            "envs": {"prd": {"connection_url": URL}},
            "events": [
                {"tag": "all", "operation": "query", "table": "t", "template": {"where": {"n": {"$overlaps": [1]}}}}
            ],
        }
    ],
    "brokers": [
        {
            "tag": "bus",
            "type": "redis",
            "envs": {"prd": {"url": "redis://127.0.0.1:9/0"}},
            "topics": [{"tag": "t", "max_length": 9}],
        }
    ],
    "storage": [
        {
            "tag": "files",
            "type": "aws",
            "envs": {
                "prd": {
                    "bucketName": "b-1",
                    "region": "eu-west-1",
                    "accessKeyId": "AKIAIOSFODNN7EXAMPLE",
                    "secretAccessKey": "hush-secret-key",
                }
            },
        }
    ],
}


AZURE = [
    *((f"envs.prd.{name}", "unknown_field") for name in ("bucket", "region", "access_key_id", "secret_access_key")),
    *((f"envs.prd.{name}", "required") for name in ("container", "connection_string")),
]


@pytest.fixture
def api(settings: Settings) -> Iterator[Api]:
    settings.OPERATOR_API_KEY = OPERATOR
    forget_everything()
    document.store("shop", read_document(STORED, "shop"))
    yield Api()
    forget_everything()


def places(answer: Any) -> list[tuple[str, str]]:
    assert answer.status_code == 400, answer.content
    return [(error["field"], error["code"]) for error in answer.json()["errors"]]


@pytest.mark.parametrize(
    ("path", "type", "told"),
    [
        ("databases/orders", None, [("envs.prd", "required")]),
        ("databases/orders", "mysql", [("envs.prd.connection_url", "invalid")]),
        ("brokers/bus", "kafka", [("envs.prd.brokers", "invalid"), ("events.t.max_length", "unknown_field")]),
        ("storage/files", "azure", AZURE),
    ],
)
def test_a_type_that_does_not_fit_what_is_stored_with_it_is_refused(
    api: Api, path: str, type: str | None, told: list[tuple[str, str]]
) -> None:
    before = api.get(f"{BASE}/{path}").json()

    answer = api("PATCH", f"{BASE}/{path}", {"type": type})

    assert places(answer) == told
    assert "hush" not in answer.content.decode()
    assert api.get(f"{BASE}/{path}").json() == before


def test_a_document_that_leaves_connections_unnamed_is_held_to_them_but_where_they_are_pruned(api: Api) -> None:
    retyped = {"brokers": [{"tag": "bus", "type": "kafka"}]}

    assert ("brokers.0.envs.prd.brokers", "invalid") in places(api("PUT", f"{BASE}/catalog", retyped))
    pruned = api("PUT", f"{BASE}/catalog?prune=true", {"envs": [{"slug": "prd"}], **retyped})

    assert pruned.status_code == 200, pruned.json()
    assert "brokers.bus.envs.prd" in pruned.json()["removed"]


def test_a_type_is_changed_with_the_connections_and_events_that_go_with_it(api: Api) -> None:
    changed: dict[str, Any] = {"type": "mysql", "envs": {"prd": {"connection_url": "mysql://u:p@db.example/orders"}}}

    answer = api("PATCH", f"{BASE}/databases/orders", changed)

    assert answer.status_code == 400  # an event is of PostgreSQL
    changed["events"] = [{"tag": "all", "operation": "query", "table": "t", "template": {"where": {"n": 1}}}]
    assert api("PATCH", f"{BASE}/databases/orders", changed).json()["type"] == "mysql"


def test_what_did_not_fit_before_does_not_hinder_another_change(api: Api) -> None:
    Component.objects.filter(tag="bus").update(settings={"type": "kafka"})

    assert api("PATCH", f"{BASE}/brokers/bus", {"description": "of all"}).status_code == 200


def test_a_check_of_what_it_does_not_understand_is_told_in_a_sentence(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    Component.objects.filter(tag="bus").update(settings={"type": "kafka"})
    Component.objects.filter(tag="orders").update(settings={})

    for path in ("brokers/bus", "databases/orders"):
        answer = api.get(f"{BASE}/{path}/check?env=prd")

        assert answer.status_code == 200, answer.content
        told = answer.json()
        assert (told["ok"], told["code"]) == (False, "INTERNAL_ERROR")
        assert told["detail"].startswith("this connection could not be checked: ")
