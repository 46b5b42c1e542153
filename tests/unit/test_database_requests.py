"""Inputs of databases read into requests, without a database: spellings, operators, and what is wrong with them."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest

from executors.expressions import Unknown
from executors.providers.database.changes import OPERATORS as CHANGES
from executors.providers.database.raw_sql import NotOne, take_apart
from executors.providers.database.reading import OPERATIONS, read_request
from executors.providers.database.requests import Compare, Every
from executors.providers.database.shown import shown


def problems(operation: str, input: dict[str, Any], type: str = "postgresql") -> dict[str, str]:
    return {error.field: error.detail for error in read_request(operation, input, type=type, default_table="t").errors}


@pytest.mark.parametrize("name", [*OPERATIONS, "FINDONE", "delete_many", "insertOne"])
def test_every_operation_is_known_in_any_case(name: str) -> None:
    assert "operation" not in problems(name, {})
    assert problems(name + "x", {})["operation"].startswith(f"'{name}x' is not one of query, find")


def test_both_spellings_are_one_and_not_given_together() -> None:
    one = read_request("find", {"entity": "a", "filter": {"x": 1}, "fields": ["x"]}, type="sqlite").request
    other = read_request("query", {"table": "a", "where": {"x": {"$EQ": 1}}, "select": "x"}, type="sqlite").request

    assert one == other
    assert one.where == Every((Compare(column="x", operator="$eq", value=1),))
    assert problems("find", {"where": {}, "filter": {}}) == {
        "input.filter": "is another name of where: give one of them"
    }


@pytest.mark.parametrize(
    ("operation", "input", "field", "words"),
    [
        ("find", {"wher": {}}, "input.wher", "did you mean 'where'?"),
        ("find", {"where": []}, "input.where", "must be an object"),
        ("find", {"where": {"a": {}}}, "input.where.a", "is empty"),
        ("find", {"where": {"a": {"$gtt": 1}}}, "input.where.a.$gtt", "did you mean '$gt'?"),
        ("find", {"where": {"$xor": [{"a": 1}]}}, "input.where.$xor", "did you mean '$or'?"),
        ("find", {"where": {"$where": "1"}}, "input.where.$where", "does not join conditions"),
        ("find", {"where": {"$or": []}}, "input.where.$or", "at least one"),
        ("find", {"where": {"a": {"$between": [1]}}}, "input.where.a.$between", "two values"),
        ("find", {"where": {"a": {"$in": [None]}}}, "input.where.a.$in", "null is $isNull"),
        ("find", {"where": {"a": {"$isNull": 1}}}, "input.where.a.$isNull", "needs true or false"),
        ("find", {"where": {"a\nb": 1}}, "input.where", "must be a name"),
        ("find", {"limit": 10_001}, "input.limit", "from 1 to 10000"),
        ("find", {"offset": True}, "input.offset", "whole number"),
        ("find", {"orderBy": {"column": "a", "order": "up"}}, "input.orderBy", "asc or desc"),
        ("find", {"having": {"a": 1}}, "input.having", "needs `operations`"),
        ("insert", {}, "input.data", "is required"),
        ("insert", {"data": [{"a": 1}, {}]}, "input.data.1", "must be a row"),
        ("insert", {"data": {"$inc": 1}}, "input.data.$inc", "operators stand in an update only"),
        ("insert", {"data": {"a": 1}, "onConflict": {"columns": ["a"], "action": "x"}}, "input.onConflict", "must be {columns"),
        ("update", {"data": {}, "where": {"a": 1}}, "input.data", "not empty"),
        ("update", {"data": {"a": 1, "$inc": {"a": 1}}, "where": {"a": 1}}, "input.data.$inc.a", "changed twice"),
        ("update", {"data": {"a": {"$inc": "1"}}, "where": {"a": 1}}, "input.data.a.$inc", "needs a number"),
        ("update", {"data": {"a": {"$add": 1}}, "where": {"a": 1}}, "input.data.a", "did you mean '$addToSet'?"),
        ("upsert", {"data": {"a": 1}}, "input.conflictKeys", "is required"),
        ("upsert", {"data": [{"a": 1}, {"a": 1}], "conflictKeys": ["a"]}, "input.data.1", "same conflict keys as row 0"),
        ("sum", {}, "input.column", "is required"),
        ("aggregate", {"operations": {"n": {"$median": "a"}}}, "input.operations.n.$median", "is no function"),
        ("groupBy", {"operations": {"n": {"$count": "*"}}}, "input.groupBy", "is required"),
        ("raw", {"query": "SELECT 1; DROP TABLE t"}, "input.query", "must be one statement"),
        ("raw", {"query": "SELECT $2", "params": [1]}, "input.params", "has 1 values, but the statement has 2 parameters"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_told_at_its_place(operation: str, input: dict[str, Any], field: str, words: str) -> None:
    assert words in problems(operation, input)[field]


@pytest.mark.parametrize(
    ("type", "operation", "input", "words"),
    [
        ("mysql", "insert", {"data": {"a": 1}, "returning": True}, "mysql has no returning"),
        ("mariadb", "update", {"data": {"a": {"$push": 1}}, "where": {"a": 1}}, "mariadb has no $push"),
        ("sqlite", "find", {"where": {"a": {"$overlaps": [1]}}}, "sqlite has no $overlaps"),
        ("postgresql", "update", {"data": {"$rename": {"a": "b"}}, "where": {"a": 1}}, "postgresql has no $rename"),
        ("mongodb", "raw", {"query": "x"}, "mongodb has no raw"),
    ],
)
def test_what_a_type_cannot_do_is_told_before_it_is_sent(
    type: str, operation: str, input: dict[str, Any], words: str
) -> None:
    (detail,) = problems(operation, input, type).values()
    assert detail.startswith(words)


@pytest.mark.parametrize("value", [{"a": 1}, ["a"], [], {}], ids=str)
@pytest.mark.parametrize(
    ("operation", "field"),
    [("count", "column"), ("sum", "column"), ("aggregate", "operations.n.$count"), ("aggregate", "operations.n.$sum")],
)
def test_a_list_or_an_object_for_a_column_is_told(operation: str, field: str, value: Any) -> None:
    function = field.rpartition(".")[2]
    input = {"operations": {"n": {function: value}}} if operation == "aggregate" else {"column": value}

    assert "must be a name" in problems(operation, input)[f"input.{field}"]


def test_what_only_a_run_knows_is_never_refused() -> None:
    later = Unknown("$Secret{X}")
    inputs: list[tuple[str, dict[str, Any]]] = [
        ("find", {"where": later, "limit": later, "select": later, "orderBy": later}),
        ("find", {"where": {"a": {"$in": later, "$between": later}, "$or": later}}),
        ("delete", {"where": later}), ("delete", {"where": {"$and": later}}), ("insert", {"data": later}),
        ("insert", {"data": [later, {"a": later}]}), ("update", {"data": later, "where": {"a": later}}),
        ("upsert", {"data": later, "conflictKeys": ["a"]}), ("aggregate", {"operations": later}),
        ("raw", {"query": "SELECT $1", "params": later}), ("raw", {"query": later, "params": [1]}),
        ("count", {"column": later}), ("update", {"data": dict.fromkeys(CHANGES, later), "where": {"a": 1}}),
    ]  # fmt: skip
    for operation, input in inputs:
        assert problems(operation, input, "mongodb" if "$rename" in str(input) else "postgresql") == {}, input


@pytest.mark.parametrize(
    ("query", "type", "written"),
    [
        (
            "SELECT $1, '$2', \"$3\" -- $4\n, $2 /* $5; */",
            "postgresql",
            "SELECT <0>, '$2', \"$3\" -- $4\n, <1> /* $5; */",
        ),
        ("SELECT $f$ $1 ; $f$, $1;", "postgresql", "SELECT $f$ $1 ; $f$, <0>"),
        ("SELECT E'\\';$1', a ? 'b'", "postgresql", "SELECT E'\\';$1', a ? 'b'"),
        ("SELECT ?, '?', ? # ?", "mysql", "SELECT <0>, '?', <1> # ?"),
        ("SELECT '\\';?' , `?`, $1", "mariadb", "SELECT '\\';?' , `?`, <0>"),
        ("SELECT [?;], ? ;  -- end", "sqlite", "SELECT [?;], <0> "),
    ],
)
def test_parameters_are_found_outside_of_quotes_and_comments(query: str, type: str, written: str) -> None:
    assert take_apart(query, type).written(str, lambda position: f"<{position}>") == written


@pytest.mark.parametrize(
    "query", ["", " -- x", "SELECT 1; SELECT 2", "SELECT ?; ; SELECT 1", "SELECT $0", "SELECT $1, ?"]
)
def test_what_is_not_one_statement(query: str) -> None:
    with pytest.raises(NotOne):
        take_apart(query, "mysql")


@pytest.mark.parametrize(
    ("query", "reads"),
    [("select 1", True), ("WITH a AS (SELECT 1) SELECT * FROM a", True), ("WITH a AS (DELETE FROM t) SELECT 1", False),
     ("SELECT 1 INTO x", False), ("SELECT 1 FOR UPDATE", False), ("UPDATE t SET a = 1", False), ("CALL x()", False)],
)  # fmt: skip
def test_what_only_reads(query: str, reads: bool) -> None:
    assert take_apart(query, "postgresql").reads is reads


@pytest.mark.parametrize(
    ("value", "json"),
    [
        (Decimal("12.50"), 12.5), (Decimal(3), 3), (Decimal("0.12345678901234567890"), "0.12345678901234567890"),
        (Decimal("NaN"), "NaN"), (float("inf"), "inf"), (b"\xff", "/w=="), (memoryview(b"a"), "YQ=="),
        (datetime(2026, 1, 2, 3, tzinfo=UTC), "2026-01-02T03:00:00+00:00"), (datetime(2026, 1, 2), "2026-01-02T00:00:00"),
        (date(2026, 1, 2), "2026-01-02"), (time(1, 2), "01:02:00"), (timedelta(hours=1), 3600.0), ({"b", "a"}, ["a", "b"]),
        (UUID(int=1), "00000000-0000-0000-0000-000000000001"), ([{"a": (1, None)}], [{"a": [1, None]}]),
    ],
)  # fmt: skip
def test_values_are_shown_as_json(value: Any, json: Any) -> None:
    assert shown(value) == json
