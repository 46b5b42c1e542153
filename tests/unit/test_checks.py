"""What an installation must not be started with, each by its own mistake."""

from __future__ import annotations

import secrets
from typing import Any

import pytest
from cryptography.fernet import Fernet
from django.core.management.base import CommandError

from ductape_jobs import checks, processes

KEY = Fernet.generate_key().decode()
SAFE: dict[str, Any] = {
    "LOCAL": False,
    "DEBUG": False,
    "SECRET_KEY": secrets.token_hex(32),
    "FIELD_ENCRYPTION_KEYS": [KEY],
    "OPERATOR_API_KEY": secrets.token_hex(32),
    "ALLOWED_HOSTS": ["jobs.example.org"],
    "EGRESS_ALLOW_CIDRS": [],
    "DATABASES": {"default": {"ENGINE": "django.db.backends.postgresql"}},
    "REDIS_GIVEN": True,
    "QUEUES": ["default"],
    "REDIS_URL": "redis://127.0.0.1:6379/0",
    "PORT": 8000,
    "CONCURRENCY": 500,
    "ISOLATED_CONCURRENCY": 2,
    "API_PROCESSES": 2,
    "API_THREADS": 16,
    "API_DRAIN_SECONDS": 25,
    "MOST_WAITING": 8,
    "MOST_STREAMS": 4,
    "RETENTION_DAYS": 90,
}
SQLITE = {"default": {"ENGINE": "django.db.backends.sqlite3"}}


class Settings:
    """As much of Django's settings as the checks read."""

    def __init__(self, **changes: Any) -> None:
        self.__dict__.update(SAFE | changes)


def found(monkeypatch: pytest.MonkeyPatch, **changes: Any) -> list[str | None]:
    monkeypatch.setattr(checks, "settings", Settings(**changes))
    return [message.id for message in checks.configuration()]


def test_a_production_environment_with_everything_given_is_clean(monkeypatch: pytest.MonkeyPatch) -> None:
    assert found(monkeypatch) == []
    assert found(monkeypatch, OPERATOR_API_KEY="") == []
    assert found(monkeypatch, EGRESS_ALLOW_CIDRS=["10.20.0.0/16"]) == []
    assert found(monkeypatch, RETENTION_DAYS=0) == []


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"OPERATOR_API_KEY": "x" * 31}, ["ductape.E001", "ductape.E012"]),
        ({"OPERATOR_API_KEY": "abc" * 20}, ["ductape.E012"]),
        ({"FIELD_ENCRYPTION_KEYS": [KEY, "not-a-key"]}, ["ductape.E002"]),
        ({"EGRESS_ALLOW_CIDRS": ["10.0.0.0/99"]}, ["ductape.E003"]),
        ({"QUEUES": []}, ["ductape.E004"]),
        ({"QUEUES": ["default", " "]}, ["ductape.E004"]),
        ({"CONCURRENCY": 0}, ["ductape.E005"]),
        ({"API_PROCESSES": 0, "API_THREADS": -1}, ["ductape.E005", "ductape.E005"]),
        ({"PORT": 0}, ["ductape.E005"]),
        ({"PORT": 80_000}, ["ductape.E005"]),
        ({"API_DRAIN_SECONDS": -1, "MOST_WAITING": -1, "ISOLATED_CONCURRENCY": 0}, ["ductape.E005"] * 3),
        ({"REDIS_URL": "foo://x"}, ["ductape.E007"]),
        ({"RETENTION_DAYS": -1}, ["ductape.E006"]),
        ({"RETENTION_DAYS": 36_501}, ["ductape.E006"]),
        ({"SECRET_KEY": secrets.token_hex(20)}, ["ductape.E010"]),
        ({"SECRET_KEY": "ab" * 40}, ["ductape.E010"]),
        ({"SECRET_KEY": "django-insecure-" + secrets.token_hex(32)}, ["ductape.E010"]),
        ({"SECRET_KEY": KEY}, ["ductape.E010", "ductape.E011"]),
        ({"DATABASES": SQLITE}, ["ductape.E020"]),
        ({"REDIS_GIVEN": False}, ["ductape.E021"]),
        ({"DEBUG": True}, ["ductape.E030"]),
        ({"ALLOWED_HOSTS": []}, ["ductape.E031"]),
        ({"ALLOWED_HOSTS": ["jobs.example.org", "*"]}, ["ductape.E031"]),
        ({"EGRESS_ALLOW_CIDRS": ["0.0.0.0/0"]}, ["ductape.E032"]),
        ({"EGRESS_ALLOW_CIDRS": ["::/0"]}, ["ductape.E032"]),
        ({"EGRESS_ALLOW_CIDRS": ["169.254.0.0/16"]}, ["ductape.E032"]),
        ({"EGRESS_ALLOW_CIDRS": ["127.0.0.0/8"]}, ["ductape.W033"]),
    ],
)
def test_an_insecure_value_is_refused_in_production(
    changes: dict[str, Any], expected: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert found(monkeypatch, **changes) == expected


def test_what_is_refused_in_production_is_fine_on_a_laptop(monkeypatch: pytest.MonkeyPatch) -> None:
    loose = {"ALLOWED_HOSTS": ["*"], "DATABASES": SQLITE, "REDIS_GIVEN": False, "SECRET_KEY": "short"}
    assert found(monkeypatch, LOCAL=True, EGRESS_ALLOW_CIDRS=["127.0.0.0/8"], **loose) == []


def test_a_short_operator_key_is_refused_on_a_laptop_too(monkeypatch: pytest.MonkeyPatch) -> None:
    assert found(monkeypatch, LOCAL=True, OPERATOR_API_KEY="x" * 31) == ["ductape.E001"]


def test_a_process_refuses_to_start_and_names_everything_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checks, "settings", Settings(DATABASES=SQLITE, ALLOWED_HOSTS=[]))
    with pytest.raises(CommandError) as refused:
        processes.refuse_if_unsafe()
    text = str(refused.value)
    assert "ductape.E020: the database is SQLite" in text
    assert "ductape.E031: ALLOWED_HOSTS is not given" in text
    assert "DATABASE_URL=postgres://" in text


def test_no_message_tells_a_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    short = "k9-secret-operator-key"
    monkeypatch.setattr(
        checks, "settings", Settings(OPERATOR_API_KEY=short, SECRET_KEY=short, FIELD_ENCRYPTION_KEYS=[short])
    )
    messages = checks.configuration()
    assert len(messages) == 4
    assert not any(short in f"{message.msg} {message.hint}" for message in messages)
