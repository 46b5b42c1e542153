"""The part of the tour of every operation that is about webhooks (`test_openapi`)."""

from __future__ import annotations

from typing import Any

from tests.integration.webhook_world import NEW, URL, delivered, row

_ALL = "/v1/webhooks"
_ONE = _ALL + "/{webhook_id}"
_DELIVERY = _ONE + "/deliveries/{delivery_id}"


def tour(go: Any) -> None:
    """Each call once as it should be, and once as it should not."""
    made = go("POST", _ALL, 201, {**NEW, "product": "shop", "env": "prd", "labels": {"team": "a"}})
    at = {"webhook_id": made["id"]}
    go("POST", _ALL, 400, {**NEW, "url": "ftp://example.com"})
    go("PUT", "/v1/jobs/webhook", 201, {"url": f"{URL}/2", "events": ["*"], "secret": "webhook-secret-key"})
    go("PUT", "/v1/jobs/webhook", 200, {"url": f"{URL}/2"})
    go("GET", _ALL, 200)
    go("GET", _ONE, 200, **at)
    go("GET", _ONE, 404, webhook_id="wh_none")
    go("PATCH", _ONE, 200, {"description": "d"}, **at)
    for _ in range(5):
        go("POST", _ONE + "/rotate-secret", 200, {}, **at)
    go("POST", _ONE + "/rotate-secret", 409, {}, **at)
    go("PATCH", _ONE, 409, {"secret": "webhook-secret-key"}, **at)
    go("PUT", "/v1/jobs/webhook", 409, {"url": URL, "product": "shop", "env": "prd", "secret": "webhook-secret-key"})
    go("POST", _ONE + "/test", 202, {}, **at)
    failed = str(delivered(row(made), "failed"))
    go("GET", _ONE + "/deliveries", 200, **at)
    go("GET", _ONE + "/deliveries", 200, query="?limit=1", **at)
    go("GET", _ONE + "/stats", 200, **at)
    go("GET", _DELIVERY, 200, delivery_id=failed, **at)
    go("GET", _DELIVERY, 404, delivery_id="dlv_none", **at)
    go("POST", _DELIVERY + "/replay", 200, delivery_id=failed, **at)
    go("POST", _DELIVERY + "/replay", 409, delivery_id=failed, **at)
    go("POST", _ONE + "/replay", 200, {"from": 0, "status": ["failed"]}, **at)
    go("PATCH", _ONE, 200, {"enabled": False}, **at)
    go("POST", _ONE + "/replay", 409, {"from": 0}, **at)
    go("DELETE", _ONE, 204, **at)
