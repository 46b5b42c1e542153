"""Every operation on a graph, on every backend that is here: the embedded one always, servers where a URL names one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

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


def names(nodes: list[dict[str, Any]]) -> list[str]:
    return sorted(node["properties"]["name"] for node in nodes)


def test_a_node_is_created_and_found_by_its_id(graph: GraphWorld) -> None:
    properties = {"name": "Ann", "age": 41, "score": 1.5, "active": True, "tags": ["x", "y"]}

    made = graph.done("createNode", labels=["Person", "Admin"], properties=properties)

    assert made["created"] is True
    assert sorted(made["node"]["labels"]) == ["Admin", "Person"]
    assert made["node"]["properties"] == properties
    assert graph.done("findNodeById", id=made["node"]["id"]) == {"node": made["node"]}


def test_what_no_node_has_as_id_is_null(graph: GraphWorld) -> None:
    id = graph.node("Person", name="Ann")
    graph.done("deleteNode", id=id)

    assert graph.done("findNodeById", id=id) == {"node": None}
    assert graph.done("updateNode", id=id, properties={"a": 1}) == {"node": None, "updatedCount": 0}
    assert graph.done("deleteNode", id=id) == {"deleted": False, "deletedCount": 0}


@pytest.mark.parametrize(
    ("where", "expected"),
    [
        ({"age": 30}, ["Bob"]),
        ({"age": {"$gt": 20, "$LTE": 30}}, ["Bob"]),
        ({"age": {"$in": [10, 30]}}, ["Bob", "Cid"]),
        ({"age": {"$nin": [10]}}, ["Ann", "Bob"]),
        ({"age": {"$ne": 10}}, ["Ann", "Bob"]),
        ({"age": {"$between": [10, 30]}}, ["Bob", "Cid"]),
        ({"age": {"$not": {"$gte": 30}}}, ["Cid"]),
        ({"age": "thirty"}, []),
        ({"age": {"$ne": "thirty"}}, ["Ann", "Bob", "Cid"]),
        ({"nick": None}, ["Bob", "Cid", "Dan"]),
        ({"nick": {"$isNotNull": True}}, ["Ann"]),
        ({"age": {"$EXISTS": False}}, ["Dan"]),
        ({"nowhere": 1}, []),
        ({"nowhere": {"$ne": 1}}, []),
        ({"$not": {"nowhere": 1}}, []),
        ({"nowhere": {"$is_null": True}, "age": 10}, ["Cid"]),
        ({"name": {"$like": "%n"}}, ["Ann", "Dan"]),
        ({"name": {"$like": "B_b"}}, ["Bob"]),
        ({"name": {"$ilike": "a%"}}, ["Ann"]),
        ({"name": {"$regex": "[AB].*"}}, ["Ann", "Bob"]),
        ({"name": {"$contains": "o"}}, ["Bob"]),
        ({"name": {"$startsWith": "A"}}, ["Ann"]),
        ({"name": {"$ENDS_WITH": "d"}}, ["Cid"]),
        ({"$or": [{"name": "Ann"}, {"age": {"$lt": 20}}]}, ["Ann", "Cid"]),
        ({"$OR": {"name": "Ann", "age": 10}}, ["Ann", "Cid"]),
        ({"$and": [{"age": {"$gt": 5}}, {"$or": [{"name": "Bob"}, {"name": "Cid"}]}]}, ["Bob", "Cid"]),
        ({"$nor": [{"name": "Ann"}, {"name": "Bob"}]}, ["Cid", "Dan"]),
        ({"ok": True}, ["Ann"]),
        ({}, ["Ann", "Bob", "Cid", "Dan"]),
    ],
    ids=str,
)
def test_conditions_choose_nodes(graph: GraphWorld, where: dict[str, Any], expected: list[str]) -> None:
    people = [
        {"name": "Ann", "age": 50, "nick": "A", "ok": True}, {"name": "Bob", "age": 30, "ok": False},
        {"name": "Cid", "age": 10}, {"name": "Dan"},
    ]  # fmt: skip
    graph.done(
        "transaction",
        operations=[{"operation": "createNode", "labels": ["Person"], "properties": each} for each in people],
    )

    found = graph.done("findNodes", labels=["Person"], where=where)

    assert names(found["nodes"]) == expected
    assert found["count"] == len(expected)
    assert graph.done("countNodes", labels=["Person"], where=where) == {"count": len(expected)}


def test_nodes_are_found_in_pages_and_in_order(graph: GraphWorld) -> None:
    for name in "caeb":
        graph.node("Letter", name=name)

    found = graph.done("findNodes", labels="Letter", orderBy={"name": "desc"}, skip=1, limit=2)

    assert [node["properties"]["name"] for node in found["nodes"]] == ["c", "b"]
    assert (found["count"], "truncated" in found) == (2, False)


def test_all_labels_must_fit(graph: GraphWorld) -> None:
    graph.node("Person", name="Ann")
    graph.node("Person", "Admin", name="Bob")

    assert names(graph.done("find", labels=["Person"])["nodes"]) == ["Ann", "Bob"]
    assert names(graph.done("find", labels=["Admin", "Person"])["nodes"]) == ["Bob"]
    assert graph.done("find", labels=["Person", "Other"]) == {"nodes": [], "count": 0}


def test_a_node_is_changed_by_its_id_and_incremented(graph: GraphWorld) -> None:
    id = graph.node("Person", name="Ann", age=41)

    graph.done("updateNode", id=id, properties={"age": {"$INCREMENT": 2}, "hits": {"$increment": 1}, "new": "n"})
    graph.done("updateNode", id=id, properties={"age": {"$INCREMENT": -1}, "new": None})

    assert graph.done("findNodeById", id=id)["node"]["properties"] == {"name": "Ann", "age": 42, "hits": 1}


def test_nodes_are_changed_by_a_filter(graph: GraphWorld) -> None:
    for name in ("Ann", "Bob", "Cid"):
        graph.node("Person", name=name)

    changed = graph.done("update", labels=["Person"], where={"name": {"$gt": "B"}}, properties={"seen": True})

    assert (changed["updatedCount"], names(changed["nodes"])) == (2, ["Bob", "Cid"])
    assert names(graph.done("findNodes", where={"seen": True})["nodes"]) == ["Bob", "Cid"]


def test_the_documented_cleanup_deletes_by_filter_alone(graph: GraphWorld) -> None:
    graph.node("Session", name="old", expired=True)
    graph.node("Token", name="older", expired=True)
    graph.node("Session", name="new", expired=False)

    assert graph.done("deleteNodes", filter={"expired": True}) == {"deleted": True, "deletedCount": 2}
    assert names(graph.done("findNodes")["nodes"]) == ["new"]
    assert graph.done("deleteNodes", filter={"expired": True}) == {"deleted": False, "deletedCount": 0}


@pytest.mark.parametrize("operation", ["deleteNodes", "updateNode", "deleteRelationship", "updateRelationship"])
@pytest.mark.parametrize(
    ("input", "told"),
    [
        ({}, "without a filter needs allowAll: true"),
        ({"where": {}}, "without a filter needs allowAll: true"),
        ({"filter": {}, "allowAll": False}, "without a filter needs allowAll: true"),
        ({"where": {"a": {"$nin": []}}}, "without a filter needs allowAll: true"),
        ({"where": {"$not": {"a": {"$in": []}}}}, "without a filter needs allowAll: true"),
        ({"where": {"a": {"$NOT": {"$in": []}}}}, "without a filter needs allowAll: true"),
        ({"filter": {"$or": [{"a": 1}, {"a": {"$nin": []}}]}}, "without a filter needs allowAll: true"),
        ({"filter": {"$nor": {"a": {"$in": []}}}}, "without a filter needs allowAll: true"),
        ({"where": {"$and": [{}]}}, "must hold a condition"),
        ({"where": {"$or": [{"name": "b"}, {}]}}, "must hold a condition"),
        ({"where": {"$not": {}}}, "must hold a condition"),
        ({"where": {"$and": []}}, "must hold 1 to"),
        ({"where": {"name": {}}}, "must be a value, or operators"),
    ],
    ids=str,
)
def test_an_empty_filter_changes_nothing(graph: GraphWorld, operation: str, input: dict[str, Any], told: str) -> None:
    graph.node("Person", name="Ann")
    given = {**input, **({"properties": {"a": 1}} if operation.startswith("update") else {})}

    with pytest.raises(Invalid, match=told):
        graph.check(operation, **given)
    failed = graph.failed(operation, **given)

    assert (failed.code, failed.retryable) == ("VALIDATION_ERROR", False)
    assert graph.done("countNodes") == {"count": 1}


def test_all_nodes_are_deleted_where_that_is_said(graph: GraphWorld) -> None:
    graph.related("KNOWS", graph.node("A", name="a"), graph.node("B", name="b"))

    assert graph.done("deleteNodes", allowAll=True, detach=True) == {"deleted": True, "deletedCount": 2}
    assert graph.done("getStatistics")["relationshipCount"] == 0


def test_a_node_with_relationships_is_only_deleted_with_them(graph: GraphWorld) -> None:
    id = graph.node("Person", name="Ann")
    graph.related("KNOWS", id, graph.node("Person", name="Bob"))

    assert graph.failed("deleteNode", id=id).code == "VALIDATION_ERROR"
    assert graph.done("deleteNode", id=id, detach=True) == {"deleted": True, "deletedCount": 1}
    assert graph.done("countRelationships") == {"count": 0}


def test_a_node_is_merged(graph: GraphWorld) -> None:
    def merged() -> dict[str, Any]:
        return graph.done(
            "mergeNode", labels=["Person"], matchProperties={"name": "Ann"}, onCreate={"visits": 1},
            onMatch={"visits": {"$INCREMENT": 1}},
        )  # fmt: skip

    first, second = merged(), merged()

    assert (first["created"], first["node"]["properties"]) == (True, {"name": "Ann", "visits": 1})
    assert (second["created"], second["node"]["properties"]) == (False, {"name": "Ann", "visits": 2})
    assert first["node"]["id"] == second["node"]["id"]
    short = graph.done("MERGE_NODE", labels="Person", matchProps={"name": "Bob"}, setProps={"age": 3})
    assert short["node"]["properties"] == {"name": "Bob", "age": 3}


def test_labels_are_changed_where_the_backend_can(graph: GraphWorld) -> None:
    id = graph.node("Person", name="Ann")
    if graph.type == "embedded":
        with pytest.raises(Invalid, match="the labels of a node are fixed in an embedded graph"):
            graph.check("addLabels", id=id, labels=["Admin"])
        return

    assert sorted(graph.done("addLabels", id=id, labels=["Admin"])["node"]["labels"]) == ["Admin", "Person"]
    assert graph.done("removeLabels", id=id, labels=["Admin"])["node"]["labels"] == ["Person"]
    assert sorted(graph.done("setLabels", id=id, labels=["A", "B"])["node"]["labels"]) == ["A", "B"]


def test_a_relationship_is_created_found_changed_and_deleted(graph: GraphWorld) -> None:
    ann, bob = graph.node("Person", name="Ann"), graph.node("Dog", name="Bob")

    made = graph.done("createRelationship", type="OWNS", fromId=ann, toId=bob, properties={"since": 2020})
    relationship = made["relationship"]

    assert made["created"] is True
    assert (relationship["type"], relationship["startNodeId"], relationship["endNodeId"]) == ("OWNS", ann, bob)
    assert relationship["properties"] == {"since": 2020}
    assert graph.done("findRelationshipById", id=relationship["id"]) == {"relationship": relationship}
    changed = graph.done("updateRelationship", id=relationship["id"], properties={"since": {"$INCREMENT": 1}})
    assert (changed["updatedCount"], changed["relationship"]["properties"]) == (1, {"since": 2021})
    changed = graph.done("updateRelationship", type="OWNS", where={"since": 2021}, properties={"seen": True})
    assert [each["id"] for each in changed["relationships"]] == [relationship["id"]]
    assert graph.done("deleteRelationship", id=relationship["id"]) == {"deleted": True, "deletedCount": 1}
    assert graph.done("findRelationshipById", id=relationship["id"]) == {"relationship": None}


def test_relationships_are_found_by_type_end_direction_and_properties(graph: GraphWorld) -> None:
    a, b, c = (graph.node("P", name=name) for name in "abc")
    ab, bc = graph.related("KNOWS", a, b, w=1), graph.related("LIKES", b, c, w=2)

    def found(**input: Any) -> list[str]:
        return [each["id"] for each in graph.done("findRelationships", **input)["relationships"]]

    assert set(found()) == {ab, bc}
    assert (found(type="KNOWS"), found(types=["LIKES"]), found(types=["NONE"])) == ([ab], [bc], [])
    assert (found(startNodeId=b), found(endNodeId=b)) == ([bc], [ab])
    assert found(startNodeId=b, direction="INCOMING") == [ab]
    assert set(found(startNodeId=b, direction="both")) == {ab, bc}
    assert (found(where={"w": {"$gt": 1}}), found(startNodeId=a, endNodeId=b)) == ([bc], [ab])
    assert graph.done("countRelationships", types=["KNOWS", "LIKES"], where={"w": 1}) == {"count": 1}
    assert graph.done("deleteRelationship", startNodeId=a)["deletedCount"] == 1


def test_a_relationship_to_nothing_is_a_failure(graph: GraphWorld) -> None:
    id, gone = graph.node("P", name="a"), graph.node("P", name="b")
    graph.done("deleteNode", id=gone)

    failed = graph.failed("createRelationship", type="KNOWS", startNodeId=id, endNodeId=gone)

    assert (failed.code, failed.retryable) == ("NOT_FOUND", False)
    assert repr(gone) in failed.message


def test_a_relationship_is_merged(graph: GraphWorld) -> None:
    a, b = graph.node("P", name="a"), graph.node("P", name="b")

    def merged() -> dict[str, Any]:
        return graph.done(
            "mergeRelationship", type="KNOWS", startNodeId=a, endNodeId=b, onCreate={"n": 1},
            onMatch={"n": {"$INCREMENT": 1}},
        )  # fmt: skip

    first, second = merged(), merged()

    assert (first["created"], second["created"]) == (True, False)
    assert second["relationship"]["properties"] == {"n": 2}
    assert first["relationship"]["id"] == second["relationship"]["id"]


def test_paths_are_traversed_and_the_shortest_is_found(graph: GraphWorld) -> None:
    a, b, c = graph.node("P", name="a"), graph.node("P", name="b"), graph.node("City", name="c")
    graph.related("KNOWS", a, b)
    graph.related("KNOWS", b, c)
    graph.related("LIKES", a, c)

    paths = graph.done("traverse", startNodeId=a, maxDepth=2)["paths"]
    to_city = graph.done("traverse", startNodeId=a, maxDepth=2, nodeFilter={"labels": ["City"]})
    back = graph.done("traverse", startNodeId=c, direction="INCOMING", relationshipTypes=["LIKES"])["paths"]
    shortest = graph.done("shortestPath", startNodeId=a, endNodeId=c)["path"]
    known = graph.done("SHORTEST_PATH", startNodeId=a, endNodeId=c, relationshipTypes=["KNOWS"])["path"]
    every = graph.done("allPaths", startNodeId=a, endNodeId=c, maxDepth=4)

    assert sorted(path["length"] for path in paths) == [1, 1, 2]
    assert sorted(path["length"] for path in to_city["paths"]) == [1, 2]
    assert [[node["id"] for node in path["nodes"]] for path in back] == [[c, a]]
    assert (shortest["length"], [node["id"] for node in shortest["nodes"]]) == (1, [a, c])
    assert (known["length"], [each["type"] for each in known["relationships"]]) == (2, ["KNOWS", "KNOWS"])
    assert sorted(path["length"] for path in every["paths"]) == [1, 2]
    assert graph.done("allPaths", startNodeId=a, endNodeId=c, minDepth=2)["count"] == 1
    assert graph.done("shortestPath", startNodeId=c, endNodeId=a, direction="OUTGOING") == {"path": None}
    assert graph.done("shortestPath", startNodeId=a, endNodeId=a) == {"path": None}


def test_a_neighborhood_is_walked_step_by_step(graph: GraphWorld) -> None:
    a, b, c, d = (graph.node("P", name=name) for name in "abcd")
    for start, end in ((a, b), (b, c), (c, d)):
        graph.related("KNOWS", start, end)

    near = graph.done("getNeighborhood", nodeId=b)
    far = graph.done("getNeighborhood", nodeId=a, depth=2, direction="OUTGOING")
    filtered = graph.done("getNeighborhood", nodeId=b, depth=3, nodeFilter={"where": {"name": {"$ne": "c"}}})

    assert (names(near["nodes"]), len(near["relationships"])) == (["a", "c"], 2)
    assert (names(far["nodes"]), len(far["relationships"])) == (["b", "c"], 2)
    assert "d" not in names(filtered["nodes"])


def test_components_statistics_and_names_are_counted(graph: GraphWorld) -> None:
    a, b, c = graph.node("P", name="a"), graph.node("P", "Q", name="b"), graph.node("R", name="c")
    graph.related("KNOWS", a, b)

    found = graph.done("findConnectedComponents")

    assert [part["size"] for part in found["components"]] == [2, 1]
    assert {str(id) for id in found["components"][1]["nodeIds"]} == {c}
    assert graph.done("getStatistics") == {
        "nodeCount": 3, "relationshipCount": 1, "labels": {"P": 2, "Q": 1, "R": 1}, "relationshipTypes": {"KNOWS": 1},
    }  # fmt: skip
    assert {"P", "Q", "R"} <= {*graph.done("schema.listLabels")["labels"]}
    assert "KNOWS" in graph.done("listRelationshipTypes")["relationshipTypes"]


def test_a_query_has_its_values_as_parameters(graph: GraphWorld) -> None:
    graph.node("Person", name="Ann")
    graph.node("Person", name="Bob")

    found = graph.done(
        "query", query="MATCH (n:Person) WHERE n.name = $name RETURN n.name AS name", params={"name": "Ann"}
    )

    assert found == {"rows": [{"name": "Ann"}], "count": 1}
    assert graph.failed("query", query="MATCH (n RETURN n").code == "VALIDATION_ERROR"
    assert (
        graph.failed("query", query="MATCH (n:Person) RETURN n.name AS a; MATCH (m) DETACH DELETE m").code
        == "VALIDATION_ERROR"
    )
    assert graph.done("countNodes") == {"count": 2}


def test_more_rows_than_are_kept_are_told(graph: GraphWorld) -> None:
    graph.node("Person", name="x" * 1000)

    found = graph.done("query", query="MATCH (n:Person) UNWIND range(1, 1500) AS i RETURN i")
    large = graph.done("query", query="MATCH (n:Person) UNWIND range(1, 1500) AS i RETURN n.name AS name, n AS node")

    assert (len(found["rows"]), found["count"], found["truncated"]) == (1000, 1500, True)
    assert len(large["rows"]) < 1000
    assert large["truncated"] is True


def test_the_operations_of_a_transaction_succeed_or_fail_together(graph: GraphWorld) -> None:
    good = {"operation": "createNode", "input": {"labels": ["T"], "properties": {"x": 1}}}

    done = graph.done("transaction", operations=[good, {"operation": "countNodes", "labels": ["T"]}])
    failed = graph.failed("transaction", operations=[good, {"operation": "query", "query": "RETURN nonsense("}, good])

    assert (done["count"], done["results"][0]["created"], done["results"][1]) == (2, True, {"count": 1})
    assert failed.code == "VALIDATION_ERROR"
    assert graph.done("countNodes", labels=["T"]) == {"count": 1}


def test_times_that_are_computed_are_milliseconds(graph: GraphWorld) -> None:
    graph.node("Session", name="old", at=1_000)
    graph.node("Session", name="new", at=32_503_680_000_000)
    input = {"filter": {"at": {"$lt": '$DateAdd($Now(), -1, "days")'}}}

    assert graph.done("deleteNodes", **input) == {"deleted": True, "deletedCount": 1}
    assert names(graph.done("findNodes")["nodes"]) == ["new"]


def test_a_secret_in_an_input_is_not_shown_again(graph: GraphWorld) -> None:
    made = graph.done("createNode", labels=["P"], properties={"name": "$Secret{NAME}"})

    assert made["node"]["properties"] == {"name": "***"}
    assert graph.done("countNodes", where={"name": "$Secret{NAME}"}) == {"count": 1}
