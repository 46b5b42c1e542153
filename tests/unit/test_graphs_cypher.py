"""What Cypher is made of a request: names, conditions, values; and what comes back. Without a database."""

from __future__ import annotations

from datetime import date
from typing import Any

import neo4j.graph
import neo4j.time
import pytest
from hypothesis import given
from hypothesis import strategies as st

from executors.expressions import Moment, Unknown
from executors.providers.graph import bolt, file_rows
from executors.providers.graph.cypher import LONGEST_RESULT, Params, Rows, Var
from executors.providers.graph.names import NAME, quoted
from executors.providers.graph.places import place_of
from executors.providers.graph.requests import OPERATIONS, operation_named, wrong_request
from executors.providers.graph.where import condition, wrong_where


@pytest.mark.parametrize(
    "where",
    [
        {"a": 1},
        {"a": {"$in": []}},
        {"a": {"$nin": [1]}},
        {"a": {"$nin": Unknown("$Input{b}")}},
        {"a": {"$nin": []}, "b": 1},
        {"$or": {"a": 1, "b": {"$in": []}}},
        {"$not": {"a": {"$nin": []}}},
        {"$and": [{"a": {"$nin": []}}, {"b": 1}]},
    ],
    ids=str,
)
def test_a_filter_that_may_leave_something_out_is_one(where: dict[str, Any]) -> None:
    assert list(wrong_request("deleteNode", {"where": where}, "input", "neo4j")) == []


def test_a_filter_that_is_nested_too_deep_is_told_as_that() -> None:
    where: dict[str, Any] = {"a": {"$nin": []}}
    for _ in range(2000):
        where = {"$not": where}

    (error,) = wrong_request("deleteNode", {"where": where}, "input", "neo4j")
    assert "holds too much: 20 levels" in error.detail


@given(st.text(max_size=40))
def test_a_quoted_name_ends_where_it_ends(name: str) -> None:
    if NAME.fullmatch(name):
        assert quoted(name) == f"`{name}`"
        assert not {*name} & {*"`\\\"'(){}[];:$\n\r"}
    else:
        with pytest.raises(ValueError, match="is not a name"):
            quoted(name)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8) | st.just(Unknown("$Secret{A}")),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["a", "$gt", "$or", "$not", "$in", "$like", "$between", "`", ""]), inner, max_size=3
        )
    ),
    max_leaves=12,
)


@given(JSON)
def test_conditions_are_wrong_or_become_text_that_holds_no_value(where: Any) -> None:
    if [*wrong_where(where, "where")] or "Unknown" in repr(_kinds(where)):
        return
    params = Params()

    text = condition(where, Var("n", "(n)"), params)

    assert {*text} <= {*"n.`a` <>=~$p0123456789()[],", *"ABDEHILNOPRSTUVWXYacelorstwLfui"}
    assert text.count("$p") >= len(params.values)


def _kinds(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _kinds(each) for name, each in value.items()}
    return [_kinds(each) for each in value] if isinstance(value, list) else type(value).__name__


@given(st.sampled_from(sorted(OPERATIONS)), st.dictionaries(st.sampled_from(
    ["id", "labels", "where", "properties", "operations", "query", "limit", "nodeFilter", "orderBy", "startNodeId", "params"]
), JSON, max_size=4))  # fmt: skip
def test_any_input_is_told_and_never_an_accident(operation: str, input: dict[str, Any]) -> None:
    for type in ("neo4j", "memgraph", "embedded"):
        for error in wrong_request(operation, input, "input", type):
            assert error.field.startswith("input")


def test_conditions_say_what_was_meant() -> None:
    params = Params()
    where = {"a": {"$GT": 1, "$lt": Moment(5)}, "$or": [{"b": None}, {"$nor": {"c": [1], "d": {"$nin": [2]}}}]}

    text = condition(where, Var("n", "(n)"), params, datetimes=True)

    assert text == (
        "((n.`a` > $p0 AND (n.`a` < $p1 OR n.`a` < datetime({epochMillis: $p1}))) AND "
        "(n.`b` IS NULL OR NOT ((n.`c` = $p2 OR NOT (n.`d` IN $p3)))))"
    )
    assert params.values == {"p0": 1, "p1": 5, "p2": [1], "p3": [2]}


@pytest.mark.parametrize(
    ("written", "name"),
    [
        ("CREATE_NODE", "createNode"), ("createnode", "createNode"), ("Find", "findNodes"), ("deleteNodes", "deleteNode"),
        ("schema.list_labels", "schema.listLabels"), ("listLabels", "schema.listLabels"), ("nothing", None),
    ],
)  # fmt: skip
def test_operations_are_known_in_any_spelling(written: str, name: str | None) -> None:
    assert operation_named(written) == name


@pytest.mark.parametrize(
    ("url", "uri"),
    [
        ("bolt://Graph.example", "bolt://10.0.0.1:7687"), ("neo4j://graph.example:1", "bolt://10.0.0.1:1"),
        ("bolt+s://graph.example", "bolt+s://graph.example:7687"), ("neo4j+s://graph.example", "bolt+s://graph.example:7687"),
        ("neo4j+ssc://graph.example", "bolt+ssc://10.0.0.1:7687"), ("bolt://[::1]:5", "bolt://10.0.0.1:5"),
    ],
)  # fmt: skip
def test_the_driver_gets_the_checked_address_unless_tls_needs_the_name(url: str, uri: str) -> None:
    assert place_of(url).uri("10.0.0.1") == uri
    assert place_of("bolt://x").uri("::1") == "bolt://[::1]:7687"


def test_a_login_in_a_url_is_read_and_not_shown() -> None:
    place = place_of("bolt://us%40er:p%3Aw@graph.example")

    assert (place.username, place.password) == ("us@er", "p:w")
    assert "p:w" not in repr(place)


def test_values_of_the_driver_become_json() -> None:
    graph = neo4j.graph.Graph()

    assert bolt.as_json(neo4j.time.DateTime(2026, 1, 2, 3, 4, 5)) == "2026-01-02T03:04:05.000000000"
    assert bolt.as_json(neo4j.time.Duration(days=1)) == "P1D"
    assert bolt.as_json({"a": [1, 2.5, float("nan"), b"\x00", None, True]}) == {"a": [1, 2.5, None, "AA==", None, True]}
    assert bolt.as_json(neo4j.graph.Node(graph, "4:x:1", 1, ["B", "A"], {"on": neo4j.time.Date(2026, 1, 2)})) == {
        "id": "4:x:1", "labels": ["A", "B"], "properties": {"on": "2026-01-02"}, "elementId": "4:x:1",
    }  # fmt: skip


def test_values_of_the_embedded_database_become_json() -> None:
    place = {"offset": 3, "table": 2}

    assert file_rows.as_json({"_ID": place, "_LABEL": "A:B", "_key": 3, "x": date(2026, 1, 2), "y": None}) == {
        "id": "2:3", "labels": ["A", "B"], "properties": {"x": "2026-01-02"},
    }  # fmt: skip
    assert file_rows.as_json([place, {"a": float("inf")}, b"\x00"]) == ["2:3", {"a": None}, "AA=="]


def test_rows_are_counted_beyond_what_is_kept() -> None:
    few, large = Rows(2), Rows(10)
    for n in range(3):
        few.add({"n": n})
        large.add({"n": "x" * LONGEST_RESULT})

    assert (few.column("n"), few.count, few.truncated) == ([0, 1], 3, True)
    assert (len(large.kept), large.count, large.truncated) == (1, 3, True)
