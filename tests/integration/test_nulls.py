"""A field that is null counts as left out, or taken away; the description says of which fields that holds."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import pytest
from pytest_django import Settings

from core.shortcache import forget_everything
from jobs import wakeup
from tests.integration.api import OPERATOR, Api
from tests.integration.tour import CATALOG, SEND
from tests.integration.webhook_world import delivered, hook, row

pytestmark = pytest.mark.django_db

# What calls need besides the field that is null, so that this field is looked at: path → body
BESIDE: dict[str, dict[str, Any]] = {
    "/v1/keys": {"name": "k", "product": "shop", "scopes": ["jobs:read"]},
    "/v1/actions/dispatch": SEND,
    "/v1/schedules/preview": {"schedule": {"every": 60_000}},
    "/v1/jobs/reschedule-many": {"product": "shop", "schedule": {"every": 60_000}},
    "/v1/jobs/dispatch-many": {"jobs": [{"namespace": "actions", **SEND}]},
    **{f"/v1/jobs/{verb}-many": {"product": "shop"} for verb in ("cancel", "pause", "resume", "retry", "delete")},
    "/v1/webhooks": {"url": "https://example.com/null", "events": ["*"]},
    "/v1/jobs/webhook": {"url": "https://example.com/null"},
    "/v1/webhooks/{webhook_id}/replay": {"from": 0},
    "/v1/products/{product}/sessions/{tag}/start": {"env": "prd", "data": {"id": "u_1"}},
    "/v1/products/{product}/sessions/{tag}/revoke": {"env": "prd", "identifier": "u_1"},
}
SESSION = {"tag": "main", "selector": "$Session{id}", "expiry": 7, "period": "days", "schema": {"id": "u_1"}}


@pytest.fixture(autouse=True)
def _here(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    settings.OPERATOR_API_KEY = OPERATOR
    monkeypatch.setattr(wakeup, "wake", lambda queues: None)
    forget_everything()
    yield
    forget_everything()


def test_null_is_taken_exactly_where_it_is_described(described: dict[str, Any]) -> None:
    Api()("PUT", "/v1/products/shop/catalog", CATALOG)
    Api().post("/v1/products/shop/sessions", SESSION)
    Api().post("/v1/products/shop/caches", {"tag": "main", "expiry": 60_000})
    job_id = Api().post("/v1/actions/dispatch", {**SEND, "schedule": {"every": 3_600_000}}).json()["job_id"]
    sent = delivered(row(hook(Api())), "failed")
    there = {
        "product": "shop", "env": "prd", "tag": "main", "event": "send", "job_id": job_id, "operation_id": "op_x",
        "webhook_id": str(sent.endpoint), "delivery_id": str(sent),
    }  # fmt: skip

    asked, differ = 0, []
    for path, item in described["paths"].items():
        for method, operation in item.items():
            for field, schema in _optional_fields(described, operation):
                body = {**BESIDE.get(path, {}), field: None}
                answer = Api()(method.upper(), path.format(**there), body)
                assert answer.status_code < 500, (method, path, body)
                errors = answer.json().get("errors", ()) if answer.status_code == 400 else ()
                # As if it were left out, a field may be asked for; of a change nothing is.
                asked_for = "required" if method != "patch" else ""
                refused = any(each["field"] == field and each["code"] != asked_for for each in errors)
                if refused is _may_be_null(described, schema):
                    differ.append((method, path, field, answer.content[:200]))
                asked += 1
    assert differ == []
    assert asked > 150


def _optional_fields(described: dict[str, Any], operation: Any) -> Iterator[tuple[str, Mapping[str, Any]]]:
    content = operation.get("requestBody", {}).get("content", {}) if isinstance(operation, dict) else {}
    schema = _resolved(described, content.get("application/json", {}).get("schema", {}))
    for name, of_field in schema.get("properties", {}).items():
        if name not in schema.get("required", ()):
            yield name, of_field


def _may_be_null(described: dict[str, Any], schema: Mapping[str, Any]) -> bool:
    schema = _resolved(described, schema)
    kinds = schema.get("type", ())
    if kinds == "null" or (isinstance(kinds, list) and "null" in kinds):
        return True
    return any(_may_be_null(described, each) for each in schema.get("oneOf", ()))


def _resolved(described: dict[str, Any], schema: Mapping[str, Any]) -> Mapping[str, Any]:
    if "$ref" in schema:
        found: Mapping[str, Any] = described["components"]["schemas"][schema["$ref"].rpartition("/")[2]]
        return found
    return schema
