"""Result backends, written by Celery itself and read by us: Redis, PostgreSQL, MariaDB, SQLite."""

from __future__ import annotations

import pickle
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import psycopg
import pymysql
import pytest
import redis
from celery import Celery

from executors.base import AttemptFailed
from executors.providers.function.celery_results import MOST_RESULT_BYTES, Results, State, results_at
from executors.providers.function.celery_urls import backend
from tests.servers.local import free_port
from tests.servers.machine import needs

pytestmark = pytest.mark.filterwarnings("ignore:Call to deprecated setex")  # Celery's own

DATABASE = f"functions_{uuid4().hex[:8]}"
KINDS = ("redis", "postgresql", "mariadb", "sqlite")


class Stored:
    """A backend as a team's worker writes it, and as we read it."""

    def __init__(self, theirs: str, ours: str) -> None:
        self.app = Celery("billing", backend=theirs, set_as_current=False, fixups=set())
        self.results: Results = results_at(backend(ours))

    def store(self, result: Any, state: str = "SUCCESS") -> str:
        task_id = str(uuid4())
        self.app.backend.store_result(task_id, result, state)
        return task_id

    def close(self) -> None:
        self.results.close()
        manager = getattr(self.app.backend, "session_manager", None)
        if manager is not None:
            for engine in manager._engines.values():
                engine.dispose()
        self.app.close()


@pytest.fixture(params=KINDS)
def stored(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Stored]:
    made = request.getfixturevalue(f"in_{request.param}") if request.param != "sqlite" else None
    path = f"db+sqlite:///{tmp_path}/results.db"
    there = Stored(*(made or (path, path)))
    yield there
    there.close()


@pytest.fixture
def in_redis() -> Iterator[tuple[str, str]]:
    host, port = needs("redis")
    url = f"redis://{host}:{port}/13"
    yield url, url
    with redis.Redis.from_url(url) as client:
        client.flushdb()


@pytest.fixture
def in_postgresql() -> Iterator[tuple[str, str]]:
    host, port = needs("postgresql")
    with psycopg.connect(host=host, port=port, user="postgres", dbname="test", autocommit=True) as connection:
        connection.execute(f'CREATE DATABASE "{DATABASE}"')
        yield (
            f"db+postgresql+psycopg://postgres@{host}:{port}/{DATABASE}",
            f"db+postgresql://postgres@{host}:{port}/{DATABASE}",
        )
        connection.execute(f'DROP DATABASE "{DATABASE}" WITH (FORCE)')


@pytest.fixture
def in_mariadb() -> Iterator[tuple[str, str]]:
    host, port = needs("mariadb")
    connection = pymysql.connect(host=host, port=port, user="root", password="")
    try:
        connection.cursor().execute(f"CREATE DATABASE {DATABASE}")
        yield f"db+mysql+pymysql://root@{host}:{port}/{DATABASE}", f"db+mysql://root@{host}:{port}/{DATABASE}"
        connection.cursor().execute(f"DROP DATABASE {DATABASE}")
    finally:
        connection.close()


def test_what_celery_stored_is_read(stored: Stored) -> None:
    assert stored.results.read([str(uuid4())]) == {}

    done = stored.store({"sent": 3, "to": ["ü", None, 1.5]})
    nothing = stored.store(None)
    running = stored.store({"pid": 1}, "STARTED")
    failed = stored.store(ValueError("no such invoice"), "FAILURE")
    found = stored.results.read([done, nothing, running, failed, str(uuid4())])

    assert found[done] == State(name="SUCCESS", result={"sent": 3, "to": ["ü", None, 1.5]})
    assert found[nothing] == State(name="SUCCESS")
    assert (found[running].name, found[running].ended) == ("STARTED", False)
    assert (found[failed].name, found[failed].ended) == ("FAILURE", True)
    assert found[failed].result["exc_type"] == "ValueError"
    assert len(found) == 4


@pytest.mark.parametrize("stored", ["redis", "postgresql", "sqlite"], indirect=True)  # MariaDB's column is shorter
def test_a_result_that_is_too_large_is_not_read(stored: Stored) -> None:
    large = stored.store("x" * (MOST_RESULT_BYTES + 10))

    state = stored.results.read([large])[large]

    assert (state.ended, state.too_large, state.result) == (True, True, None)


