"""Neo4j and Memgraph by the real driver, on a server of ours that speaks Bolt: what is sent, and how it ends.

The server knows no Cypher: that the statements mean what they should is tested where NEO4J_URL or MEMGRAPH_URL names
a real one (test_graphs_operations.py).
"""

from __future__ import annotations

import asyncio
import inspect
import socket
import time
from collections.abc import Iterator
from typing import Any

import neo4j
import pytest
from pytest_django import Settings

from core.errors import Invalid
from executors.base import AttemptFailed
from executors.catalog.components import open_one
from executors.providers.graph import bolt
from executors.providers.graph.check import check
from executors.providers.graph.dialect import Dialect
from executors.providers.graph.places import place_of
from executors.providers.graph.requests import Request
from tests.integration.graph_world import GraphWorld
from tests.servers.bolt import Answer, Bolt, node, relationship

pytestmark = pytest.mark.django_db


@pytest.fixture
def server() -> Iterator[Bolt]:
    with Bolt() as running:
        yield running


@pytest.fixture
def graph(server: Bolt) -> GraphWorld:
    return world(server.port)


def world(port: int, type: str = "neo4j", **more: Any) -> GraphWorld:
    return GraphWorld(
        type, {"connection_url": f"bolt://127.0.0.1:{port}", "username": "neo4j", "password": "secret", **more}
    )


def test_a_request_is_one_transaction_on_the_database_of_the_catalog(server: Bolt) -> None:
    graph = world(server.port, database="people")
    server.answer(Answer(["n"], [[node(7, "Person", "Admin", name="Ann", tags=["x"])]], {"nodes-created": 1}))

    made = graph.done("createNode", labels=["Person"], properties={"name": "Ann", "none": None})

    shown = {
        "id": "4:x:7",
        "labels": ["Admin", "Person"],
        "properties": {"name": "Ann", "tags": ["x"]},
        "elementId": "4:x:7",
    }
    assert made == {"node": shown, "created": True}
    assert server.statements() == [("CREATE (n:`Person` {`name`: $p0}) RETURN n", {"p0": "Ann"})]
    assert server.names() == ["HELLO", "LOGON", "BEGIN", "RUN", "COMMIT", "GOODBYE"]
    began = dict(server.said)["BEGIN"][0]
    assert (began["db"], began["tx_timeout"]) == ("people", 20_000)


def test_a_relationship_and_whether_it_was_created_come_from_the_answer(server: Bolt, graph: GraphWorld) -> None:
    server.answer(
        Answer(["r"], [[relationship(3, 1, 2, "KNOWS", since=1)]], {"relationships-created": 1}),
        Answer(["r"], [[relationship(3, 1, 2, "KNOWS", since=1)]]),
    )
    ends = {"type": "KNOWS", "startNodeId": "4:x:1", "endNodeId": 2}

    first = graph.done("mergeRelationship", **ends, onCreate={"since": 1})
    second = graph.done("mergeRelationship", **ends)

    assert first["relationship"] == {
        "id": "5:x:3", "type": "KNOWS", "startNodeId": "4:x:1", "endNodeId": "4:x:2", "properties": {"since": 1},
        "elementId": "5:x:3",
    }  # fmt: skip
    assert (first["created"], second["created"]) == (True, False)
    text, params = server.statements()[0]
    assert text == (
        "MATCH (a), (b) WHERE elementId(a) IN $p0 AND id(b) IN $p1 "
        "MERGE (a)-[r:`KNOWS`]->(b) ON CREATE SET r.`since` = $p2 RETURN r"
    )
    assert params == {"p0": ["4:x:1"], "p1": [2], "p2": 1}


