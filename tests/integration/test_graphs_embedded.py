"""The embedded graph: its file, whose turn it is, its tables, and how it is stopped."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from pytest_django import Settings

from core.errors import Invalid
from executors.base import AttemptFailed, Done, Failed
from executors.catalog.components import open_one
from executors.catalog.schema import read_document
from executors.providers.graph import embedded
from executors.providers.graph.check import check
from tests.integration.graph_world import GraphWorld

pytestmark = pytest.mark.django_db

HOLD = """
import ladybug, sys
database = ladybug.Database(sys.argv[1])
connection = ladybug.Connection(database)
print("held", flush=True)
sys.stdin.read()
"""
ENDLESS = "UNWIND range(1, 1000000) AS a UNWIND range(1, 1000000) AS b WITH a, b WHERE (a * b) % 7 = 9 RETURN count(*)"


@pytest.fixture
def graph(tmp_path: Path) -> GraphWorld:
    return GraphWorld("embedded", {"path": str(tmp_path / "graph.lbug")})


def opened(graph: GraphWorld) -> Any:
    return graph.resolved("graphs", {"graph": "people", "operation": "query"})


def test_a_file_outside_the_allowed_folders_is_refused_in_the_catalog(settings: Settings, tmp_path: Path) -> None:
    settings.LOCAL_PATHS_ALLOW = [str(tmp_path / "graphs")]
    (tmp_path / "graphs").mkdir()
    (tmp_path / "graphs" / "link").symlink_to(tmp_path)
    for path in ("/etc/graph", "graph", f"{tmp_path}/graphs/../x", f"{tmp_path}/graphs/link/x"):
        written = {
            "envs": [{"slug": "prd"}],
            "graphs": [{"tag": "g", "type": "embedded", "envs": {"prd": {"path": path}}}],
        }
        with pytest.raises(Invalid) as caught:
            read_document(written, "shop")
        assert [error.field for error in caught.value.errors] == ["graphs.0.envs.prd.path"]


def test_a_file_that_may_not_be_used_any_more_is_forbidden(settings: Settings, graph: GraphWorld) -> None:
    settings.LOCAL_PATHS_ALLOW = []

    failed = graph.failed("countNodes")

    assert (failed.code, failed.retryable) == ("FORBIDDEN", False)
    assert "LOCAL_PATHS_ALLOW" in failed.message


def test_a_file_that_is_no_graph_is_told(graph: GraphWorld) -> None:
    Path(graph.connection["path"]).write_bytes(b"hello" * 5000)
    assert "is not the file of an embedded graph" in graph.failed("countNodes").message

    away = GraphWorld("embedded", {"path": graph.connection["path"] + ".lock/none/graph"})
    failed = away.failed("countNodes")

    assert (failed.code, failed.message) == ("CONNECTION_ERROR", "the folder for 'graph' does not exist: make it first")


def test_a_file_that_another_process_has_open_is_waited_for(graph: GraphWorld) -> None:
    graph.node("P", name="a")
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLD, graph.connection["path"]], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert holder.stdin is not None
    assert holder.stdout is not None
    try:
        assert holder.stdout.readline() == "held\n"
        busy = graph.run("countNodes", timeout=0.6)
        threading.Timer(0.3, holder.stdin.close).start()
        done = graph.run("countNodes", timeout=20)
    finally:
        holder.kill()
        holder.wait()
        holder.stdout.close()

    assert isinstance(busy, Failed)
    assert (busy.code, busy.retryable) == ("SERVICE_UNAVAILABLE", True)
    assert "'graph.lbug' is in use by another process" in busy.message
    assert done == Done({"count": 1})


def test_requests_of_one_process_take_turns(graph: GraphWorld) -> None:
    graph.node("P", name="a", n=0)
    resolved = opened(graph)

    async def many() -> list[Any]:
        change: dict[str, Any] = {"where": {"name": "a"}, "properties": {"n": {"$INCREMENT": 1}}}
        return await asyncio.gather(*(graph.attempt("updateNode", resolved=resolved, **change) for _ in range(20)))

    assert all(isinstance(outcome, Done) for outcome in asyncio.run(many()))
    assert graph.done("findNodes")["nodes"][0]["properties"]["n"] == 20
    assert embedded._locks == {}


@pytest.mark.parametrize("how", ["cancelled", "deadline", "own"])
def test_a_query_without_end_is_stopped_and_the_file_is_free_again(graph: GraphWorld, how: str) -> None:
    graph.node("P", name="a")
    resolved = opened(graph)

    async def stopped() -> Any:
        running = asyncio.ensure_future(
            graph.attempt("query", resolved=resolved, query=ENDLESS, timeout=0.5 if how == "own" else 20)
        )
        if how == "own":
            return await running
        await asyncio.sleep(1)
        if how == "cancelled":
            running.cancel()
        with pytest.raises((asyncio.CancelledError, TimeoutError)):
            async with asyncio.timeout(0.01 if how == "deadline" else None):
                await running
        return None

    began = time.monotonic()
    outcome = asyncio.run(stopped())

    assert graph.done("countNodes") == {"count": 1}
    assert time.monotonic() - began < 8
    if how == "own":
        assert (outcome.code, outcome.retryable) == ("TIMEOUT", True)


def test_a_transaction_that_is_stopped_leaves_nothing(graph: GraphWorld) -> None:
    graph.node("P", name="a")
    made = {"operation": "createNode", "labels": ["New"], "properties": {"x": 1}}

    outcome = graph.run("transaction", operations=[made, made, {"operation": "query", "query": ENDLESS}], timeout=0.7)

    assert isinstance(outcome, Failed)
    assert outcome.code == "TIMEOUT"
    assert graph.done("schema.listLabels") == {"labels": ["P"]}
    assert graph.done("countNodes") == {"count": 1}


def test_a_property_keeps_the_type_of_its_first_value(graph: GraphWorld) -> None:
    id = graph.node("P", n=1, f=1.5, s="x", b=True, l=[1, 2], none=None)

    for properties, told in (
        ({"n": 1.5}, "'n' holds INT64"), ({"n": "1"}, "'n' holds INT64"), ({"s": 1}, "'s' holds STRING"),
        ({"b": 0}, "'b' holds BOOL"), ({"l": ["a"]}, "'l' holds INT64[]"), ({"l": 1}, "'l' holds INT64[]"),
        ({"N": 1}, "the file has 'n', the same in any case"), ({"_key": 1}, "names that begin with _"),
    ):  # fmt: skip
        for failed in (
            graph.failed("updateNode", id=id, properties=properties),
            graph.failed("createNode", labels=["Q"], properties=properties),
        ):
            assert (failed.code, failed.retryable) == ("VALIDATION_ERROR", False)
            assert told in failed.message
    changed = graph.done("updateNode", id=id, properties={"n": 2.0, "f": 3, "l": [], "later": None})
    assert changed["node"]["properties"] == {"n": 2, "f": 3.0, "s": "x", "b": True, "l": []}
    assert graph.done("updateNode", id=id, properties={"f": {"$INCREMENT": 1}})["node"]["properties"]["f"] == 4.0


def test_a_file_in_which_a_property_has_two_types_is_only_queried(graph: GraphWorld) -> None:
    for label, type in (("A", "INT64"), ("B", "STRING")):
        graph.done("query", query=f"CREATE NODE TABLE {label} (id SERIAL, v {type}, PRIMARY KEY (id))")

    assert "property 'v' is of two types in this file" in graph.failed("findNodes").message
    assert graph.done("query", query="MATCH (n:A) RETURN count(*) AS many")["rows"] == [{"many": 0}]


def test_tables_of_another_maker_are_found_and_changed(graph: GraphWorld) -> None:
    graph.done("query", query="CREATE NODE TABLE Person (name STRING, born DATE, PRIMARY KEY (name))")
    graph.done("query", query="CREATE REL TABLE KNOWS (FROM Person TO Person, since INT64)")
    graph.done(
        "query",
        query="CREATE (:Person {name: 'Ann', born: date('1980-02-01')})-[:KNOWS {since: 1}]->(:Person {name: 'Bob'})",
    )

    ann = graph.done("findNodes", labels=["Person"], where={"name": "Ann"})["nodes"][0]
    known = graph.done("findRelationships", startNodeId=ann["id"])["relationships"][0]

    assert ann["properties"] == {"name": "Ann", "born": "1980-02-01"}
    assert (known["type"], known["properties"]) == ("KNOWS", {"since": 1})
    assert graph.done("findRelationshipById", id=known["id"]) == {"relationship": known}
    assert graph.done("updateRelationship", id=known["id"], properties={"since": 2})["updatedCount"] == 1
    assert graph.failed("createNode", labels=["Person"], properties={"name": "Ann"}).code == "VALIDATION_ERROR"


@pytest.mark.parametrize(
    "query",
    [
        "LOAD FROM '/etc/passwd' (file_format='csv', header=false) RETURN *", "COPY (MATCH (n) RETURN n) TO '/tmp/x.csv'",
        "INSTALL httpfs", "LOAD EXTENSION httpfs", "ATTACH '/tmp/other' AS o (dbtype lbug)", "EXPORT DATABASE '/tmp/x'",
        "import database '/tmp/x'", "CALL READ_CSV_SERIAL('/etc/passwd') RETURN *", "WITH 1 AS a WHERE a=1LOAD FROM 'x' RETURN 1",
        "LOAD/**/FROM '/etc/passwd' RETURN *", "COMMIT", "BEGIN TRANSACTION", "ROLLBACK", "RETURN 1; RETURN 2",
        "RETURN 'load'", "USE GRAPH x",
    ],
)  # fmt: skip
def test_a_query_stays_within_its_file_and_its_transaction(graph: GraphWorld, query: str) -> None:
    with pytest.raises(Invalid) as caught:
        graph.check("query", query=query)

    assert [error.field for error in caught.value.errors] == ["input.query"]
    assert graph.failed("query", query=query).code == "VALIDATION_ERROR"
    assert graph.failed("transaction", operations=[{"operation": "query", "query": query}]).code == "VALIDATION_ERROR"


def test_a_check_opens_the_file(graph: GraphWorld) -> None:
    graph.node("P", name="a")

    def checked() -> str:
        found = open_one("graph", product_id=graph.product.pk, environment_id=graph.env.pk, tag="people")
        return asyncio.run(check(found))

    assert checked().startswith("connected: embedded graph 0.")
    assert checked().endswith(", graph.lbug, 1 tables")
    Path(graph.connection["path"]).write_bytes(b"hello" * 5000)
    with pytest.raises(AttemptFailed, match="is not the file of an embedded graph"):
        checked()
