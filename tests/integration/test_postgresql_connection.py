"""A kept connection to PostgreSQL is looked at before it is used, and replaced when it has ended."""

from __future__ import annotations

import select
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
from django.db import connection
from django.db.backends.postgresql import base

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def _kept() -> Iterator[None]:
    if connection.vendor != "postgresql":
        pytest.skip("SQLite has no connection that could end")
    connection.ensure_connection()
    kept: Any = connection
    kept.health_check_enabled = True  # as it is on from a thread's second request
    yield
    connection.close()


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """What the server was asked, and whether it answered."""
    answers: list[bool] = []
    ask = base.DatabaseWrapper.is_usable

    def is_usable(self: base.DatabaseWrapper) -> bool:
        answers.append(ask(self))
        return answers[-1]

    monkeypatch.setattr(base.DatabaseWrapper, "is_usable", is_usable)
    return answers


def query() -> int:
    """As a request does it: between two, the connection is due to be looked at again."""
    connection.close_if_unusable_or_obsolete()
    with connection.cursor() as sql:
        sql.execute("SELECT pg_backend_pid()")
        (backend,) = sql.fetchone()
    return int(backend)


def test_a_quiet_connection_is_used_without_asking(asked: list[bool]) -> None:
    assert query() == query()
    assert asked == []


def test_a_connection_that_the_server_ended_is_replaced(asked: list[bool]) -> None:
    backend = query()
    _end(backend)
    assert query() != backend
    assert asked == [False]


def test_a_connection_with_something_to_say_is_asked(asked: list[bool]) -> None:
    with connection.cursor() as sql:
        sql.execute("LISTEN something")
    backend = query()
    with psycopg.connect(connection.connection.info.dsn, autocommit=True) as other:
        other.execute("NOTIFY something")
    _arrived()
    assert query() == backend
    assert asked == [True]


def test_after_an_error_the_server_is_asked(asked: list[bool]) -> None:
    query()
    connection.errors_occurred = True
    query()
    assert asked == [True]


def _end(backend: int) -> None:
    with psycopg.connect(connection.connection.info.dsn, autocommit=True) as other:
        assert other.execute("SELECT pg_terminate_backend(%s, 10000)", [backend]).fetchone() == (True,)


def _arrived() -> None:
    """Wait until something has come at the connection."""
    poll = select.poll()
    poll.register(connection.connection.pgconn.socket, select.POLLIN)
    assert poll.poll(10_000)
