"""Webhooks in the client: signatures against the official library of Standard Webhooks, and the calls of the contract."""

from __future__ import annotations

import base64
import json
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest
import standardwebhooks
from hypothesis import given, settings
from hypothesis import strategies as st

from ductape import InvalidArgument, WebhookVerificationError, verify_webhook
from tests.unit.client_harness import Surface, in_order

SECRET = "whsec_" + base64.b64encode(b"a key of thirty-two bytes, just so").decode()
OTHER = "whsec_" + base64.b64encode(b"another key").decode()
NOW = datetime.now(UTC)
BODY = json.dumps({
    "event": "job.failed", "type": "job.failed", "timestamp": 1_795_557_206_555, "of_next_year": 1,
    "job": {
        "id": "job_1", "status": "failed", "namespace": "actions", "product": "shop", "env": "prd",
        "scheduled_at": 1_795_557_206_000, "execution_count": 2, "error": "ü", "number": 2, "seq": 9, "labels": {"a": "b"},
    },
}, ensure_ascii=False)  # fmt: skip


def signed(body: str = BODY, secret: str = SECRET, at: datetime = NOW, message_id: str = "msg_1") -> dict[str, str]:
    signature = standardwebhooks.Webhook(secret).sign(message_id, at, body)
    return {"webhook-id": message_id, "webhook-timestamp": str(int(at.timestamp())), "webhook-signature": signature}


def test_what_the_official_library_has_signed_is_taken_and_read() -> None:
    event = verify_webhook(BODY.encode(), signed(), SECRET)

    assert (event.id, event.event, event.timestamp) == (
        "msg_1",
        "job.failed",
        datetime(2026, 11, 24, 21, 53, 26, 555_000, UTC),
    )
    assert (event.job.id, event.job.error, event.job.number, event.job.labels) == ("job_1", "ü", 2, {"a": "b"})
    assert event.raw["of_next_year"] == 1
    assert verify_webhook(BODY, signed(), SECRET) == event  # text is its UTF-8


@settings(max_examples=100, deadline=None)
@given(
    st.binary(min_size=1, max_size=80),
    st.text(),
    st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1),
)
def test_both_libraries_take_and_refuse_the_same(key: bytes, more: str, message_id: str) -> None:
    secret = "whsec_" + base64.b64encode(key).decode()
    body = json.dumps({**json.loads(BODY), "more": more}, ensure_ascii=False).encode(errors="replace").decode()
    headers = signed(body, secret, message_id=message_id)

    assert verify_webhook(body, headers, secret).id == message_id
    standardwebhooks.Webhook(secret).verify(body, headers)
    for wrong in (
        {**headers, "webhook-id": f"{message_id}x"},
        {**headers, "webhook-timestamp": str(int(NOW.timestamp()) + 1)},
    ):
        with pytest.raises(WebhookVerificationError):
            verify_webhook(body, wrong, secret)
        with pytest.raises(standardwebhooks.WebhookVerificationError):
            standardwebhooks.Webhook(secret).verify(body, wrong)


def test_a_secret_that_was_given_as_text_is_its_utf8_in_either_spelling() -> None:
    spelled = "whsec_" + base64.b64encode("webhook-secret-key ü".encode()).decode()
    headers = signed(secret=spelled)

    assert verify_webhook(BODY, headers, "webhook-secret-key ü") == verify_webhook(BODY, headers, spelled)


def test_one_good_signature_among_several_is_enough() -> None:
    """While a secret is changed, the old one signs, too; other versions count for nothing."""
    old, new = signed(secret=OTHER)["webhook-signature"], signed()["webhook-signature"]
    headers = {**signed(), "webhook-signature": f"v1a,{new[3:]} v1,no/base64! v1, x {old} {new}"}

    assert verify_webhook(BODY, headers, SECRET).id == "msg_1"
    assert verify_webhook(BODY, headers, OTHER).id == "msg_1"
    with pytest.raises(WebhookVerificationError):
        verify_webhook(BODY, {**headers, "webhook-signature": f"v1a,{new[3:]} v2,{new[3:]}"}, SECRET)