def test_a_name_that_is_an_attack_is_only_a_name(stored: Stored) -> None:
    stored.store(1)
    assert stored.results.read(["' OR '1'='1", '"; DROP TABLE celery_taskmeta; --', "*", "a\nb"]) == {}


def test_a_backend_that_is_closed_is_opened_by_the_next_read(stored: Stored) -> None:
    done = stored.store(1)
    assert stored.results.read([done])[done].result == 1
    stored.results.close()
    assert stored.results.read([done])[done].result == 1


@pytest.fixture
def table(tmp_path: Path) -> Iterator[tuple[sqlite3.Connection, Results]]:
    """A SQLite backend whose rows a test writes itself."""
    path = tmp_path / "rows.db"
    connection = sqlite3.connect(path)
    connection.execute("CREATE TABLE celery_taskmeta (task_id TEXT, status TEXT, result BLOB)")
    results = results_at(backend(f"db+sqlite:///{path}"))
    yield connection, results
    results.close()
    connection.close()


class Attack:
    """Unpickled, it calls a function."""

    def __reduce__(self) -> Any:
        return (eval, ("1/0",))


def _row(table: tuple[sqlite3.Connection, Results], result: bytes) -> State:
    connection, results = table
    connection.execute("INSERT INTO celery_taskmeta VALUES ('t', 'SUCCESS', ?)", [result])
    connection.commit()
    return results.read(["t"])["t"]


@pytest.mark.parametrize("protocol", [2, 4, 5])
def test_a_row_that_an_older_celery_pickled_is_read(table: Any, protocol: int) -> None:
    value = {"a": [1, "ü", None, 1.5, True, {"b": []}]}
    assert _row(table, pickle.dumps(value, protocol)) == State(name="SUCCESS", result=value)


def test_a_pickle_is_never_more_than_plain_values(table: Any) -> None:
    state = _row(table, pickle.dumps(Attack()))

    assert (state.name, state.result) == ("SUCCESS", None)
    assert "only plain values are read" in state.unreadable


def _bomb() -> Any:
    value: Any = "x"
    for _ in range(40):
        value = [value, value]
    return value


def _loop() -> Any:
    value: list[Any] = []
    value.append(value)
    return value


@pytest.mark.parametrize(
    "stored",
    [
        pickle.dumps(_bomb()), pickle.dumps(_loop()), pickle.dumps({1: 2}), pickle.dumps(b"x"), pickle.dumps({1, 2}),
        pickle.dumps(float("nan")), b"\x80\x04r\xff\xff\xff\x7f.", b"\x80", b"\xff\xfe", b"{", pickle.dumps("a\x00b"),
        pickle.dumps(1 << 100_000),
    ],
)  # fmt: skip
def test_a_result_that_cannot_be_stored_again_is_told(table: Any, stored: bytes) -> None:
    state = _row(table, stored)

    assert (state.name, state.result) == ("SUCCESS", None)
    assert state.unreadable


@pytest.mark.parametrize("scheme", ["redis", "db+postgresql", "db+mysql"])
def test_a_backend_that_is_away_is_told(scheme: str) -> None:
    results = results_at(backend(f"{scheme}://bob:pass-secret@127.0.0.1:{free_port()}/0"))

    with pytest.raises(AttemptFailed) as caught:
        results.read(["t"])

    assert (caught.value.failed.code, caught.value.failed.retryable) == ("CONNECTION_ERROR", True)
    assert "pass-secret" not in caught.value.failed.message
    results.close()


def test_a_password_that_is_wrong_is_told() -> None:
    host, port = needs("mariadb")
    results = results_at(backend(f"db+mysql://root:wrong-pass@{host}:{port}/test"))

    with pytest.raises(AttemptFailed) as caught:
        results.read(["t"])

    assert (caught.value.failed.code, caught.value.failed.retryable) == ("UNAUTHORIZED", False)
    results.close()


def test_a_file_outside_of_the_allowed_folders_is_not_opened(settings: Any, tmp_path: Path) -> None:
    settings.LOCAL_PATHS_ALLOW = [str(tmp_path / "allowed")]
    with pytest.raises(AttemptFailed) as caught:
        results_at(backend(f"db+sqlite:///{tmp_path}/other.db")).read(["t"])
    assert caught.value.failed.code == "FORBIDDEN"
