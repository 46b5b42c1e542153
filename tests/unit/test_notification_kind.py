"""Notifications in a catalog document: what is accepted, what is secret, and how each mistake is told."""

from __future__ import annotations

from typing import Any

import pytest

from core.errors import Invalid
from executors.catalog.kinds import ShapedKind, get
from executors.catalog.reading import Problems

SMTP = {"provider": "smtp", "smtp": {"host": "mail.example", "port": "2525", "sender_email": "noreply@example.com"}}
ACCOUNT = {"project_id": "p", "client_email": "c@p.example", "private_key": "k"}
MAIL = {"subject": "Hello {{name}}", "template": "<p>{{day}}</p>"}


def written(env: Any = None, *events: Any) -> dict[str, Any]:
    return {"tag": "news", "envs": {"prd": {"emails": SMTP} if env is None else env}, "events": list(events)}


def problems(document: Any) -> dict[str, str]:
    found = Problems()
    kind = get("notification")
    assert isinstance(kind, ShapedKind)
    kind.read(document, "notifications.0", found)
    return {error.field.removeprefix("notifications.0."): error.code for error in found.errors}


def test_the_design_example_is_read() -> None:
    env = {
        "emails": {"provider": "smtp", "smtp": {"host": "127.0.0.1", "port": 2525, "sender_email": "noreply@example.com"}},
        "sms": {
            "provider": "twilio",
            "twilio": {"accountSid": "AC1", "authToken": "$Secret{K}", "sender": "+100", "base_url": "http://127.0.0.1:9000"},
        },
        "push_notifications": {"type": "FIREBASE", "credentials": {"project_id": "p", "client_email": "c", "private_key": "k"}},
        "callbacks": {"url": "http://127.0.0.1:9000/callback/:kind", "method": "POST"},
    }  # fmt: skip
    message = {
        "tag": "news:send_reminder", "email": MAIL, "sms": "Due {{day}}",
        "push_notification": {"title": "Hi {{name}}", "body": "Due {{day}}", "data": {"kind": "reminder"}},
        "callback": {"body": {"who": "{{name}}"}},
    }  # fmt: skip

    entry = get("notification").read(written(env, message), "notifications.0", found := Problems())

    assert found.errors == []
    assert entry is not None
    [connection] = entry.connections
    assert dict(connection.secrets) == {"push_notifications.credentials.private_key": "k"}
    assert connection.settings["sms"]["twilio"]["authToken"] == "$Secret{K}"
    assert [event.tag for event in entry.events] == ["send_reminder"]


@pytest.mark.parametrize(
    ("provider", "block", "secret"),
    [
        ("smtp", {"host": "h", "sender_email": "a@b.c", "auth": {"user": "u", "pass": "p-word"}}, "emails.smtp.auth.pass"),
        ("sendgrid", {"apiKey": "k", "sender_email": "a@b.c"}, "emails.sendgrid.apiKey"),
        ("mailgun", {"api_key": "k", "domain": "d.example", "sender_email": "a@b.c", "region": "EU"}, "emails.mailgun.apiKey"),
        ("postmark", {"serverToken": "k", "sender_email": "a@b.c"}, "emails.postmark.serverToken"),
        ("brevo", {"apiKey": "k", "sender_email": "a@b.c", "sender_name": "B"}, "emails.brevo.apiKey"),
        ("twilio", {"accountSid": "a", "authToken": "k", "sender": "s"}, "sms.twilio.authToken"),
        ("plivo", {"authId": "a", "authToken": "k", "sender": "s"}, "sms.plivo.authToken"),
        ("vonage", {"apiKey": "a", "apiSecret": "k", "sender": "s"}, "sms.nexmo.apiSecret"),
    ],
)  # fmt: skip
def test_each_provider_is_read_and_its_secret_is_sealed(provider: str, block: dict[str, Any], secret: str) -> None:
    channel = secret.partition(".")[0]

    entry = get("notification").read(
        written({channel: {"provider": provider, provider: block}}), "n", found := Problems()
    )

    assert found.errors == []
    assert entry is not None
    assert list(entry.connections[0].secrets) == [secret]


@pytest.mark.parametrize(
    ("env", "expected"),
    [
        ({}, {"envs.prd": "required"}),
        ({"email": SMTP}, {"envs.prd.email": "unknown_field", "envs.prd": "required"}),
        ({"emails": {"provider": "smpt", "smtp": SMTP["smtp"]}}, {"envs.prd.emails.provider": "invalid"}),
        ({"emails": {"provider": "brevo", "smtp": SMTP["smtp"]}}, {"envs.prd.emails.brevo": "required"}),
        ({"emails": {"provider": "smtp", "smtp": {"host": "h", "sender_email": "nobody"}}}, {"envs.prd.emails.smtp.sender_email": "invalid"}),
        ({"emails": {"provider": "smtp", "smtp": {"host": "h", "port": 0, "sender_email": "a@b.c"}}}, {"envs.prd.emails.smtp.port": "invalid"}),
        ({"push_notifications": {"type": "FIREBASE"}}, {f"envs.prd.push_notifications.credentials.{name}": "required" for name in ACCOUNT}),
        ({"push_notifications": {"type": "APNS"}}, {"envs.prd.push_notifications.type": "invalid"}),
        ({"callbacks": {"url": "ftp://x"}}, {"envs.prd.callbacks.url": "invalid"}),
        ({"callbacks": {"url": "https://x.example", "auth": {"headers": {"Idempotency-Key": "1"}}}}, {"envs.prd.callbacks.auth.headers.Idempotency-Key": "invalid"}),
    ],
)  # fmt: skip
def test_a_wrong_environment_is_told_by_its_field(env: Any, expected: dict[str, str]) -> None:
    assert problems(written(env)) == expected


@pytest.mark.parametrize(
    ("event", "expected"),
    [
        ({}, {"events.0": "required"}), ({"email": {"subject": "s"}}, {"events.0.email.template": "required"}),
        ({"sms": ""}, {"events.0.sms": "required"}), ({"push_notification": {}}, {"events.0.push_notification": "required"}),
        ({"sms": "Pay $Secret{K}"}, {"events.0.sms": "expression_unsupported"}),
        ({"sms": "ok", "callback": {"body": {"at": "$Now()"}}}, {"events.0.callback": "expression_unsupported"}),
        ({"callback": {"headers": {"a b": "x"}}}, {"events.0.callback.headers": "invalid"}),
        ({"sms": "s", "fax": "f"}, {"events.0.fax": "unknown_field"}),
        ({"sms": "x" * 2000}, {"events.0.sms": "invalid", "events.0": "required"}),
    ],
)  # fmt: skip
def test_a_message_that_can_never_be_sent_is_refused(event: dict[str, Any], expected: dict[str, str]) -> None:
    assert problems(written(None, {"tag": "m", **event})) == expected


def test_a_stored_key_is_kept_by_its_mark() -> None:
    credentials = {**ACCOUNT, "private_key": {"set": True}}

    assert problems(written({"push_notifications": {"type": "FIREBASE", "credentials": credentials}})) == {}


def test_all_that_is_wrong_is_told_at_once() -> None:
    found = Problems()
    get("notification").read(written({"emails": {}}, {"tag": "m", "email": {}}), "n", found)

    with pytest.raises(Invalid, match="and 2 more"):
        found.raise_if_any()
