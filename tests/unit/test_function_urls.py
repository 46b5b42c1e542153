"""The addresses of brokers and result backends: which are understood, and that none is shown with its password."""

from __future__ import annotations

import pytest

from executors.providers.function.celery_urls import Address, WrongUrl, backend, broker


@pytest.mark.parametrize(
    ("url", "address"),
    [
        ("redis://h", Address(system="redis", host="h", port=6379)),
        ("redis://:p%40ss@10.0.0.1:6380/3", Address(system="redis", host="10.0.0.1", port=6380, password="p@ss", name="3")),
        ("rediss://u:p@h/0", Address(system="redis", host="h", port=6379, user="u", password="p", name="0", tls=True)),
        ("rediss://h?ssl_cert_reqs=required", Address(system="redis", host="h", port=6379, tls=True)),
        ("amqp://guest:guest@h//", Address(system="amqp", host="h", port=5672, user="guest", password="guest", name="/")),
        ("pyamqp://h/shop", Address(system="amqp", host="h", port=5672, name="shop")),
        ("amqps://h/%2Fa", Address(system="amqp", host="h", port=5671, name="/a", tls=True)),
    ],
)  # fmt: skip
def test_brokers_that_are_understood(url: str, address: Address) -> None:
    assert broker(url) == address


@pytest.mark.parametrize(
    ("url", "address"),
    [
        ("redis://h/4", Address(system="redis", host="h", port=6379, name="4")),
        ("db+postgresql+psycopg2://u:p@h/d", Address(system="postgresql", host="h", port=5432, user="u", password="p", name="d")),
        ("db+mysql://h:3307/d", Address(system="mysql", host="h", port=3307, name="d")),
        ("db+sqlite:////var/results.db", Address(system="sqlite", name="/var/results.db")),
    ],
)  # fmt: skip
def test_backends_that_are_understood(url: str, address: Address) -> None:
    assert backend(url) == address


@pytest.mark.parametrize(
    "url",
    [
        "", "redis", "redis://", "redis://h/x", "redis://a;redis://b", "redis://h?ssl_cert_reqs=none", "redis://h/0?db=3",
        "redis+socket:///tmp/redis.sock", "sqs://", "memory://", "filesystem:///tmp", "amqp://h:x/", "amqp://h/v#x",
        "redis://h h/0", "redis://[::1/0",
    ],
)  # fmt: skip
def test_brokers_that_are_not(url: str) -> None:
    with pytest.raises(WrongUrl):
        broker(url)


@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("rpc://", "keeps none for a worker"), ("file:///tmp", "Redis or database backend"), ("cache+memory://", "Redis or database"),
        ("db+oracle://h/d", "Redis or database"), ("db+sqlite:///relative.db", "absolute file"),
        ("db+sqlite:////a.db?mode=rw", "absolute file"), ("db+postgresql://h/d?host=/tmp", "options after a ?"),
    ],
)  # fmt: skip
def test_backends_that_are_not(url: str, told: str) -> None:
    with pytest.raises(WrongUrl, match=told.replace("?", r"\?")):
        backend(url)


def test_no_address_shows_who_logs_in() -> None:
    address = broker("redis://user-name:pass-word@h:1/3")
    assert str(address) == "redis h:1"
    assert "pass-word" not in repr(address)
    with pytest.raises(WrongUrl) as caught:
        broker("sqs://user-name:pass-word@h")
    assert "pass-word" not in str(caught.value)
