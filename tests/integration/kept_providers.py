"""The providers whose connections are kept, and those of files: each on a real system, as the conformance suite sees it.

MongoDB is mongomock, and Neo4j and Memgraph a server of ours that speaks Bolt, but for the cases of a system that is
away or silent: there it is the real driver that fails.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from functools import partial
from pathlib import Path
from typing import Any
from unittest import mock
from uuid import uuid4

import ladybug
import mongomock
import redis
from mongomock.store import ServerStore
from pymongo import MongoClient

from executors.providers.database import mongodb as mongodb_provider
from tests.integration import broker_systems
from tests.integration.broker_world import Broker
from tests.integration.conformance_world import LOGIN, PLANTED, Provider, Refusal
from tests.integration.database_world import Database, database
from tests.servers.bolt import Answer, Bolt, node
from tests.servers.celery_worker import CeleryWorker
from tests.servers.local import free_port
from tests.servers.machine import needs
from tests.servers.objects import S3Server

NOTE = "$Secret{PLANTED}"
NOTES = {
    "postgresql": "CREATE TABLE notes (id serial PRIMARY KEY, note text, qty integer NOT NULL)",
    "mariadb": "CREATE TABLE notes (id integer AUTO_INCREMENT PRIMARY KEY, note text, qty integer NOT NULL)",
    "sqlite": "CREATE TABLE notes (id integer PRIMARY KEY, note text, qty integer NOT NULL)",
}


def inserted(type: str, url: str, seen: Callable[[], int], **more: Any) -> Provider:
    return Provider(
        name=type, namespace="databases", component={"type": type, "default_table": "notes"}, seen=seen,
        connection={"connection_url": url}, target={"operation": "insert"},
        input={"data": {"note": NOTE, "qty": 1}, "returning": True},
        refusal=Refusal(input={"data": {"note": NOTE, "qty": None}}), **more,
    )  # fmt: skip


def counted(made: Database) -> int:
    return int(made.rows(f"SELECT count(*) FROM notes WHERE note = '{PLANTED}'")[0][0])


@contextmanager
def postgresql(folder: Path) -> Iterator[Provider]:
    with database("postgresql", folder) as made:
        made.execute(NOTES["postgresql"])
        url = made.url.replace("postgres@", f"postgres:{LOGIN}@")  # the machine's server trusts everybody
        yield inserted("postgresql", url, lambda: counted(made), port=needs("postgresql")[1], secrets=(LOGIN,))


@contextmanager
def mariadb(folder: Path) -> Iterator[Provider]:
    with database("mariadb", folder) as made:
        made.execute(NOTES["mariadb"])
        user = f"jobs_{uuid4().hex[:8]}"
        made.execute(f"CREATE USER {user}@'127.0.0.1' IDENTIFIED BY '{LOGIN}'")
        made.execute(f"GRANT ALL ON *.* TO {user}@'127.0.0.1'")
        url = made.url.replace("root@", f"{user}:{LOGIN}@")
        yield inserted("mariadb", url, lambda: counted(made), port=needs("mariadb")[1], secrets=(LOGIN,))
        made.execute(f"DROP USER {user}@'127.0.0.1'")


@contextmanager
def sqlite(folder: Path) -> Iterator[Provider]:
    with database("sqlite", folder) as made:
        made.execute(NOTES["sqlite"])
        yield inserted("sqlite", made.url, lambda: counted(made))


@contextmanager
def mongodb(folder: Path) -> Iterator[Provider]:
    port = free_port()
    store: Any = ServerStore()  # type: ignore[no-untyped-call]  # it has no types
    inside: Any = mongomock.MongoClient(_store=store)["shop"]["notes"]

    def client(url: str, **options: Any) -> Any:
        if f":{port}/" in url:
            return mongomock.MongoClient(url, tz_aware=True, _store=store)
        return MongoClient(url, **options)

    twice = {"_id": "there", "note": NOTE}
    connects = partial(mongodb_provider.MongoDB, client=client)
    with mock.patch.object(mongodb_provider, "MongoDB", connects):
        yield Provider(
            name="mongodb", namespace="databases", component={"type": "mongodb", "default_table": "notes"},
            connection={"connection_url": f"mongodb://jobs:{LOGIN}@127.0.0.1:{port}/shop"}, port=port,
            target={"operation": "insert"}, input={"data": {"note": NOTE}, "returning": True}, secrets=(LOGIN,),
            seen=lambda: inside.count_documents({"note": PLANTED, "_id": {"$ne": "there"}}),
            refusal=Refusal(
                input={"data": twice}, arrange=lambda: inside.replace_one({"_id": "there"}, {}, upsert=True)
            ),
        )  # fmt: skip


MADE_NODE = {"labels": ["Note"], "properties": {"note": NOTE}}
WRONG_CYPHER: dict[str, Any] = {"query": "MATCH (n) RETURN nothing", "params": {"note": NOTE}}


@contextmanager
def embedded(folder: Path) -> Iterator[Provider]:
    path = folder / "graph.lbug"

    def seen() -> int:
        if not path.exists():
            return 0
        with ladybug.Database(str(path), read_only=True) as opened, ladybug.Connection(opened) as inside:
            if not any("Note" in row for row in inside.execute("CALL show_tables() RETURN *").get_all()):
                return 0
            row: Any
            (row,) = inside.execute(f"MATCH (n:Note) WHERE n.note = '{PLANTED}' RETURN count(*)").get_all()
            return int(row[0])

    yield Provider(
        name="embedded", namespace="graphs", component={"type": "embedded"}, connection={"path": str(path)},
        target={"operation": "createNode"}, input=MADE_NODE, seen=seen,
        refusal=Refusal(target={"operation": "query"}, input=WRONG_CYPHER),
    )  # fmt: skip


class _Graph(Bolt):
    """Every statement makes a node, but those that it was told of."""

    def next_answer(self) -> Answer:
        return super().next_answer() if self._answers else Answer(["n"], [[node(7, "Note", note=PLANTED)]])


def bolt(type: str, agent: str) -> Callable[[Path], Any]:
    wrong = Answer(failure=("Neo.ClientError.Statement.SyntaxError", "Variable `nothing` not defined"))

    @contextmanager
    def running(folder: Path) -> Iterator[Provider]:
        with _Graph(agent, password=LOGIN) as server:
            yield Provider(
                name=type, namespace="graphs", component={"type": type}, target={"operation": "createNode"},
                connection={
                    "connection_url": f"bolt://127.0.0.1:{server.port}", "username": "neo4j", "password": LOGIN
                },
                input=MADE_NODE, port=server.port, secrets=(LOGIN,),
                seen=lambda: sum(PLANTED in str(params) for _, params in server.statements()),
                refusal=Refusal(
                    target={"operation": "query"}, input=WRONG_CYPHER, arrange=lambda: server.answer(wrong)
                ),
            )  # fmt: skip

    return running


def uploaded(type: str, connection: Mapping[str, Any], seen: Callable[[], int], refusal: Refusal, **more: Any) -> Any:
    return Provider(
        name=type, namespace="storage", component={"type": type}, connection=connection, seen=seen,
        target={"event": "upload"}, input={"fileName": "a.txt", "content": NOTE}, refusal=refusal, **more,
    )  # fmt: skip


@contextmanager
def local(folder: Path) -> Iterator[Provider]:
    path = folder / "files"
    path.mkdir()
    (path / "file").write_text("in the way")
    refusal = Refusal(input={"fileName": "file/a.txt", "content": NOTE}, codes=frozenset({"VALIDATION_ERROR", "FORBIDDEN"}))  # fmt: skip
    yield uploaded("local", {"path": str(path)}, changes_of(path / "a.txt"), refusal)


def changes_of(file: Path) -> Callable[[], int]:
    """How often the file was found to be another one, with what was planted in it."""
    found: list[int] = []

    def seen() -> int:
        if file.exists() and file.read_text() == PLANTED and (at := file.stat().st_mtime_ns) not in found:
            found.append(at)
        return len(found)

    return seen


@contextmanager
def s3(folder: Path) -> Iterator[Provider]:
    with S3Server() as server:
        versions = {"Status": "Enabled"}  # each upload is told apart, which its time of whole seconds does not do
        server.client.put_bucket_versioning(Bucket=server.bucket, VersioningConfiguration=versions)

        def seen() -> int:
            found = server.client.list_object_versions(Bucket=server.bucket).get("Versions", [])
            return sum(written(each["Key"], each["VersionId"]) == PLANTED.encode() for each in found)

        def written(key: str, version: str) -> bytes:
            answer = server.client.get_object(Bucket=server.bucket, Key=key, VersionId=version)
            content: bytes = answer["Body"].read()
            return content

        refusal = Refusal(
            input={"fileName": "a.txt", "content": NOTE}, connection={**server.connection, "bucket": "not-there"},
            codes=frozenset({"NOT_FOUND"}),
        )  # fmt: skip
        port = int(server.url.rpartition(":")[2])
        yield uploaded("s3", server.connection, seen, refusal, port=port, secrets=("the-s3-secret",))


def broker(system: type[Broker], *, name: str = "", **more: Any) -> Callable[[Path], Any]:
    name = name or system.type

    @contextmanager
    def running(folder: Path) -> Iterator[Provider]:
        made = system(*(needs(system.needs_name) if system.needs_name else ("127.0.0.1", 0)))
        made.open()
        got: list[bytes] = []

        def seen() -> int:
            bodies = [each.body for each in made.read()]
            got[:] = bodies if system.stays else [*got, *bodies]
            return sum(PLANTED.encode() in body for body in got)

        refusal = _refusals.get(name)
        topics = [made.topic(), {**made.topic(), "tag": "bad", "topic": f"{made.name}-bad"}]
        connection = made.connection()
        yield Provider(
            name=name, namespace="events", component={"type": system.type, "topics": topics},
            connection=connection, target={"event": "news"}, input={"message": {"note": NOTE}}, seen=seen,
            port=made.port or int(re.findall(r":(\d+)", str(connection))[0]), refusal=refusal(made) if refusal else None, **more,
        )  # fmt: skip
        made.close()

    return running


def _wrong_login(made: Broker) -> Refusal:
    url = f"amqp://guest:{LOGIN}@{made.host}:{made.port}//"
    return Refusal(input={"message": {}}, connection={"url": url}, codes=frozenset({"UNAUTHORIZED"}))


def _another_kind(made: Broker) -> Refusal:
    def arrange() -> None:
        with redis.Redis(host=made.host, port=made.port, db=9) as client:
            client.set(f"{made.name}-bad", "text", ex=60)

    return Refusal(target={"event": "bad"}, input={"message": {"note": NOTE}}, arrange=arrange)


def _nobody_takes(made: Broker) -> Refusal:
    return Refusal(target={"event": "bad"}, input={"message": {}}, codes=frozenset({"NOT_FOUND"}))


def _too_large(made: Broker) -> Refusal:
    return Refusal(input={"message": {"note": NOTE, "long": "x" * 1_100_000}})


_refusals: dict[str, Callable[[Broker], Refusal]] = {
    "rabbitmq": _wrong_login, "redis": _another_kind, "redis-list": _another_kind, "nats": _nobody_takes,
    "kafka": _too_large, "sqs": _nobody_takes,
}  # fmt: skip


@contextmanager
def celery(folder: Path) -> Iterator[Provider]:
    host, port = needs("redis")
    queue = f"billing-{uuid4().hex[:8]}"
    urls = {"broker_url": f"redis://{host}:{port}/11", "result_backend": f"redis://{host}:{port}/12"}
    results = redis.Redis(host=host, port=port, db=12)
    results.flushdb()

    def seen() -> int:
        return sum(PLANTED.encode() in (results.get(key) or b"") for key in results.keys("celery-task-meta-*"))

    worker = CeleryWorker(folder, broker=urls["broker_url"], results=urls["result_backend"], queue=queue)
    with closing(results), worker:
        yield Provider(
            name="celery", namespace="functions", target={}, connection={**urls, "queue": queue},
            component={"type": "celery", "tasks": ["billing.tasks.send_invoices", "billing.tasks.gone"]},
            input={"task": "billing.tasks.send_invoices", "args": [3], "kwargs": {"currency": NOTE}}, port=port,
            seen=seen, refusal=Refusal(input={"task": "billing.tasks.gone"}, codes=frozenset({"NOT_FOUND"})),
        )  # fmt: skip
        results.flushdb()


KEPT: dict[str, Callable[[Path], Any]] = {
    "postgresql": postgresql, "mariadb": mariadb, "sqlite": sqlite, "mongodb": mongodb, "embedded": embedded,
    "neo4j": bolt("neo4j", "Neo4j/5.26.0"), "memgraph": bolt("memgraph", "Neo4j/v5.2.0 compatible graph - Memgraph"),
    "local": local, "s3": s3, "rabbitmq": broker(broker_systems.RabbitMQ), "redis": broker(broker_systems.RedisStream),
    "redis-list": broker(broker_systems.RedisList, name="redis-list"),
    "redis-pubsub": broker(broker_systems.RedisChannel, name="redis-pubsub"),
    "nats": broker(broker_systems.Nats), "mqtt": broker(broker_systems.Mqtt), "kafka": broker(broker_systems.Kafka),
    "sqs": broker(broker_systems.Sqs, secrets=("sqs-secret",)), "celery": celery,
}  # fmt: skip
