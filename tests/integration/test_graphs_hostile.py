"""Names and values that try to say more than they may: never a part of the Cypher."""

from __future__ import annotations

from pathlib import Path

import pytest

from core.errors import Invalid
from tests.integration.graph_world import GraphWorld, connection_of

pytestmark = pytest.mark.django_db


@pytest.fixture(params=["embedded", "neo4j", "memgraph"])
def graph(request: pytest.FixtureRequest, tmp_path: Path) -> GraphWorld:
    world = GraphWorld(request.param, connection_of(request.param, tmp_path))
    if world.type != "embedded":
        world.done("deleteNodes", allowAll=True, detach=True)
    return world


HOSTILE = ["x`) DETACH DELETE n //", "a\\u0060b", "a:b", "a`b", "", "x" * 200, "1a", "a;b", "a\nb", "a'b", "{a}"]


@pytest.mark.parametrize("name", HOSTILE)
def test_a_name_that_says_more_than_a_name_is_refused(graph: GraphWorld, name: str) -> None:
    graph.node("Person", name="Ann")
    for operation, input in (
        ("createNode", {"labels": [name]}),
        ("createNode", {"labels": ["A"], "properties": {name: 1}}),
        ("findNodes", {"labels": [name]}),
        ("findNodes", {"where": {name or "$": 1}}),
        ("findNodes", {"orderBy": {name: "asc"}}),
        ("updateNode", {"where": {"a": 1}, "properties": {name: 1}}),
        ("mergeNode", {"labels": ["A"], "matchProperties": {name: 1}}),
        ("createRelationship", {"type": name, "startNodeId": "1", "endNodeId": "2"}),
        ("findRelationships", {"types": [name]}),
        ("traverse", {"startNodeId": "1", "relationshipTypes": [name]}),
    ):
        with pytest.raises(Invalid):
            graph.check(operation, **input)
        assert graph.failed(operation, **input).code == "VALIDATION_ERROR"
    assert graph.done("countNodes") == {"count": 1}


@pytest.mark.parametrize(
    "value", ["' OR 1=1 //", "\\", "`", "$p0", "{{x}}", "\u2028", "x'}) DETACH DELETE n //", "ünï"]
)
def test_a_value_is_only_ever_a_value(graph: GraphWorld, value: str) -> None:
    id = graph.node("Person", name=value)

    assert [node["id"] for node in graph.done("findNodes", where={"name": value})["nodes"]] == [id]
    assert [node["id"] for node in graph.done("findNodes", where={"name": {"$like": value}})["nodes"]] in ([id], [])
    assert graph.done("updateNode", id=id, properties={"other": value})["node"]["properties"]["other"] == value
    assert graph.done("findNodeById", id=value) == {"node": None}
    assert graph.done("countNodes") == {"count": 1}