@pytest.mark.parametrize(
    ("body", "changes", "secret"),
    [
        (BODY.replace("job_1", "job_2"), {}, SECRET),
        (BODY + " ", {}, SECRET),
        (json.dumps(json.loads(BODY)), {}, SECRET),  # read and written again
        (BODY, {}, OTHER),
        (BODY, {"webhook-id": "msg_2"}, SECRET),
        (BODY, {"webhook-id": ""}, SECRET),
        (BODY, {"webhook-id": "msg_1\ud800"}, SECRET),
        (BODY + "\ud800", {}, SECRET),
        (BODY, {"webhook-timestamp": ""}, SECRET),
        (BODY, {"webhook-timestamp": "soon"}, SECRET),
        (BODY, {"webhook-timestamp": "-1"}, SECRET),
        (BODY, {"webhook-timestamp": "١٢"}, SECRET),
        (BODY, {"webhook-timestamp": "9" * 400}, SECRET),
        (BODY, {"webhook-timestamp": "9" * 5_000}, SECRET),
        (BODY, {"webhook-signature": ""}, SECRET),
        (BODY, {"webhook-signature": "v1,"}, SECRET),
        (BODY, {"webhook-signature": "v1"}, SECRET),
    ],
)
def test_whatever_was_changed_is_refused(body: str, changes: dict[str, str], secret: str) -> None:
    with pytest.raises(WebhookVerificationError):
        verify_webhook(body, {**signed(), **changes}, secret)


@pytest.mark.parametrize("header", ["webhook-id", "webhook-timestamp", "webhook-signature"])
def test_a_header_that_is_missing_is_named(header: str) -> None:
    headers = signed()
    del headers[header]

    with pytest.raises(WebhookVerificationError, match=header):
        verify_webhook(BODY, headers, SECRET)


def test_headers_are_found_however_they_are_written() -> None:
    headers = {name.title(): value for name, value in signed().items()}

    assert verify_webhook(BODY, headers, SECRET).id == "msg_1"
    assert verify_webhook(BODY, httpx.Headers(headers), SECRET).id == "msg_1"


@pytest.mark.parametrize(("seconds", "taken"), [(-300, True), (300, True), (-301, False), (301, False)])
def test_a_signature_counts_for_five_minutes_either_way(seconds: int, taken: bool) -> None:
    at = int(NOW.timestamp())
    if taken:
        assert verify_webhook(BODY, signed(), SECRET, now=at + seconds).id == "msg_1"
    else:
        with pytest.raises(WebhookVerificationError, match="301 s"):
            verify_webhook(BODY, signed(), SECRET, now=at + seconds)
        assert verify_webhook(BODY, signed(), SECRET, tolerance=400, now=at + seconds).id == "msg_1"


@pytest.mark.parametrize("body", ["[]", "{}", "not JSON", '{"event": "job.failed", "timestamp": "x", "job": {}}'])
def test_what_is_signed_and_no_event_is_refused(body: str) -> None:
    with pytest.raises(WebhookVerificationError, match="is not an event"):
        verify_webhook(body, signed(body), SECRET)


@pytest.mark.parametrize("secret", ["", "whsec_", "whsec_not base64!", None])
def test_a_secret_that_is_none_is_an_argument(secret: Any) -> None:
    with pytest.raises(InvalidArgument, match=r"^secret: "):
        verify_webhook(BODY, signed(), secret)


def test_a_body_that_was_read_already_is_an_argument() -> None:
    body: Any = json.loads(BODY)
    with pytest.raises(InvalidArgument, match=r"^payload: "):
        verify_webhook(body, signed(), SECRET)


