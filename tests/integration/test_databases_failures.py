"""Databases that are away, slow, locked or not for us: what a run fails with, and that nothing is left behind."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from pytest_django import Settings

from core.errors import Invalid
from executors.base import Done, Failed, Outcome
from executors.catalog.components import open_one
from executors.providers.database import check, running, sqlite
from tests.integration.database_world import Database, World, database, execute, with_stock, within
from tests.servers.local import free_port

pytestmark = pytest.mark.django_db
SLEEP = {"postgresql": "SELECT pg_sleep($1)", "mariadb": "SELECT sleep($1)"}
FOREVER = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n"
AT_WORK = {
    "postgresql": "SELECT count(*) FROM pg_stat_activity WHERE query ~ 'pg_sleep|^FETCH' AND state = 'active' "
    "AND datname = current_database() AND pid <> pg_backend_pid()",
    "mariadb": "SELECT count(*) FROM information_schema.processlist WHERE info LIKE 'SELECT sleep(%' AND db = database()",
}


@pytest.fixture(params=["postgresql", "mariadb", "sqlite"], scope="module")
def server(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Database]:
    with database(request.param, tmp_path_factory.mktemp("databases")) as made:
        yield made


@pytest.fixture
def real(server: Database) -> Database:
    return with_stock(server)


def slow(real: Database, seconds: float) -> dict[str, Any]:
    if real.type == "sqlite":
        return {"query": FOREVER}
    return {"query": SLEEP[real.type], "params": [seconds]}


def test_a_statement_ends_at_the_runs_deadline(real: Database) -> None:
    began = time.monotonic()

    failed = World(real.type, real.url).failed("raw", timeout=0.5, **slow(real, 30))

    assert (failed.code, failed.retryable) == ("TIMEOUT", True)
    assert time.monotonic() - began < 10


def test_a_run_that_is_taken_away_ends_its_statement(real: Database) -> None:
    world = World(real.type, real.url)
    call = world.operation("raw", slow(real, 60), timeout=60.0)
    after = world.operation("count", {})

    async def cancel() -> Outcome:
        running_now = asyncio.create_task(execute(call))
        await asyncio.sleep(0.5)
        running_now.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running_now
        return await execute(after)  # the connection that was ended is not handed on

    began = time.monotonic()
    outcome = within(cancel)

    assert outcome == Done({"count": 0})
    until = time.monotonic() + 10
    while real.type in AT_WORK and real.rows(AT_WORK[real.type]) != [(0,)] and time.monotonic() < until:
        time.sleep(0.05)
    assert real.type not in AT_WORK or real.rows(AT_WORK[real.type]) == [(0,)]
    assert time.monotonic() - began < 30


def test_thirty_slow_jobs_leave_the_event_loop_alone_and_share_few_connections(real: Database) -> None:
    if real.type == "sqlite":
        pytest.skip("SQLite has no function that sleeps")
    world = World(real.type, real.url)
    call = world.operation("raw", slow(real, 0.2), timeout=60.0)
    late: list[float] = []
    most: list[int] = []

    async def tick() -> None:
        while True:
            began = time.monotonic()
            await asyncio.sleep(0.01)
            late.append(time.monotonic() - began - 0.01)

    async def all_of_them() -> list[Outcome]:
        ticking = asyncio.create_task(tick())
        jobs = asyncio.gather(*(execute(call) for _ in range(30)))
        await asyncio.sleep(0.7)
        most.append(int((await asyncio.to_thread(real.rows, AT_WORK[real.type]))[0][0]))
        outcomes = await jobs
        ticking.cancel()
        return outcomes

    outcomes = within(all_of_them)

    assert all(isinstance(outcome, Done) for outcome in outcomes)
    assert most[0] <= running.AT_ONCE
    assert sorted(late)[len(late) * 9 // 10] < 0.25
    assert max(late) < 1.5


def test_a_connection_is_refused(real: Database) -> None:
    if real.type == "sqlite":
        pytest.skip("a file refuses no connection")
    world = World(real.type, f"{real.type}://root:s3cret-pw@127.0.0.1:{free_port()}/shop")

    failed = world.failed("count")

    assert (failed.code, failed.retryable) == ("CONNECTION_ERROR", True)
    assert "s3cret" not in failed.message
    assert "127.0.0.1" in failed.message


def test_a_wrong_password_is_told_without_it(real: Database) -> None:
    if real.type == "sqlite":
        pytest.skip("a file has no password")
    if real.type == "postgresql":
        pytest.skip("the machine's server trusts everybody: the words are tested without it")
    failed = World(real.type, real.url.replace("root@", "nobody_here:wr0ng-pw@")).failed("count")

    assert (failed.code, failed.retryable) == ("UNAUTHORIZED", False)
    assert "wr0ng-pw" not in failed.message


def test_a_right_that_the_user_lacks_is_told(real: Database) -> None:
    if real.type == "sqlite":
        failed = World("sqlite", f"{real.url}?mode=ro").failed("insert", data={"sku": "a"})
        assert (failed.code, failed.retryable) == ("FORBIDDEN", False)
        return
    user = f"jobs_{uuid4().hex[:8]}"
    made, gone = {
        "postgresql": (f"CREATE ROLE {user} LOGIN", f"DROP ROLE {user}"),
        "mariadb": (f"CREATE USER {user}@'127.0.0.1' IDENTIFIED BY 'pw'", f"DROP USER {user}@'127.0.0.1'"),
    }[real.type]
    real.execute(made)
    try:
        failed = World(real.type, re.sub("//[a-z]+@", f"//{user}:pw@", real.url)).failed("count")
        assert (failed.code, failed.retryable) == ("FORBIDDEN", False)
    finally:
        real.execute(gone)


def test_a_database_that_is_not_there(real: Database) -> None:
    failed = World(real.type, real.url + "_gone").failed("count")

    assert (failed.code, failed.retryable) == ("NOT_FOUND", False)


def test_a_server_that_dropped_its_connections_is_connected_to_again(real: Database) -> None:
    if real.type == "sqlite":
        pytest.skip("a file drops no connection")
    call = World(real.type, real.url).operation("count", {})
    drop = {
        "postgresql": "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()",
        "mariadb": "SELECT id FROM information_schema.processlist WHERE db = database() AND id <> connection_id()",
    }  # fmt: skip

    async def twice() -> list[Outcome]:
        first = await execute(call)
        found = await asyncio.to_thread(real.rows, drop[real.type])
        if real.type == "mariadb":
            for (number,) in found:
                await asyncio.to_thread(real.execute, f"KILL {number}")
        return [first, await execute(call)]

    assert within(twice) == [Done({"count": 0})] * 2


def test_a_private_address_is_refused_before_a_socket_opens(real: Database, settings: Settings) -> None:
    if real.type == "sqlite":
        pytest.skip("a file has no address")
    settings.EGRESS_ALLOW_CIDRS = []

    failed = World(real.type, real.url).failed("count")

    assert (failed.code, failed.retryable) == ("FORBIDDEN", False)
    assert "127.0.0.1 is not public" in failed.message


def test_clients_are_closed_when_idle(real: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(running.clients, "_idle_seconds", 0.1)
    call = World(real.type, real.url).operation("count", {})

    async def wait() -> bool:
        await execute(call)
        (kept,) = running.clients._here().values()
        engine: Any = kept.client.result().provider._engine  # type: ignore[attr-defined]
        pool, until = engine.pool, time.monotonic() + 5
        while engine.pool is pool and time.monotonic() < until:  # closed, it has a new one
            await asyncio.sleep(0.02)
        return pool.checkedin() == 0 and not running.clients._here()

    assert within(wait)


def test_a_check_says_what_it_reached(real: Database) -> None:
    world = World(real.type, real.url)
    opened = open_one("database", product_id=world.product.pk, environment_id=world.env.pk, tag="stock-db")

    told = within(lambda: check.check(opened))

    name = {"postgresql": "PostgreSQL", "mariadb": "MariaDB", "sqlite": "SQLite"}[real.type]
    assert told.startswith(f"connected: {name} ")
    assert ("file /" if real.type == "sqlite" else ", database jobs_") in told


def test_a_lock_that_another_holds_may_be_tried_again(real: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("executors.providers.database.sqlite.BUSY_SECONDS", 0.2)
    world = World(real.type, real.url)
    world.done("insert", data={"sku": "a", "qty": 1})
    begin, end = ("BEGIN IMMEDIATE", "ROLLBACK") if real.type == "sqlite" else ("BEGIN", "ROLLBACK")
    real.execute(begin)
    real.execute("UPDATE stock SET qty = 2")

    failed = world.failed("update", timeout=1.2, data={"qty": 3}, where={"sku": "a"})

    real.execute(end)
    assert failed.retryable
    assert failed.code in {"SERVICE_UNAVAILABLE", "TIMEOUT"}


def test_a_secret_is_in_no_result_and_no_error(real: Database) -> None:
    world = World(real.type, real.url)

    written = world.run("insert", data={"sku": "$Secret{SKU}"}, returning=True)
    twice = world.failed("insert", data={"sku": "$Secret{SKU}"})

    assert isinstance(written, Done)
    assert real.rows("SELECT sku FROM stock") == [("very-secret-sku",)]
    assert "very-secret-sku" not in f"{written} {twice}"
    assert twice.code == "VALIDATION_ERROR"


@pytest.fixture
def file(tmp_path: Path) -> Iterator[Database]:
    with database("sqlite", tmp_path) as made:
        yield with_stock(made)


@pytest.mark.parametrize(
    "query",
    ["ATTACH DATABASE '{other}' AS o", "VACUUM INTO '{other}'", "PRAGMA writable_schema = ON", "SELECT load_extension('x')",
     "SELECT 1 WHERE 'aaaa' REGEXP '(a+)+$'"],
)  # fmt: skip
def test_a_statement_does_not_leave_its_file(file: Database, tmp_path: Path, query: str) -> None:
    other = tmp_path / "other.sqlite3"

    failed = World("sqlite", file.url).failed("raw", query=query.replace("{other}", str(other)))

    assert failed.code in {"FORBIDDEN", "VALIDATION_ERROR"}
    assert not other.exists()


@pytest.mark.parametrize(
    ("type", "url", "words"),
    [
        ("sqlite", "sqlite:////etc/passwd", "is not in a folder that LOCAL_PATHS_ALLOW names"),
        ("sqlite", "sqlite:////tmp/../etc/passwd", "is not in a folder that LOCAL_PATHS_ALLOW names"),
        ("sqlite", "sqlite:///relative.db", "is not in a folder that LOCAL_PATHS_ALLOW names"),
        ("sqlite", "sqlite://", "must name a file by its absolute path"),
        ("postgresql", "mysql://h/d", "must begin with postgresql://"),
        ("postgresql", "postgresql://h/d?host=/var/run", "has an option that is not supported"),
        ("postgresql", "postgresql://h/d?passfile=/etc/x", "has an option that is not supported"),
        ("postgresql", "postgresql://a,b/d", "must name one host"),
        ("mysql", "mysql://h/d?local_infile=1", "has an option that is not supported"),
        ("mysql", "mysql://h/d?sslmode=verify-ca", "has a wrong sslmode"),
        ("mongodb", "mongodb://h/d?tlsCAFile=/etc/x", "has an option that is not supported"),
        ("mongodb", "mongodb://h/d?authMechanism=MONGODB-AWS", "has a wrong authMechanism"),
    ],
)  # fmt: skip
def test_a_url_that_goes_elsewhere_is_refused_in_the_catalog(type: str, url: str, words: str) -> None:
    with pytest.raises(Invalid) as caught:
        World(type, url)

    (error,) = caught.value.errors
    assert error.field == "databases.0.envs.prd.connection_url"
    assert words in error.detail


def test_a_link_that_was_put_there_later_is_refused_when_used(tmp_path: Path, file: Database) -> None:
    path = tmp_path / "linked.sqlite3"
    world = World("sqlite", f"sqlite:///{path}")
    path.symlink_to("/etc/passwd")

    failed = world.failed("count")

    assert failed.code == "FORBIDDEN"
    assert "LOCAL_PATHS_ALLOW" in failed.message


@pytest.mark.parametrize(
    ("words", "code", "retryable"),
    [
        ('FATAL:  password authentication failed for user "x"', "UNAUTHORIZED", False),
        ('FATAL:  role "x" does not exist', "UNAUTHORIZED", False),
        ('FATAL:  database "x" does not exist', "NOT_FOUND", False),
        ("FATAL:  sorry, too many clients already", "SERVICE_UNAVAILABLE", True),
        ("FATAL:  the database system is starting up", "SERVICE_UNAVAILABLE", True),
        ("connection timeout expired", "CONNECTION_ERROR", True),
    ],
)
def test_what_postgresql_says_before_there_is_a_connection(words: str, code: str, retryable: bool) -> None:
    import psycopg

    from executors.providers.database.postgresql import PostgreSQL
    from executors.providers.database.urls import read_url

    failed = PostgreSQL(read_url("postgresql://h/d", "postgresql")).failed(psycopg.OperationalError(words)).failed

    assert isinstance(failed, Failed)
    assert (failed.code, failed.retryable) == (code, retryable)


@pytest.mark.parametrize("journal", ["wal", "delete"])
@pytest.mark.parametrize("operation", ["upsert", "raw"])
def test_writers_of_one_sqlite_file_wait_for_each_other(tmp_path: Path, journal: str, operation: str) -> None:
    """Each reads before it writes: a transaction that began as a reader's is refused at once when it would write."""
    with database("sqlite", tmp_path) as made:
        with_stock(made).execute(f"PRAGMA journal_mode = {journal}")
        made.execute("INSERT INTO stock (sku, qty) VALUES ('a', 0)")
        world = World("sqlite", made.url)
        count = "UPDATE stock SET qty = qty + 1 WHERE sku = 'a'"
        inputs: dict[str, dict[str, Any]] = {
            "upsert": {"data": {"sku": "a", "qty": 7}, "conflictKeys": ["sku"]}, "raw": {"query": count},
        }  # fmt: skip
        calls = [world.operation(operation, inputs[operation]) for _ in range(40)]

        async def all_of_them() -> list[Outcome]:
            return await asyncio.gather(*(execute(call) for call in calls))

        outcomes = within(all_of_them)

        assert [outcome for outcome in outcomes if not isinstance(outcome, Done)] == []
        assert made.rows("SELECT qty FROM stock") == [(7 if operation == "upsert" else 40,)]


def test_a_sqlite_file_that_another_writer_holds_is_away_for_now(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite, "BUSY_SECONDS", 0.05)
    with database("sqlite", tmp_path) as made:
        with_stock(made).execute("BEGIN IMMEDIATE")
        world = World("sqlite", made.url)

        failed = world.failed("insert", data={"sku": "a"})

        assert (failed.code, failed.retryable) == ("SERVICE_UNAVAILABLE", True)
        assert failed.message == "SQLite: database is locked"
        assert world.done("count") == {"count": 0}  # who only reads waits for nobody
        made.execute("ROLLBACK")