@pytest.mark.parametrize(
    ("type", "operation", "input", "text", "params"),
    [
        ("neo4j", "deleteNodes", {"filter": {"expired": True}},
         "MATCH (n) WHERE n.`expired` = $p0 DELETE n RETURN count(*) AS many", {"p0": True}),
        ("neo4j", "findNodes", {"labels": ["A", "B"], "where": {"x": {"$lt": "$DateAdd(0, 1, 'second')"}}, "limit": 5},
         "MATCH (n:`A`:`B`) WHERE (n.`x` < $p0 OR n.`x` < datetime({epochMillis: $p0})) RETURN n LIMIT 5", {"p0": 1000}),
        ("memgraph", "findNodes", {"where": {"x": {"$lt": "$DateAdd(0, 1, 'second')"}}, "limit": 5},
         "MATCH (n) WHERE n.`x` < $p0 RETURN n LIMIT 5", {"p0": 1000}),
        ("neo4j", "shortestPath", {"startNodeId": "4:x:1", "endNodeId": "4:x:2", "types": ["K", "L"], "maxDepth": 4},
         ("MATCH (a), (b) WHERE elementId(a) IN $p0 AND elementId(b) IN $p1 "
         "MATCH p = shortestPath((a)-[r:`K`|`L`*1..4]-(b)) RETURN p LIMIT 1"), {"p0": ["4:x:1"], "p1": ["4:x:2"]}),
        ("memgraph", "shortestPath", {"startNodeId": 1, "endNodeId": "2", "direction": "OUTGOING", "maxDepth": 4},
         "MATCH (a), (b) WHERE id(a) IN $p0 AND id(b) IN $p1 MATCH p = (a)-[r *BFS 1..4]->(b) RETURN p LIMIT 1",
         {"p0": [1], "p1": [2]}),
        ("memgraph", "traverse", {"startNodeId": 1, "types": ["K"], "maxDepth": 2, "limit": 3},
         "MATCH p = (a)-[r:`K` *1..2]->(b) WHERE id(a) IN $p0 RETURN p LIMIT 3", {"p0": [1]}),
        ("neo4j", "addLabels", {"id": 5, "labels": ["A"]}, "MATCH (n) WHERE id(n) IN $p0 SET n:`A` RETURN n", {"p0": [5]}),
        ("neo4j", "schema.createNodeIndex", {"label": "P", "properties": ["a", "b"], "name": "i"},
         "CREATE INDEX `i` IF NOT EXISTS FOR (n:`P`) ON (n.`a`, n.`b`)", {}),
        ("neo4j", "createNodeConstraint", {"label": "P", "properties": "a"},
         "CREATE CONSTRAINT IF NOT EXISTS FOR (n:`P`) REQUIRE (n.`a`) IS UNIQUE", {}),
        ("neo4j", "createNodeConstraint", {"label": "P", "properties": "a", "type": "EXISTS"},
         "CREATE CONSTRAINT IF NOT EXISTS FOR (n:`P`) REQUIRE (n.`a`) IS NOT NULL", {}),
        ("neo4j", "schema.createRelationshipIndex", {"type": "K", "properties": ["a"]},
         "CREATE INDEX IF NOT EXISTS FOR ()-[r:`K`]-() ON (r.`a`)", {}),
        ("neo4j", "dropIndex", {"name": "i"}, "DROP INDEX `i` IF EXISTS", {}),
        ("memgraph", "createNodeIndex", {"label": "P", "properties": ["a"]}, "CREATE INDEX ON :`P`(`a`)", {}),
        ("memgraph", "listIndexes", {}, "SHOW INDEX INFO", {}),
        ("neo4j", "fullTextSearch", {"indexName": "i", "query": "ann~", "limit": 3},
         "CALL db.index.fulltext.queryNodes($name, $query) YIELD node, score RETURN node, score LIMIT $most",
         {"name": "i", "query": "ann~", "most": 3}),
        ("neo4j", "vectorSearch", {"indexName": "i", "vector": [1, 0.5], "topK": 2},
         "CALL db.index.vector.queryNodes($name, $most, $vector) YIELD node, score RETURN node, score",
         {"name": "i", "vector": [1, 0.5], "most": 2}),
    ],
    ids=lambda value: value if isinstance(value, str) and len(value) < 30 else "",
)  # fmt: skip
def test_each_dialect_says_it_in_its_own_words(
    server: Bolt, type: str, operation: str, input: dict[str, Any], text: str, params: dict[str, Any]
) -> None:
    graph = world(server.port, type)
    server.answer(Answer(["many"], [[0]]) if "count(" in text else Answer())

    graph.done(operation, **input)

    assert server.statements() == [(text, params)]
    alone = text.startswith(("CREATE", "DROP", "SHOW"))
    assert ("BEGIN" in server.names()) is not alone


@pytest.mark.parametrize(
    ("type", "operation", "told"),
    [
        ("memgraph", "fullTextSearch", "use query"),
        ("memgraph", "schema.dropIndex", "have no names"),
        ("embedded", "createNodeIndex", "no indexes"),
    ],
)
def test_what_a_backend_has_not_is_told_at_dispatch(tmp_path: Any, type: str, operation: str, told: str) -> None:
    connection = {"path": str(tmp_path / "g")} if type == "embedded" else {"connection_url": "bolt://127.0.0.1:1"}

    with pytest.raises(Invalid, match=told) as caught:
        GraphWorld(type, connection).check(operation)

    assert [error.field for error in caught.value.errors] == ["operation"]


