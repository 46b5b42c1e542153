"""Saved actions of a real database: templates, their placeholders, and what is refused when they are stored."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from core.errors import Invalid, NotFound
from executors.base import Done, Failed
from tests.integration.database_world import Database, World, database, with_stock

pytestmark = pytest.mark.django_db
EVENTS: list[dict[str, Any]] = [
    {"tag": "sync", "operation": "UPSERT", "table": "stock", "template": {"records": "{{rows}}", "conflictColumns": ["sku"]}},
    {"tag": "add", "operation": "insert", "tableName": "stock", "template": {"records": [{"sku": "{{sku}}", "qty": "{{qty}}", "odd name": "is {{ sku }}!"}]}},
    {"tag": "low", "operation": "QUERY", "template": {"where": {"qty": {"$LTE": "{{most}}"}, "sku": {"$in": "{{skus}}"}}, "select": ["sku"], "limit": "{{page}}"}},
    {"tag": "stock_db_set", "operation": "UPDATE", "template": {"qty": {"$inc": "{{by}}"}, "made": "$Now()"}, "filterTemplate": {"sku": "{{sku}}"}},
    {"tag": "drop", "operation": "DELETE", "filterTemplate": {"sku": "{{sku}}"}},
    {"tag": "sum", "operation": "AGGREGATE", "template": {"operations": {"all": {"$SUM": "qty"}}}},
    {"tag": "many", "operation": "COUNT", "template": {"where": {"qty": {"$gt": "{{least}}"}}}},
    {"tag": "raw", "operation": "RAW_SQL", "tableName": "stock", "template": {"query": "SELECT sku FROM stock WHERE sku = $1", "params": ["{{sku}}"]}},
]  # fmt: skip


@pytest.fixture(params=["postgresql", "mariadb", "sqlite"], scope="module")
def server(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Database]:
    with database(request.param, tmp_path_factory.mktemp("databases")) as made:
        yield made


@pytest.fixture
def real(server: Database) -> Database:
    return with_stock(server)


@pytest.fixture
def world(real: Database) -> World:
    world = World(real.type, real.url, events=EVENTS)
    world.done("insert", data=[{"sku": "a", "qty": 5}, {"sku": "b", "qty": 50}])
    return world


def done(world: World, event: str, **input: Any) -> dict[str, Any]:
    world.check_action(event, **input)
    outcome = world.action(event, **input)
    assert isinstance(outcome, Done), outcome
    return dict(outcome.result)


def test_a_placeholder_keeps_the_type_of_its_value(world: World, real: Database) -> None:
    synced = done(world, "sync", rows=[{"sku": "a", "qty": 6}, {"sku": "c", "qty": 7}])
    found = done(world, "low", most=6, skus=["a", "b", "c"], page=1)

    assert (synced["count"], synced["operation"]) == (2, "mixed")
    assert found == {"data": [{"sku": "a"}], "count": 1}


@pytest.mark.parametrize(
    "input",
    [
        {"sku": "n", "qty": 3}, {"data": {"sku": "n", "qty": 3}}, {"query": {"sku": "n"}, "data": {"qty": 3}},
        {"data": {"qty": 3}, "filter": {"sku": "n"}},
    ],
    ids=["flat", "data", "query and data", "data and filter"],
)  # fmt: skip
def test_an_input_fills_placeholders_in_each_of_its_forms(world: World, real: Database, input: dict[str, Any]) -> None:
    """Contracts §5.2, row 25."""
    assert done(world, "add", **input)["count"] == 1

    assert real.rows("SELECT qty, sku FROM stock WHERE sku = 'n'") == [(3, "n")]
    assert world.done("count", where={"odd name": "is n!"}) == {"count": 1}


def test_an_action_without_placeholders_takes_the_empty_input_of_the_documents(world: World) -> None:
    assert done(world, "stock-db:sum", query={}, data={}) == {"all": 55}


def test_updates_deletes_and_statements_are_saved_too(world: World, real: Database) -> None:
    assert done(world, "stock_db_set", by=2, sku="a")["count"] == 1
    assert real.rows("SELECT qty FROM stock WHERE sku = 'a' AND made IS NOT NULL") == [(7,)]
    hostile = "a' OR '1'='1"
    assert done(world, "raw", sku=hostile) == {"data": [], "count": 0, "fields": ["sku"]}
    assert done(world, "drop", sku=hostile) == {"count": 0}
    assert done(world, "drop", sku="a") == {"count": 1}


def test_a_value_is_never_looked_into_again(world: World, real: Database) -> None:
    done(world, "add", sku="{{qty}}", qty=1)

    assert world.done("count", where={"sku": "{{qty}}"}) == {"count": 1}


def test_what_is_missing_or_wrong_is_told_at_dispatch(world: World) -> None:
    with pytest.raises(Invalid) as missing:
        world.check_action("add", skuu="x", qty=1)
    with pytest.raises(Invalid) as wrong:
        world.check_action("low", most=1, skus="a", page=0)
    with pytest.raises(NotFound, match="did you mean 'sync'"):
        world.check_action("snyc", rows=[])

    assert [(error.field, error.code) for error in missing.value.errors] == [("input.sku", "required")]
    assert "the template has {{sku}}: did 'skuu' mean it?" in missing.value.detail
    assert [error.field for error in wrong.value.errors] == ["input.where.sku.$in", "input.limit"]
    failed = world.action("add", qty=1)
    assert isinstance(failed, Failed)
    assert (failed.code, failed.retryable) == ("VALIDATION_ERROR", False)


@pytest.mark.parametrize(
    ("event", "field", "words"),
    [
        ({"operation": "SELECT"}, "operation", "'SELECT' is not one of"),
        ({"operation": "UPDATE", "template": {"qty": 1}}, "template.where", "this would update every row"),
        ({"operation": "DELETE"}, "template.where", "this would delete every row"),
        ({"operation": "INSERT"}, "template.data", "is required"),
        ({"operation": "RAW_SQL", "template": {"query": "SELECT {{x}}"}}, "template", "values are bound, never put into a statement"),
        ({"operation": "RAW_SQL", "template": {"query": "SELECT $1"}}, "template.params", "has 0 values, but the statement has 1"),
        ({"operation": "QUERY", "template": {"where": {"{{x}}": 1}}}, "template.where", "not the name of a field"),
        ({"operation": "QUERY", "table": "{{x}}"}, "template", "no placeholder can stand here"),
        ({"operation": "QUERY", "template": {"wehre": {}}}, "template.wehre", "did you mean 'where'?"),
        ({"operation": "QUERY", "template": {"where": {"sku": "$Secret{SKU}"}}}, "template", "put a {{name}} here"),
        ({"operation": "UPSERT", "template": {"records": [{"qty": 1}], "conflictColumns": ["sku"]}}, "template.records.0", "has no 'sku'"),
    ],
)  # fmt: skip
def test_an_action_that_can_never_run_is_not_stored(event: dict[str, Any], field: str, words: str) -> None:
    with pytest.raises(Invalid) as caught:
        World("postgresql", "postgresql://h/d", events=[{"tag": "x", **event}])

    told = {error.field.removeprefix("databases.0.events.0."): error.detail for error in caught.value.errors}
    assert words in told[field]


def test_an_older_count_counts(world: World) -> None:
    assert done(world, "many", least=10) == {"count": 1}
