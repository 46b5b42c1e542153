"""A product with one database, real and new for each test, and a way to run operations on it."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

import psycopg
import pymysql

from core.shortcache import forget_everything
from core.tenancy.models import Environment, Product
from executors import registry
from executors.base import Call, Done, Failed, Outcome
from executors.catalog import document
from executors.catalog.schema import read_document
from executors.providers.database import running
from tests.servers.machine import needs

SCHEDULED = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
STOCK = {
    "postgresql": "CREATE TABLE stock (id serial PRIMARY KEY, sku varchar(40) UNIQUE, qty integer, price numeric(10,2), "
    'made timestamptz, day date, ok boolean DEFAULT true, extra jsonb, raw bytea, "odd name" text, tags text[])',
    "mariadb": "CREATE TABLE stock (id integer AUTO_INCREMENT PRIMARY KEY, sku varchar(40) UNIQUE, qty integer, "
    "price decimal(10,2), made datetime(6), day date, ok boolean DEFAULT true, extra json, raw blob, `odd name` text)",
    "sqlite": "CREATE TABLE stock (id integer PRIMARY KEY, sku varchar(40) UNIQUE, qty integer, price decimal(10,2), "
    'made datetime, day date, ok boolean DEFAULT true, extra json, raw blob, "odd name" text)',
}
Execute = Callable[..., list[Any]]


class Database:
    """A database of one test: its URL, and a way past the executor to look into it."""

    def __init__(self, type: str, url: str, execute: Execute) -> None:
        self.type, self.url, self.execute = type, url, execute

    def rows(self, statement: str) -> list[tuple[Any, ...]]:
        return [tuple(row) for row in self.execute(statement)]


@contextmanager
def database(type: str, folder: Path) -> Iterator[Database]:
    """A new one without tables; it is gone afterwards."""
    with {"postgresql": _postgresql, "mariadb": _mariadb, "sqlite": _sqlite}[type](folder) as made:
        yield made


def with_stock(made: Database) -> Database:
    """The database with the table `stock`, empty and as it was made."""
    made.execute("DROP TABLE IF EXISTS stock")
    made.execute(STOCK[made.type])
    return made


@contextmanager
def _postgresql(folder: Path) -> Iterator[Database]:
    host, port = needs("postgresql")
    name = f"jobs_{uuid4().hex[:12]}"
    with psycopg.connect(host=host, port=port, user="postgres", dbname="test", autocommit=True) as server:
        server.execute(f'CREATE DATABASE "{name}"'.encode())
        with psycopg.connect(host=host, port=port, user="postgres", dbname=name, autocommit=True) as inside:

            def execute(statement: str) -> list[Any]:
                cursor = inside.execute(statement.encode())
                return cursor.fetchall() if cursor.description else []

            yield Database("postgresql", f"postgresql://postgres@{host}:{port}/{name}", execute)
        server.execute(f'DROP DATABASE "{name}" WITH (FORCE)'.encode())


@contextmanager
def _mariadb(folder: Path) -> Iterator[Database]:
    host, port = needs("mariadb")
    name = f"jobs_{uuid4().hex[:12]}"
    server = pymysql.connect(host=host, port=port, user="root", autocommit=True)

    def execute(statement: str) -> list[Any]:
        with server.cursor() as cursor:
            cursor.execute(statement)
            return list(cursor.fetchall())

    execute(f"CREATE DATABASE {name}")
    execute(f"USE {name}")
    yield Database("mariadb", f"mariadb://root@{host}:{port}/{name}", execute)
    execute(f"DROP DATABASE {name}")
    server.close()


@contextmanager
def _sqlite(folder: Path) -> Iterator[Database]:
    path = folder / "shop.sqlite3"
    inside = sqlite3.connect(path, isolation_level=None)
    yield Database("sqlite", f"sqlite:///{path}", lambda statement: inside.execute(statement).fetchall())
    inside.close()


class World:
    """The product `shop` with the database `stock-db` in its environment `prd`."""

    def __init__(self, type: str, url: str, *, events: list[dict[str, Any]] | None = None, **settings: Any) -> None:
        written = {
            "envs": [{"slug": "prd"}],
            "secrets": [{"key": "SKU", "value": "very-secret-sku"}],
            "databases": [
                {"tag": "stock-db", "type": type, "default_table": "stock", "envs": {"prd": {"connection_url": url}},
                 "events": events or [], **settings}
            ],
        }  # fmt: skip
        document.store("shop", read_document(written, "shop"), prune=True)
        forget_everything()
        self.product = Product.objects.get(tag="shop")
        self.env = Environment.objects.get(product=self.product, slug="prd")

    def where(self, target: dict[str, Any]) -> dict[str, Any]:
        return {"product_id": self.product.pk, "environment_id": self.env.pk, "target": target}

    def check(self, operation: str, **input: Any) -> None:
        where = self.where({"database": "stock-db", "operation": operation})
        registry.get("databases").check(**where, input=input, recurring=False)

    def check_action(self, event: str, **input: Any) -> None:
        where = self.where({"database": "stock-db", "event": event})
        registry.get("databases.action").check(**where, input=input, recurring=False)

    def call(self, namespace: str, target: dict[str, Any], input: dict[str, Any], timeout: float) -> Call:
        return Call(
            job_id="job_1", run_key="job_1:7", attempt=1, namespace=namespace, product="shop", env="prd", target=target,
            resolved=registry.get(namespace).resolve(**self.where(target)), input=input, scheduled_at=SCHEDULED,
            timeout=timeout,
        )  # fmt: skip

    def operation(self, operation: str, input: dict[str, Any], timeout: float = 10.0) -> Call:
        return self.call("databases", {"database": "stock-db", "operation": operation}, input, timeout)

    def run(self, operation: str, *, timeout: float = 10.0, **input: Any) -> Outcome:
        call = self.operation(operation, input, timeout)
        outcome: Outcome = within(lambda: execute(call))
        return outcome

    def action(self, event: str, **input: Any) -> Outcome:
        call = self.call("databases.action", {"database": "stock-db", "event": event}, input, 10.0)
        outcome: Outcome = within(lambda: execute(call))
        return outcome

    def done(self, operation: str, **input: Any) -> dict[str, Any]:
        """The result, after the check that a dispatch makes."""
        self.check(operation, **input)
        outcome = self.run(operation, **input)
        assert isinstance(outcome, Done), outcome
        return dict(outcome.result)

    def failed(self, operation: str, *, timeout: float = 10.0, **input: Any) -> Failed:
        outcome = self.run(operation, timeout=timeout, **input)
        assert isinstance(outcome, Failed), outcome
        return outcome


async def execute(call: Call) -> Outcome:
    return await registry.get(call.namespace).execute(call)


def within(work: Callable[[], Awaitable[Any]]) -> Any:
    """Run it in an event loop of its own, and close what it connected to."""

    async def then_close() -> Any:
        try:
            return await work()
        finally:
            await running.clients.close_all()

    return asyncio.run(then_close())
