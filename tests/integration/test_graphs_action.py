"""Saved actions of graphs: what a catalog refuses to save, what a dispatch refuses, and what is run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from core.errors import Invalid, NotFound
from executors.base import Done, Failed
from executors.catalog.schema import read_document
from tests.integration.graph_world import GraphWorld

pytestmark = pytest.mark.django_db

EVENTS: list[dict[str, Any]] = [
    {"tag": "add", "operation": "CREATE_NODE",
     "template": {"labels": ["Person"], "properties": {"name": "{{name}}", "age": "{{age}}", "tags": "{{tags}}", "told": "Hi {{ name }}, {{age}}"}}},
    {"tag": "find", "operation": "FIND_NODES", "template": {"labels": ["Person"], "where": {"age": {"$gte": "{{least}}"}}, "limit": "{{most}}"}},
    {"tag": "rename", "operation": "UPDATE_NODE", "template": {"properties": {"name": "{{to}}"}}, "filterTemplate": {"name": "{{from}}"}},
    {"tag": "expire", "operation": "DELETE_NODE", "template": {"labels": ["Person"], "where": {"age": 1}, "detach": True}},
    {"tag": "sign", "operation": "MERGE_NODE", "template": {"labels": "Key", "matchProperties": {"k": "$Secret{NAME}"}}},
    {"tag": "walk", "operation": "TRAVERSE", "template": {"startNodeId": "{{id}}"}},
]  # fmt: skip


@pytest.fixture
def graph(tmp_path: Path) -> GraphWorld:
    return GraphWorld("embedded", {"path": str(tmp_path / "graph.lbug")}, *EVENTS)


def done(graph: GraphWorld, event: str, **input: Any) -> dict[str, Any]:
    graph.check_action(event, **input)
    outcome = graph.run_action(event, **input)
    assert isinstance(outcome, Done), outcome
    return dict(outcome.result)


def test_a_placeholder_that_is_the_whole_value_keeps_its_type(graph: GraphWorld) -> None:
    made = done(graph, "add", name="{{age}}", age=41, tags=["x"])

    assert made["node"]["properties"] == {"name": "{{age}}", "age": 41, "tags": ["x"], "told": "Hi {{age}}, 41"}


def test_actions_find_change_and_delete_what_their_values_say(graph: GraphWorld) -> None:
    for name, age in (("Ann", 41), ("Bob", 1)):
        done(graph, "add", name=name, age=age, tags=["x"])

    assert done(graph, "find", least=2, most=5)["count"] == 1
    assert done(graph, "rename", **{"from": "Ann", "to": "Eve"})["updatedCount"] == 1
    assert done(graph, "people:expire") == {"deleted": True, "deletedCount": 1}
    assert [node["properties"]["name"] for node in done(graph, "find", least=0, most=5)["nodes"]] == ["Eve"]


def test_a_secret_of_a_template_is_opened_and_not_shown_again(graph: GraphWorld) -> None:
    assert done(graph, "sign")["node"]["properties"] == {"k": "***"}
    assert graph.done("countNodes", where={"k": "$Secret{NAME}"}) == {"count": 1}


@pytest.mark.parametrize(
    ("event", "input", "field", "told"),
    [
        ("add", {"name": "a", "age": 1}, "input.tags", "is required: a placeholder of event 'add' of graph 'people'"),
        ("find", {"least": 1, "most": 5, "mots": 1}, "input.mots", "did you mean 'most'?"),
        ("find", {"least": 1, "most": "five"}, "input.limit", "between 1 and 10000"),
        ("add", {"name": {"a": 1}, "age": 1, "tags": []}, "input.properties.name", "a property holds no objects"),
        ("walk", {"id": []}, "input.startNodeId", "must be an id"),
    ],
)
def test_a_wrong_input_is_told_at_dispatch(
    graph: GraphWorld, event: str, input: dict[str, Any], field: str, told: str
) -> None:
    with pytest.raises(Invalid) as caught:
        graph.check_action(event, **input)
    (error,) = caught.value.errors
    outcome = graph.run_action(event, **input)

    assert error.field == field
    assert told in error.detail
    if field != "input.mots":
        assert isinstance(outcome, Failed)
        assert (outcome.code, outcome.retryable) == ("VALIDATION_ERROR", False)


def test_what_only_a_run_knows_is_not_refused_at_dispatch(graph: GraphWorld) -> None:
    graph.check_action("find", least="$Secret{NAME}", most="$Secret{NAME}")

    outcome = graph.run_action("find", least=1, most="$Secret{NAME}")

    assert isinstance(outcome, Failed)
    assert outcome.code == "VALIDATION_ERROR"
    assert "hush-hush" not in outcome.message


def test_an_event_or_graph_that_is_not_there_is_told_with_the_nearest(graph: GraphWorld) -> None:
    with pytest.raises(NotFound, match="did you mean 'rename'"):
        graph.check_action("renam")
    with pytest.raises(Invalid, match="did you mean 'findNodes'"):
        graph.check("findNodez")
    with pytest.raises(Invalid, match="cannot be a job: use transaction"):
        graph.check("beginTransaction")
    with pytest.raises(Invalid, match="is required"):
        graph.check(None)


@pytest.mark.parametrize(
    ("event", "field", "told"),
    [
        ({"operation": "CREATE"}, "operation", "is not one of"),
        ({"operation": "CREATE_NODE"}, "template.labels", "is required"),
        ({"operation": "CREATE_NODE", "template": {"labels": ["a`b"]}}, "template.labels.0", "is not a name"),
        ({"operation": "FIND_NODES", "template": {"were": {}}}, "template.were", "did you mean 'where'?"),
        (
            {"operation": "FIND_NODES", "template": {"where": {"a": {"$gtt": "{{x}}"}}}},
            "template.where.a.$gtt",
            "'$gt'",
        ),
        ({"operation": "DELETE_NODE", "template": {"detach": True}}, "template.where", "allowAll: true"),
        ({"operation": "DELETE_NODE", "filterTemplate": {}}, "template.where", "allowAll: true"),
        ({"operation": "addLabels", "template": {"id": "{{id}}", "labels": ["A"]}}, "operation", "are fixed"),
        ({"operation": "query", "template": {"query": "COPY x"}}, "template.query", "'COPY' is not accepted"),
        ({"operation": "FIND_NODES", "template": {"where": {"at": "$Now()"}}}, "template", "in an input only"),
        ({"template": {}}, "operation", "is required"),
    ],
)
def test_an_action_that_can_never_run_is_not_saved(
    tmp_path: Path, event: dict[str, Any], field: str, told: str
) -> None:
    graph = {
        "tag": "people", "type": "embedded", "envs": {"prd": {"path": str(tmp_path / "g")}}, "events": [{"tag": "e", **event}],
    }  # fmt: skip
    with pytest.raises(Invalid) as caught:
        read_document({"envs": [{"slug": "prd"}], "graphs": [graph]}, "shop")

    (error,) = caught.value.errors
    assert error.field == f"graphs.0.events.0.{field}"
    assert told in error.detail


@pytest.mark.parametrize(
    ("type", "connection", "field", "told"),
    [
        ("neo4j", {"connection_url": "http://x"}, "connection_url", "must begin with one of bolt://"),
        ("neo4j", {"connection_url": "bolt://"}, "connection_url", "names no host"),
        ("neo4j", {"connection_url": "bolt://x/db"}, "connection_url", "name the database in `database`"),
        ("neo4j", {"connection_url": "bolt://x:port"}, "connection_url", "is not a URL"),
        ("memgraph", {}, "connection_url", "is required"),
        ("neo4j", {"connection_url": "bolt://x", "password": "p"}, "username", "is required with a password"),
        ("embedded", {}, "path", "is required"),
        ("embedded", {"path": "/etc/x"}, "path", "LOCAL_PATHS_ALLOW"),
    ],
)
def test_a_connection_that_can_never_be_made_is_not_stored(
    type: str, connection: dict[str, Any], field: str, told: str
) -> None:
    graph = {"tag": "people", "type": type, "envs": {"prd": connection}}
    with pytest.raises(Invalid) as caught:
        read_document({"envs": [{"slug": "prd"}], "graphs": [graph]}, "shop")

    (error,) = caught.value.errors
    assert error.field == f"graphs.0.envs.prd.{field}"
    assert told in error.detail


def test_the_documented_graph_is_read() -> None:
    entry = {
        "tag": "session-graph", "type": "neo4j",
        "envs": {"prd": {"connection_url": "bolt://neo4j:pw@127.0.0.1:7687", "database": "neo4j"}},
        "events": [{"tag": "expire", "operation": "DELETE_NODE",
                    "template": {"labels": ["Session"], "where": {"expired": True}, "detach": True}}],
    }  # fmt: skip
    read = read_document({"envs": [{"slug": "prd"}], "graphs": [entry]}, "shop")

    (component,) = read.components["graph"]
    assert component.connections[0].settings == {"database": "neo4j"}
    assert component.connections[0].secrets == {"connection_url": "bolt://neo4j:pw@127.0.0.1:7687"}
    assert component.events[0].settings["operation"] == "deleteNode"