WEBHOOK: dict[str, Any] = {
    "id": "wh_1", "url": "https://a.test/", "events": ["*"], "product": None, "env": None, "namespaces": [], "labels": {},
    "description": "", "enabled": True, "consecutive_failures": 0, "created_at": 5, "updated_at": 6, "secret": SECRET,
}  # fmt: skip
DELIVERY = {
    "id": "d_1", "message_id": "msg_1", "event": "job.failed", "job_id": "job_1", "seq": 3, "created_at": 4,
    "attempts": [{
        "at": 5, "duration_ms": 7, "response_status": 200, "response_body": "ok", "error": None, "address": "192.0.2.1",
    }],
}  # fmt: skip


def test_the_calls_are_those_of_the_contract(monkeypatch: pytest.MonkeyPatch) -> None:
    surface = Surface("sync", monkeypatch)
    told = {
        **WEBHOOK,
        **DELIVERY,
        "webhooks": [WEBHOOK],
        "limit": 1,
        "next_cursor": None,
        "count": 2,
        "status": "failed",
    }
    answer = httpx.Response(200, json={**told, "deliveries": [{**DELIVERY, "status": "delivered"}]})
    client = surface.client(in_order(answer))

    client.jobs.set_webhook(url="https://a.test/", events=["job.completed", "job.failed"], secret="webhook-secret-key")
    client.webhooks.create(url="https://a.test/", events="*", namespaces=["actions"], labels={"a": "b"})
    (hook,) = client.webhooks.list(product="shop")
    client.webhooks.get("wh_1")
    client.webhooks.update("wh_1", enabled=False)
    client.webhooks.update("wh_1", env="", namespaces=[], labels={})
    client.webhooks.rotate_secret("wh_1")
    client.webhooks.test("wh_1", event="job.failed")
    page = client.webhooks.deliveries("wh_1", status=["failed", "pending"], event="job.failed", from_=5)
    client.webhooks.delivery("wh_1", "d_1")
    client.webhooks.replay_delivery("wh_1", "d_1")
    count = client.webhooks.replay("wh_1", from_=5, to=6, status="failed")
    client.webhooks.replay("wh_1", from_=5, status=["missing"])
    client.webhooks.delete("wh_1")

    assert (hook.id, hook.events, hook.secret, hook.product) == ("wh_1", ("*",), SECRET, None)
    assert [each.attempts[0].response_status for each in page] == [200]
    assert (page.next_cursor, count) == (None, 2)
    assert [
        (request.method, request.url.raw_path.decode(), json.loads(request.content) if request.content else None)
        for request in surface.requests
    ] == [
        ("PUT", "/v1/jobs/webhook",
         {"url": "https://a.test/", "events": ["job.completed", "job.failed"], "secret": "webhook-secret-key"}),
        ("POST", "/v1/webhooks",
         {"url": "https://a.test/", "events": ["*"], "namespaces": ["actions"], "labels": {"a": "b"}}),
        ("GET", "/v1/webhooks?product=shop", None),
        ("GET", "/v1/webhooks/wh_1", None),
        ("PATCH", "/v1/webhooks/wh_1", {"enabled": False}),
        ("PATCH", "/v1/webhooks/wh_1", {"env": "", "namespaces": [], "labels": {}}),
        ("POST", "/v1/webhooks/wh_1/rotate-secret", {}),
        ("POST", "/v1/webhooks/wh_1/test", {"event": "job.failed"}),
        ("GET", "/v1/webhooks/wh_1/deliveries?status=failed%2Cpending&event=job.failed&from=5", None),
        ("GET", "/v1/webhooks/wh_1/deliveries/d_1", None),
        ("POST", "/v1/webhooks/wh_1/deliveries/d_1/replay", None),
        ("POST", "/v1/webhooks/wh_1/replay", {"to": 6, "status": ["failed"], "from": 5}),
        ("POST", "/v1/webhooks/wh_1/replay", {"status": ["missing"], "from": 5}),
        ("DELETE", "/v1/webhooks/wh_1", None),
    ]  # fmt: skip
