"""The catalog that the documentation shows: it is taken as it is, and each of its events can be dispatched."""

from __future__ import annotations

from typing import Any

import pytest
import yaml
from pytest_django import Settings

from tests.integration.api import OPERATOR, Api
from tests.servers.local import ROOT

pytestmark = pytest.mark.django_db

CATALOG = "/v1/products/my-app/catalog"
EVENTS: list[tuple[str, dict[str, Any]]] = [
    ("actions", {"app": "email-service", "event": "send_welcome_email", "input": {"body": {"userId": "user_123", "email": "john@example.com"}}}),
    ("notifications", {"notification": "user-notifications", "event": "send_reminder", "input": {"email": {"recipients": ["user@example.com"]}}}),
    ("databases", {"database": "inventory-db", "operation": "deleteMany", "input": {"filter": {"createdAt": {"$lt": '$DateAdd($Now(), -30, "days")'}}}}),
    ("databases/action", {"database": "inventory-db", "event": "sync_inventory", "input": {"data": {"rows": [{"sku": "a"}]}}}),
    ("graphs", {"graph": "session-graph", "operation": "deleteNodes", "input": {"filter": {"expired": True}}}),
    ("graphs/action", {"graph": "session-graph", "event": "expire", "input": {}}),
    ("storage", {"storage": "reports", "event": "upload", "input": {"fileName": "a.json", "content": {"a": 1}}}),
    ("storage", {"storage": "reports", "event": "nightly_dump", "input": {"day": "monday", "content": {"a": 1}}}),
    ("events", {"broker": "main-broker", "event": "check_promo_status", "input": {"message": {"check": True}}}),
    ("functions", {"function": "nightly-invoice", "input": {"kwargs": {"day": "monday"}}}),
    ("functions", {"function": "resize", "input": {"body": {"width": 100}}}),
    ("features", {"tag": "generate_daily_report", "input": {"day": "monday", "email": "john@example.com"}}),
]  # fmt: skip


@pytest.fixture(autouse=True)
def _here(settings: Settings) -> None:
    settings.OPERATOR_API_KEY = OPERATOR
    settings.ROOT_URLCONF = "ductape_jobs.urls"


def test_the_catalog_of_the_docs_is_stored_and_each_of_its_events_dispatched() -> None:
    written = yaml.safe_load((ROOT / "docs" / "catalog-example.yaml").read_text())

    stored = Api()("PUT", CATALOG, written)
    again = Api()("PUT", CATALOG, written)
    answers = [Api().post(f"/v1/{path}/dispatch", {"product": "my-app", "env": "prd", **body}) for path, body in EVENTS]

    assert stored.status_code == 200, stored.json()
    assert (again.json()["created"], again.json()["updated"]) == ([], [])
    refused = [
        (body, answer.json()) for (_, body), answer in zip(EVENTS, answers, strict=True) if answer.status_code != 201
    ]
    assert refused == []
