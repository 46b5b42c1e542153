"""Signatures of webhooks, judged by the standard's own library: `standardwebhooks`."""

from __future__ import annotations

import base64
import json
from datetime import UTC, datetime, timedelta

import pytest
from standardwebhooks.webhooks import Webhook, WebhookVerificationError

from webhooks import signing

ID, BODY = "msg_01k9", b'{"event":"job.completed"}'


def headers(secrets: list[str], *, at: datetime | None = None, id: str = ID, body: bytes = BODY) -> dict[str, str]:
    seconds = int((at or datetime.now(tz=UTC)).timestamp())
    return {
        "webhook-id": id,
        "webhook-timestamp": str(seconds),
        "webhook-signature": signing.sign(secrets, id, seconds, body),
    }


@pytest.mark.parametrize("given", [signing.new_secret(), "webhook-secret-key", "schlüssel-mit-umlaut", "x" * 64])
def test_the_standards_library_verifies(given: str) -> None:
    secret = signing.canonical(given)
    assert Webhook(secret).verify(BODY, headers([secret])) == json.loads(BODY)


def test_a_plain_text_signs_as_its_bytes() -> None:
    assert signing.canonical("webhook-secret-key") == "whsec_" + base64.b64encode(b"webhook-secret-key").decode()


def test_a_canonical_secret_stays_as_it_is() -> None:
    secret = signing.new_secret()
    assert signing.canonical(secret) == secret
    assert len(base64.b64decode(secret.removeprefix("whsec_"))) == 32


def test_no_two_made_secrets_are_alike() -> None:
    assert len({signing.new_secret() for _ in range(100)}) == 100


def test_while_two_secrets_sign_either_verifies() -> None:
    new, old = signing.new_secret(), signing.new_secret()
    for secret in (new, old):
        assert Webhook(secret).verify(BODY, headers([new, old])) == json.loads(BODY)


def refused(secret: str, body: bytes, given: dict[str, str]) -> None:
    with pytest.raises(WebhookVerificationError):
        Webhook(secret).verify(body, given)


def test_one_changed_byte_is_noticed() -> None:
    secret = signing.new_secret()
    for position in range(len(BODY)):
        changed = bytes([*BODY[:position], BODY[position] ^ 1, *BODY[position + 1 :]])
        refused(secret, changed, headers([secret]))


def test_another_id_another_time_and_another_secret_are_noticed() -> None:
    secret = signing.new_secret()
    given = headers([secret])
    refused(secret, BODY, {**given, "webhook-id": "msg_other"})
    refused(secret, BODY, {**given, "webhook-timestamp": str(int(given["webhook-timestamp"]) + 1)})
    refused(signing.new_secret(), BODY, given)


@pytest.mark.parametrize("seconds", [-301, 301])
def test_a_signature_out_of_its_time_is_refused(seconds: int) -> None:
    secret = signing.new_secret()
    refused(secret, BODY, headers([secret], at=datetime.now(tz=UTC) + timedelta(seconds=seconds)))


@pytest.mark.parametrize(
    ("given", "why"),
    [
        ("short", "16 to 64 bytes, this one 5"),
        ("x" * 65, "16 to 64 bytes, this one 65"),
        ("whsec_***", "not base 64"),
        ("whsec_" + base64.b64encode(b"short").decode(), "16 to 64 bytes, this one 5"),
        ("", "this one 0"),
    ],
)
def test_what_cannot_be_a_secret_is_told(given: str, why: str) -> None:
    with pytest.raises(signing.BadSecret, match=why):
        signing.canonical(given)