@pytest.mark.parametrize(
    ("code", "expected", "retryable"),
    [
        ("Neo.ClientError.Statement.SyntaxError", "VALIDATION_ERROR", False),
        ("Neo.ClientError.Schema.ConstraintValidationFailed", "VALIDATION_ERROR", False),
        ("Neo.ClientError.Security.Forbidden", "FORBIDDEN", False),
        ("Neo.ClientError.Transaction.TransactionTimedOutClientConfiguration", "TIMEOUT", True),
        ("Neo.TransientError.Transaction.DeadlockDetected", "SERVICE_UNAVAILABLE", True),
        ("Neo.ClientError.Cluster.NotALeader", "SERVICE_UNAVAILABLE", True),
        ("Neo.DatabaseError.General.UnknownError", "SERVICE_UNAVAILABLE", True),
        ("Memgraph.ClientError.MemgraphError.MemgraphError", "VALIDATION_ERROR", False),
    ],
)
def test_each_refusal_has_its_code_and_undoes_the_transaction(
    server: Bolt, graph: GraphWorld, code: str, expected: str, retryable: bool
) -> None:
    server.answer(Answer(), Answer(failure=(code, "because of that")))

    failed = graph.failed(
        "transaction",
        operations=[{"operation": "query", "query": "RETURN 1"}, {"operation": "query", "query": "RETURN 2"}],
    )

    assert (failed.code, failed.retryable) == (expected, retryable)
    assert "because of that" in failed.message
    assert "COMMIT" not in server.names()


def test_a_wrong_password_is_unauthorized_and_not_shown(server: Bolt) -> None:
    server.password = "another"

    failed = world(server.port, password="$Secret{PASSWORD}").failed("countNodes")

    assert (failed.code, failed.retryable) == ("UNAUTHORIZED", False)
    assert "pa55w0rd" not in failed.message
    assert server.all_closed()


def test_a_server_that_is_away_is_a_connection_error_until_it_is_back(server: Bolt) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        failed = world(taken.getsockname()[1]).failed("countNodes")

    assert (failed.code, failed.retryable) == ("CONNECTION_ERROR", True)
    server.answer(Answer(["many"], [[4]]))
    assert world(server.port).done("countNodes") == {"count": 4}


def test_an_address_that_may_not_be_reached_is_refused_before_a_socket_opens(settings: Settings) -> None:
    settings.EGRESS_ALLOW_CIDRS = []

    failed = world(7687).failed("countNodes")

    assert (failed.code, failed.retryable) == ("FORBIDDEN", False)
    assert "127.0.0.1" in failed.message


@pytest.mark.parametrize("how", ["cancelled", "deadline"])
def test_a_server_that_hangs_is_left_at_once(server: Bolt, graph: GraphWorld, how: str) -> None:
    server.answer(Answer(hang=True))
    opened = graph.resolved("graphs", {"graph": "people", "operation": "countNodes"})

    async def left() -> float:
        running = asyncio.ensure_future(graph.attempt("countNodes", resolved=opened))
        while not server.statements():
            await asyncio.sleep(0.01)
        began = time.monotonic()
        if how == "cancelled":
            running.cancel()
            with pytest.raises(asyncio.CancelledError):
                await running
        else:
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.05):
                    await running
        return time.monotonic() - began

    assert asyncio.run(left()) < 2
    assert "COMMIT" not in server.names()


def test_connections_are_kept_shared_and_closed(server: Bolt, graph: GraphWorld) -> None:
    opened = graph.resolved("graphs", {"graph": "people", "operation": "countNodes"})
    server.answer(*(Answer(["many"], [[1]]) for _ in range(60)))

    async def used() -> int:
        backend = bolt.Bolt(Dialect())
        await asyncio.gather(*(backend.run(opened, Request("countNodes", {}), timeout=20) for _ in range(60)))
        connections = server.connections
        await backend.close_all()
        return connections

    assert asyncio.run(used()) <= bolt.CONNECTIONS
    assert server.all_closed()


def test_a_check_says_what_was_reached_or_what_failed(server: Bolt, graph: GraphWorld) -> None:
    def checked() -> str:
        opened = open_one("graph", product_id=graph.product.pk, environment_id=graph.env.pk, tag="people")
        return asyncio.run(check(opened))

    assert checked() == "connected: Neo4j/5.26.0"
    server.password = "another"
    with pytest.raises(AttemptFailed, match="does not accept the credentials"):
        checked()
    server.password = "secret"
    server.answer(Answer(failure=("Neo.ClientError.Database.DatabaseNotFound", "no database")))
    with pytest.raises(AttemptFailed, match="no database"):
        checked()


def test_what_the_driver_is_called_with_is_what_it_takes() -> None:
    # Its configuration is taken by name, and a name that it does not know is refused.
    driver = neo4j.AsyncGraphDatabase.driver("bolt://127.0.0.1:1", **bolt.config_of(place_of("bolt://x")))
    asyncio.run(driver.close())
    assert {"timeout"} <= {*inspect.signature(neo4j.AsyncSession.begin_transaction).parameters}
    assert {"query", "parameters"} <= {*inspect.signature(neo4j.AsyncTransaction.run).parameters}
    assert {"query", "parameters"} <= {*inspect.signature(neo4j.AsyncSession.run).parameters}
    assert {"text", "timeout"} <= {*inspect.signature(neo4j.Query.__init__).parameters}
