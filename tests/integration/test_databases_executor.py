"""Operations on real PostgreSQL, MariaDB and SQLite: what each does, and what is the same on all of them."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from core.errors import Invalid
from tests.integration.database_world import Database, World, database, execute, with_stock, within

pytestmark = pytest.mark.django_db
TYPES = ["postgresql", "mariadb", "sqlite"]
ROWS = [
    {"sku": "a", "qty": 5, "price": "9.50"},
    {"sku": "b", "qty": 0, "price": 3},
    {"sku": "c", "qty": 12, "price": 1.25},
]


@pytest.fixture(params=TYPES, scope="module")
def server(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Database]:
    with database(request.param, tmp_path_factory.mktemp("databases")) as made:
        yield made


@pytest.fixture
def real(server: Database) -> Database:
    return with_stock(server)


@pytest.fixture
def world(real: Database) -> World:
    return World(real.type, real.url)


@pytest.fixture
def filled(world: World) -> World:
    assert world.done("insertMany", data=ROWS)["count"] == 3
    return world


def skus(result: dict[str, Any]) -> list[str]:
    return [row["sku"] for row in result["data"]]


def told(caught: pytest.ExceptionInfo[Any]) -> dict[str, str]:
    return {error.field: error.code for error in caught.value.errors}


def test_rows_are_inserted_and_their_ids_told(world: World, real: Database) -> None:
    one = world.done("insert", table="stock", data={"sku": "a", "qty": 5})
    many = world.done("insertMany", entity="stock", data=[{"sku": "b"}, {"sku": "c", "qty": 1}, {"sku": "d"}])

    assert one == {"data": [], "count": 1, "insertedIds": [1]}
    assert many == {"data": [], "count": 3, "insertedIds": [2, 3, 4]}
    assert real.rows("SELECT sku, qty FROM stock ORDER BY id") == [("a", 5), ("b", None), ("c", 1), ("d", None)]


def test_what_was_inserted_can_be_returned(world: World) -> None:
    result = world.done("insert", data={"sku": "a", "qty": 5}, returningColumns=["sku", "id"])

    assert result == {"data": [{"sku": "a", "id": 1}], "count": 1, "insertedIds": [1]}


def test_rows_are_found_in_order_and_by_the_page(filled: World) -> None:
    result = filled.done("query", select=["sku", "qty"], orderBy={"column": "qty", "order": "DESC"}, limit=2)
    rest = filled.done("find", fields=["sku"], orderBy=[{"field": "qty", "order": "desc"}], limit=2, offset=2)

    assert result == {"data": [{"sku": "c", "qty": 12}, {"sku": "a", "qty": 5}], "count": 2, "truncated": True}
    assert rest == {"data": [{"sku": "b"}], "count": 1}


def test_one_row_is_found_or_none(filled: World) -> None:
    assert filled.done("findOne", where={"sku": "b"}, select="sku") == {"data": {"sku": "b"}, "count": 1}
    assert filled.done("findOne", where={"sku": "z"}) == {"data": None, "count": 0}


@pytest.mark.parametrize(
    ("where", "found"),
    [
        ({"qty": 5}, "a"), ({"qty": {"$EQ": 5}}, "a"), ({"qty": {"$ne": 5}}, "bc"), ({"qty": {"$GT": 0}}, "ac"),
        ({"qty": {"$gte": 5, "$lt": 12}}, "a"), ({"qty": {"$lte": 0}}, "b"), ({"qty": {"$gt": 4.5}}, "ac"),
        ({"sku": {"$in": ["a", "c", "z"]}}, "ac"), ({"sku": {"$NIN": ["a"]}}, "bc"), ({"sku": {"$in": []}}, ""),
        ({"sku": {"$like": "%a%"}}, "a"), ({"sku": {"$ilike": "A"}}, "a"), ({"qty": {"$BETWEEN": [0, 5]}}, "ab"),
        ({"made": {"$isNull": True}}, "abc"), ({"made": {"$IsNotNull": True}}, ""), ({"made": None}, "abc"),
        ({"made": {"$exists": True}}, ""), ({"sku": {"$contains": "%"}}, ""), ({"sku": {"$contains": "b"}}, "b"),
        ({"$or": [{"sku": "a"}, {"qty": 0}]}, "ab"), ({"$OR": {"sku": "a", "qty": 0}}, "ab"),
        ({"$and": [{"qty": {"$gt": 0}}, {"sku": "c"}]}, "c"), ({"$nor": [{"sku": "a"}, {"sku": "b"}]}, "c"),
        ({"sku": {"$not": {"$in": ["a", "b"]}}}, "c"), ({"price": {"$gt": "3.00"}}, "a"), ({"price": 1.25}, "c"),
    ],
    ids=lambda value: json.dumps(value) if isinstance(value, dict) else "",
)  # fmt: skip
def test_each_operator_finds_what_it_says(filled: World, where: dict[str, Any], found: str) -> None:
    """In any case of letters: contracts §5.2, row 24."""
    assert "".join(skus(filled.done("find", filter=where, orderBy="sku"))) == found


def test_a_pattern_is_the_servers_own(filled: World, real: Database) -> None:
    if real.type == "sqlite":
        with pytest.raises(Invalid, match=r"sqlite has no \$regex: SQLite has no regular expressions: use \$like"):
            filled.check("find", where={"sku": {"$regex": "^[ab]$"}})
    else:
        assert skus(filled.done("find", where={"sku": {"$regex": "^[ab]$"}}, orderBy="sku")) == ["a", "b"]


def test_rows_are_updated_with_values_and_operators(filled: World, real: Database) -> None:
    result = filled.done("update", data={"qty": 7, "$set": {"price": "2.20"}}, where={"sku": "a"})
    grown = filled.done(
        "updateMany", data={"$INC": {"qty": 2}, "price": {"$mul": 2}}, where={"sku": {"$in": ["a", "b"]}}
    )
    least = filled.done("update", data={"$min": {"qty": 3}}, where={"qty": {"$gt": 0}})
    unset = filled.done("update", data={"$unset": ["price"], "$currentDate": {"made": True}}, where={"sku": "c"})

    assert (result, grown["count"], least["count"], unset["count"]) == ({"data": [], "count": 1}, 2, 3, 1)
    rows = filled.done("find", select=["sku", "qty", "price"], orderBy="sku")["data"]
    assert rows == [
        {"sku": "a", "qty": 3, "price": 4.4}, {"sku": "b", "qty": 2, "price": 6}, {"sku": "c", "qty": 3, "price": None},
    ]  # fmt: skip
    assert filled.done("count", where={"made": {"$lte": "$Now()"}}) == {"count": 1}


def test_an_increment_of_nothing_begins_at_nought(world: World) -> None:
    world.done("insert", data={"sku": "a"})

    world.done("update", data={"qty": {"$inc": 3}, "price": {"$max": 2}}, where={"sku": "a"})

    assert world.done("findOne", select=["qty", "price"])["data"] == {"qty": 3, "price": 2}


def test_rows_are_deleted_as_the_documents_spell_it(world: World, real: Database) -> None:
    """`deleteMany`, `filter`, and `$DateAdd` where a column is of times: contracts §5.2, rows 23 and 29."""
    world.done("insert", data=[{"sku": "old", "made": "2020-01-01T00:00:00Z"}, {"sku": "new", "made": "$Now()"}])

    result = world.done("deleteMany", filter={"made": {"$lt": '$DateAdd($Now(), -90, "days")'}})

    assert result == {"count": 1}
    assert real.rows("SELECT sku FROM stock") == [("new",)]


def test_an_update_or_delete_of_everything_must_be_asked_for(filled: World, real: Database) -> None:
    inputs: list[dict[str, Any]] = [
        {},
        {"where": {}},
        {"where": {"$and": [{"sku": {"$nin": []}}]}},
        {"filter": {"$or": [{"sku": {"$nin": []}}]}},
        {"where": {"sku": {"$not": {"$in": []}}}},
        {"where": {"$not": {"sku": {"$in": []}}}},
        {"where": {"$nor": [{"sku": {"$in": []}}]}},
        {"where": {"$or": [{"sku": "a"}, {"$not": {"sku": {"$in": []}}}]}},
    ]
    for input in inputs:
        with pytest.raises(Invalid, match=r"this would delete every row\. Say which, or say allowAll: true"):
            filled.check("deleteMany", **input)
        assert filled.failed("deleteMany", **input).code == "VALIDATION_ERROR"

    assert real.rows("SELECT count(*) FROM stock") == [(3,)]
    assert filled.done("deleteMany", where={"$nor": [{"sku": {"$in": []}}], "$not": {"qty": {"$nin": []}}}) == {
        "count": 0
    }
    assert filled.done("deleteMany", where={}, allowAll=True) == {"count": 3}


def test_an_upsert_writes_what_is_there_and_inserts_what_is_not(filled: World) -> None:
    rows = [{"sku": "a", "qty": 50}, {"sku": "d", "qty": 1}]

    result = filled.done("upsert", records=rows, conflictColumns=["sku"])
    again = filled.done(
        "upsert", data={"sku": "d", "qty": 9, "price": 1}, conflictKeys=["sku"], updateColumns=["price"]
    )

    assert result == {"data": [], "count": 2, "operation": "mixed", "inserted": 1, "updated": 1}
    assert again == {"data": [], "count": 1, "operation": "updated", "inserted": 0, "updated": 1}
    found = filled.done("find", where={"sku": {"$in": ["a", "d"]}}, select=["sku", "qty", "price"], orderBy="sku")
    assert found["data"] == [{"sku": "a", "qty": 50, "price": 9.5}, {"sku": "d", "qty": 1, "price": 1}]


def test_an_upsert_needs_a_unique_index(filled: World) -> None:
    failed = filled.failed("upsert", data={"qty": 1, "sku": "a"}, conflictKeys=["qty"])

    assert failed.code == "VALIDATION_ERROR"
    assert failed.message == ("table 'stock' has no unique index on (qty), which an upsert needs: it has (id), (sku)")


def test_a_conflict_of_an_insert_can_be_passed_over(filled: World, real: Database) -> None:
    on_conflict = {"columns": ["sku"], "action": "ignore"}

    result = filled.done("insert", data=[{"sku": "a", "qty": 99}, {"sku": "e", "qty": 1}], onConflict=on_conflict)

    assert result["count"] == 1
    assert real.rows("SELECT qty FROM stock WHERE sku = 'a'") == [(5,)]


def test_figures_are_computed(filled: World) -> None:
    assert filled.done("count") == {"count": 3}
    assert filled.done("count", where={"qty": {"$gt": 0}}) == {"count": 2}
    assert filled.done("count", column="ok", distinct=True) == {"count": 1}
    assert filled.done("sum", column="qty") == {"sum": 17}
    assert filled.done("avg", field="qty", where={"sku": {"$in": ["a", "c"]}}) == {"avg": 8.5}
    assert filled.done("min", column="price") == {"min": 1.25}
    assert filled.done("max", column="sku") == {"max": "c"}
    assert filled.done("sum", column="qty", where={"sku": "z"}) == {"sum": None}


def test_aggregates_have_aliases_groups_and_conditions(filled: World) -> None:
    filled.done("update", data={"day": "2026-01-02"}, where={"qty": {"$gt": 0}})

    total = filled.done(
        "aggregate", operations={"n": {"$COUNT": "*"}, "all": {"$sum": "qty"}, "skus": {"$arrayAgg": "sku"}}
    )
    groups = filled.done(
        "groupBy", groupBy=["day"], aggregate={"n": {"$count": "sku"}, "most": {"$max": "qty"}},
        having={"n": {"$gte": 2}}, orderBy={"column": "most", "order": "desc"},
    )  # fmt: skip
    joined = filled.done("query", operations={"list": {"$stringAgg": {"column": "sku", "separator": "/"}}})

    assert (total["n"], total["all"], sorted(total["skus"])) == (3, 17, ["a", "b", "c"])
    assert groups == {"data": [{"day": "2026-01-02", "n": 2, "most": 12}], "count": 1}
    assert sorted(joined["list"].split("/")) == ["a", "b", "c"]


def test_a_raw_statement_has_its_values_bound(filled: World, real: Database) -> None:
    query = "SELECT sku, qty FROM stock WHERE qty > $1 AND sku <> $2 AND sku NOT LIKE '%$9;z' ORDER BY sku; -- the end"

    result = filled.done("raw", query=query, params=[-1, "'; DROP TABLE stock; --"])
    written = filled.done("raw", query="UPDATE stock SET qty = $1 WHERE sku = $2 OR qty = $1", params=[77, "a"])

    assert result == {
        "data": [{"sku": "a", "qty": 5}, {"sku": "b", "qty": 0}, {"sku": "c", "qty": 12}], "count": 3,
        "fields": ["sku", "qty"],
    }  # fmt: skip
    assert written == {"data": [], "count": 1, "fields": []}
    assert real.rows("SELECT qty FROM stock WHERE sku = 'a'") == [(77,)]


def test_values_of_every_type_come_back_as_json(world: World, real: Database) -> None:
    row = {
        "sku": "x", "made": 1_767_323_045_678, "day": "2026-02-03", "ok": False, "extra": {"a": [1, None]},
        "raw": base64.b64encode(b"\x00\xff").decode(), "odd name": "%s 'x' \u00fc", "price": "12345678.90",
    }  # fmt: skip

    world.done("insert", data=row)
    found = world.done("findOne", where={"odd name": row["odd name"], "ok": False, "made": {"$lte": row["made"]}})[
        "data"
    ]

    extra = '{"a": [1, null]}' if real.type == "mariadb" else {"a": [1, None]}  # its JSON is a text
    made = {"postgresql": "2026-01-02T03:04:05.678000+00:00", "mariadb": "2026-01-02T03:04:05.678000",
            "sqlite": "2026-01-02 03:04:05.678000"}[real.type]  # fmt: skip
    ok = 0 if real.type == "mariadb" else False
    assert {name: value for name, value in found.items() if name not in {"id", "tags"}} == {
        **row, "qty": None, "made": made, "ok": ok, "extra": extra, "price": 12345678.9,
    }  # fmt: skip
    json.dumps(found, allow_nan=False)


@pytest.mark.parametrize(
    ("operation", "input", "words"),
    [
        ("find", {"table": "stocks"}, "there is no table 'stocks': did you mean 'stock'?"),
        ("find", {"table": 'stock"; DROP TABLE stock; --'}, "there is no table 'stock\"; DROP TABLE"),
        ("find", {"select": ["skuu"]}, "table 'stock' has no column 'skuu': did you mean 'sku'?"),
        ("find", {"where": {"qty = 0 OR 1=1; --": 1}}, "table 'stock' has no column 'qty = 0 OR 1=1; --'"),
        ("find", {"orderBy": {"column": "qty; DROP TABLE stock"}}, "nothing is called 'qty; DROP TABLE stock' here"),
        ("insert", {"data": {"sku": "z", "qyt": 1}}, "table 'stock' has no column 'qyt': did you mean 'qty'?"),
        ("update", {"data": {"qty": "many"}, "where": {"sku": "a"}}, "the column 'qty' is INTEGER: 'many' is no value of it"),
        ("find", {"where": {"qty": "abc"}}, "the column 'qty' is INTEGER: 'abc' is no value of it"),
        ("find", {"where": {"made": "soon"}}, "'soon' is no value of it"),
        ("insert", {"data": {"raw": "&"}}, "'&' is no value of it"),
        ("aggregate", {"operations": {"x": {"$sum": "nope"}}}, "has no column 'nope'"),
        ("raw", {"query": "SELEC 1"}, "SELEC"),
        ("raw", {"query": "SELECT nope FROM stock"}, "nope"),
    ],
)  # fmt: skip
def test_what_a_table_does_not_have_is_told(
    filled: World, real: Database, operation: str, input: dict[str, Any], words: str
) -> None:
    failed = filled.failed(operation, **input)

    assert (failed.code, failed.retryable) == ("VALIDATION_ERROR", False)
    assert words in failed.message.replace("INTEGER(11)", "INTEGER")
    assert real.rows("SELECT count(*) FROM stock") == [(3,)]


def test_hostile_values_are_only_values(world: World, real: Database) -> None:
    hostile = "x'); DROP TABLE stock; -- \\' %s %(a)s :b $1 ?"

    world.done("insert", data={"sku": hostile[:40], "odd name": hostile})
    world.done("update", data={"odd name": hostile * 2}, where={"odd name": hostile})
    found = world.done("find", where={"odd name": {"$like": hostile[:6] + "%"}})

    assert [row["odd name"] for row in found["data"]] == [hostile * 2]


def test_a_hostile_alias_is_only_a_name(filled: World) -> None:
    alias = 'x" , (SELECT 1) AS "%s `y'

    assert filled.done("aggregate", operations={alias: {"$count": "*"}}) == {alias: 3}


def test_a_row_that_is_there_already_fails_the_whole_insert(filled: World, real: Database) -> None:
    failed = filled.failed("insertMany", data=[{"sku": "new"}, {"sku": "a"}])

    assert (failed.code, failed.retryable) == ("VALIDATION_ERROR", False)
    assert real.rows("SELECT count(*) FROM stock") == [(3,)]


def test_a_column_that_was_added_or_dropped_is_noticed(filled: World, real: Database) -> None:
    first = filled.operation("findOne", {"where": {"sku": "a"}})
    then = filled.operation("update", {"data": {"place": "x"}, "where": {"sku": "a"}})
    last = filled.operation("findOne", {"where": {"place": "x"}})

    async def change() -> list[Any]:
        before = await execute(first)
        real.execute("ALTER TABLE stock ADD COLUMN place varchar(10)")
        written = await execute(then)
        real.execute("ALTER TABLE stock DROP COLUMN price")
        after = await execute(last)
        return [before, written, after]

    before, written, after = within(change)

    assert "price" in before.result["data"]
    assert written.result["count"] == 1
    assert after.result["data"].keys() == {*before.result["data"], "place"} - {"price"}


def test_a_long_answer_is_cut_and_says_so(world: World) -> None:
    world.done("insertMany", data=[{"sku": f"s{n:04}", "odd name": "x" * 2000} for n in range(1200)])

    by_rows = world.done("find", select=["sku"])
    by_bytes = world.done("find", limit=2000, select=["sku", "odd name"], orderBy="sku")
    raw = world.done("raw", query="SELECT sku FROM stock ORDER BY sku", limit=10)

    assert (by_rows["count"], by_rows["truncated"]) == (1000, True)
    assert by_bytes["truncated"] is True
    assert 500 < by_bytes["count"] < 525
    assert (raw["count"], raw["truncated"]) == (10, True)


def test_returning_tells_what_was_written(filled: World, real: Database) -> None:
    input = {"data": {"qty": 1}, "where": {"sku": "a"}, "returning": True}
    if real.type == "mariadb":
        with pytest.raises(Invalid, match="MariaDB cannot return the rows it updated"):
            filled.check("update", **input)
    else:
        result = filled.done("update", **input)
        assert (result["count"], result["data"][0]["qty"]) == (1, 1)
    gone = filled.done("delete", where={"sku": "b"}, returningColumns=["sku"])
    assert gone == {"data": [{"sku": "b"}], "count": 1}


def test_a_raw_statement_without_parameters_keeps_its_signs(world: World) -> None:
    assert world.done("raw", query="SELECT '100%' AS x, '%s' AS y")["data"] == [{"x": "100%", "y": "%s"}]


@pytest.mark.parametrize("value", [10**30, "half \ud800"], ids=["too large", "half a character"])
def test_a_value_that_no_driver_sends_is_told(world: World, value: Any) -> None:
    column = "qty" if isinstance(value, int) else "sku"

    failed = world.failed("insert", data={column: value})

    assert (failed.code, failed.retryable) == ("VALIDATION_ERROR", False)


@pytest.fixture
def postgresql(tmp_path: Path) -> Iterator[World]:
    with database("postgresql", tmp_path) as made:
        with_stock(made)
        world = World("postgresql", made.url)
        world.done("insert", data={"sku": "a", "tags": ["x", "y"], "extra": {"k": {"n": 1}, "l": [1, 2]}})
        yield world


def test_lists_and_json_of_postgresql_are_looked_into_and_changed(postgresql: World) -> None:
    found = [
        {"tags": {"$contains": "x"}}, {"tags": {"$contains": ["y", "x"]}}, {"tags": {"$overlaps": ["q", "x"]}},
        {"tags": {"$containedBy": ["x", "y", "z"]}}, {"tags": ["x", "y"]}, {"extra": {"$contains": {"k": {"n": 1}}}},
    ]  # fmt: skip
    missed = [{"tags": {"$contains": "q"}}, {"tags": {"$overlaps": ["q"]}}, {"extra": {"$contains": {"k": 1}}}]
    changes: list[tuple[dict[str, Any], list[str]]] = [
        ({"$push": {"tags": "x"}}, ["x", "y", "x"]), ({"$addToSet": {"tags": "y"}}, ["x", "y", "x"]),
        ({"$addToSet": {"tags": "z"}}, ["x", "y", "x", "z"]), ({"tags": {"$pull": "x"}}, ["y", "z"]),
        ({"tags": {"$pop": 1}}, ["y"]), ({"tags": {"$push": "w"}}, ["y", "w"]), ({"tags": {"$pop": -1}}, ["w"]),
    ]  # fmt: skip

    assert [postgresql.done("count", where=where)["count"] for where in found] == [1] * len(found)
    assert [postgresql.done("count", where=where)["count"] for where in missed] == [0] * len(missed)
    for data, tags in changes:
        changed = postgresql.done("update", data=data, where={"sku": "a"}, returningColumns="tags")
        assert changed["data"] == [{"tags": tags}], data
    assert (
        "needs a column that is an array"
        in postgresql.failed("update", data={"$push": {"qty": 1}}, allowAll=True).message
    )


def test_mysqls_own_way_to_write_on_its_sibling(tmp_path: Path) -> None:
    with database("mariadb", tmp_path) as made:
        with_stock(made)
        world = World("mysql", made.url)

        many = world.done("insert", data=[{"sku": "a", "qty": 1}, {"sku": "b", "id": 9}, {"sku": "c"}])
        upsert = world.done("upsert", data=[{"sku": "a", "qty": 7}, {"sku": "d"}], conflictKeys="sku")

        assert many == {"data": [], "count": 3, "insertedIds": [1, 9, 10]}
        assert (upsert["inserted"], upsert["updated"]) == (1, 1)
        assert made.rows("SELECT qty FROM stock WHERE sku = 'a'") == [(7,)]
        with pytest.raises(Invalid, match="mysql has no returning: MySQL cannot return the rows it wrote"):
            world.check("insert", data={"sku": "z"}, returning=True)
