"""MongoDB by mongomock, which is no MongoDB; and on a real server, where MONGODB_URL names one."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator
from functools import partial
from typing import Any
from uuid import uuid4

import mongomock
import pytest
from mongomock.collection import BulkOperationBuilder
from mongomock.store import ServerStore
from pymongo import MongoClient, errors

from core.errors import Invalid
from executors.base import CANCELLED, AttemptFailed, Done
from executors.catalog.components import open_one
from executors.providers.database import check, mongodb
from executors.providers.database.attempts import Attempt
from executors.providers.database.mongodb import MongoDB, failed
from executors.providers.database.reading import read_request
from executors.providers.database.urls import Location, read_url
from tests.integration.database_world import World, within
from tests.servers.local import free_port

ROWS = [
    {"sku": "a", "qty": 5, "tags": ["x", "y"], "place": {"city": "Lagos"}},
    {"sku": "b", "qty": 0, "tags": []},
    {"sku": "c", "qty": 12, "tags": ["y"]},
]


class Mongo:
    """One database, and its operations as a run makes them."""

    def __init__(self, provider: MongoDB) -> None:
        self.provider = provider

    def __call__(self, operation: str, **input: Any) -> dict[str, Any]:
        read = read_request(operation, input, type="mongodb", default_table="stock")
        assert read.errors == []
        return self.provider.run(read.request, Attempt(10.0))

    def skus(self, where: dict[str, Any]) -> str:
        return "".join(row["sku"] for row in self("find", where=where, orderBy="sku")["data"])


@pytest.fixture(params=["mongomock", "real"])
def mongo(request: pytest.FixtureRequest) -> Iterator[Mongo]:
    if request.param == "mongomock":
        location = Location(host="127.0.0.1", port=27017, database="shop", scheme="mongodb")
        made = Mongo(MongoDB(location, client=_mocked))
        made("insert", data=ROWS)
        yield made
        return
    url = os.environ.get("MONGODB_URL")
    if not url:
        pytest.skip("MONGODB_URL names no server")
    location = read_url(f"{url.rstrip('/')}/jobs_{uuid4().hex[:12]}", "mongodb")
    made = Mongo(MongoDB(location))
    made("insert", data=ROWS)
    yield made
    made.provider._made.drop_database(location.database)
    made.provider.close()


def _mocked(url: str, **options: Any) -> Any:
    return mongomock.MongoClient(url, tz_aware=True)


@pytest.fixture(autouse=True)
def sorts(monkeypatch: pytest.MonkeyPatch) -> None:
    """pymongo 4.20 hands a `sort` to a bulk's updates, which mongomock 4.3 does not know."""
    add_update: Any = BulkOperationBuilder.add_update

    def without_sort(self: Any, *args: Any, sort: Any = None, **options: Any) -> Any:
        return add_update(self, *args, **options)

    monkeypatch.setattr(BulkOperationBuilder, "add_update", without_sort)


@pytest.mark.parametrize(
    ("where", "found"),
    [
        ({"qty": 5}, "a"), ({"qty": {"$GT": 0}}, "ac"), ({"qty": {"$between": [0, 5]}}, "ab"), ({"sku": {"$like": "%A%"}}, ""),
        ({"sku": {"$ilike": "A"}}, "a"), ({"sku": {"$like": "_"}}, "abc"), ({"place.city": "Lagos"}, "a"),
        ({"place": {"$exists": False}}, "bc"), ({"place": {"$isNull": True}}, "bc"), ({"place": {"$isNotNull": True}}, "a"),
        ({"tags": {"$contains": "y"}}, "ac"), ({"tags": {"$contains": ["x", "y"]}}, "a"), ({"tags": {"$overlaps": ["x"]}}, "a"),
        ({"$nor": [{"sku": "a"}]}, "bc"), ({"$or": {"sku": "a", "qty": 0}}, "ab"), ({"sku": {"$not": {"$in": ["a", "b"]}}}, "c"),
        ({"sku": {"$regex": "^[ab]$"}}, "ab"), ({"sku": {"$nin": ["a"]}}, "bc"),
    ],
    ids=str,
)  # fmt: skip
def test_each_operator_finds_what_it_says(mongo: Mongo, where: dict[str, Any], found: str) -> None:
    assert mongo.skus(where) == found


def test_documents_come_and_go_as_rows_do(mongo: Mongo) -> None:
    new = mongo("insert", data={"sku": "d", "qty": 1})
    found = mongo("findOne", where={"_id": new["insertedIds"][0]})
    changed = mongo(
        "updateMany",
        where={"sku": {"$in": ["a", "d"]}},
        data={"qty": {"$inc": 2}, "seen": True, "$push": {"tags": "z"}},
    )
    gone = mongo("deleteMany", filter={"qty": {"$lt": 3}})

    assert (new["count"], found["data"]["sku"], changed["count"], gone) == (1, "d", 2, {"count": 1})
    assert mongo("find", select=["sku", "qty", "tags"], orderBy={"column": "qty", "order": "desc"}, limit=2) == {
        "data": [{"sku": "c", "qty": 12, "tags": ["y"]}, {"sku": "a", "qty": 7, "tags": ["x", "y", "z"]}],
        "count": 2, "truncated": True,
    }  # fmt: skip


def test_an_upsert_tells_new_documents_from_others(mongo: Mongo) -> None:
    result = mongo("upsert", data=[{"sku": "a", "qty": 50}, {"sku": "e", "qty": 1}], conflictKeys=["sku"])

    assert result == {"data": [], "count": 2, "operation": "mixed", "inserted": 1, "updated": 1}
    assert mongo.skus({"qty": {"$in": [50, 1]}}) == "ae"


def test_figures_groups_and_conditions(mongo: Mongo) -> None:
    assert mongo("count", where={"qty": {"$gt": 0}}) == {"count": 2}
    assert mongo("count", column="place") == {"count": 1}
    assert mongo("sum", column="qty") == {"sum": 17}
    assert mongo("avg", column="qty", where={"sku": {"$ne": "b"}}) == {"avg": 8.5}
    assert mongo("max", column="qty", where={"sku": "nobody"}) == {"max": None}
    assert mongo("aggregate", operations={"n": {"$count": "*"}, "most": {"$max": "qty"}}) == {"n": 3, "most": 12}
    groups = mongo(
        "groupBy", groupBy=["sku"], operations={"all": {"$sum": "qty"}, "list": {"$stringAgg": "sku"}},
        having={"all": {"$gt": 0}}, orderBy={"column": "all", "order": "desc"},
    )  # fmt: skip
    assert groups == {"data": [{"sku": "c", "all": 12, "list": "c"}, {"sku": "a", "all": 5, "list": "a"}], "count": 2}


def test_a_group_without_its_field_is_of_null_and_joins_nothing(mongo: Mongo) -> None:
    groups = mongo(
        "groupBy", groupBy=["place"], operations={"n": {"$count": "*"}, "names": {"$stringAgg": "place"}},
        where={"sku": {"$ne": "a"}},
    )  # fmt: skip

    assert groups == {"data": [{"place": None, "n": 2, "names": None}], "count": 1}


def test_many_documents_are_upserted_in_parts_until_the_run_is_taken_away(
    mongo: Mongo, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mongodb, "WRITTEN", 2)
    rows = [{"sku": name, "qty": 9} for name in "abcde"]

    assert mongo("upsert", data=rows, conflictKeys=["sku"])["inserted"] == 2
    attempt, upsert_of = Attempt(10.0), mongodb._upsert_of

    def taken_away(*args: Any) -> Any:
        attempt.aborted = True
        return upsert_of(*args)

    monkeypatch.setattr(mongodb, "_upsert_of", taken_away)
    read = read_request(
        "upsert", {"data": [{"sku": "z"}], "conflictKeys": ["sku"]}, type="mongodb", default_table="stock"
    )
    with pytest.raises(AttemptFailed) as caught:
        mongo.provider.run(read.request, attempt)
    assert caught.value.failed.code == CANCELLED
    assert mongo.skus({"sku": "z"}) == ""


def test_no_operator_of_a_caller_reaches_the_server(mongo: Mongo) -> None:
    for where in ({"a.$where": 1}, {"place": {"$eq": {"$gt": ""}}}, {"place": {"$in": [{"x": {"$ne": 1}}]}}):
        with pytest.raises(AttemptFailed, match="is no name of a field"):
            mongo("find", where=where)
    with pytest.raises(AttemptFailed, match="is no name of a field"):
        mongo("insert", data={"x": {"y.$set": 1}})


@pytest.mark.parametrize(
    ("error", "code", "retryable"),
    [
        (errors.DuplicateKeyError("E11000", 11000), "VALIDATION_ERROR", False),
        (errors.OperationFailure("auth failed", 18), "UNAUTHORIZED", False),
        (errors.OperationFailure("not authorized", 13), "FORBIDDEN", False),
        (errors.BulkWriteError({"writeErrors": [{"code": 11000, "errmsg": "E11000"}]}), "VALIDATION_ERROR", False),
        (errors.BulkWriteError({"writeConcernErrors": [{"code": 91, "errmsg": "bye"}]}), "SERVICE_UNAVAILABLE", True),
        (errors.ServerSelectionTimeoutError("no server"), "CONNECTION_ERROR", True),
        (errors.NotPrimaryError("stepped down"), "CONNECTION_ERROR", True),
        (errors.ExecutionTimeout("too long", 50), "TIMEOUT", True),
        (errors.OperationFailure("conflict", 112), "SERVICE_UNAVAILABLE", True),
    ],
)
def test_each_error_has_its_code(error: Exception, code: str, retryable: bool) -> None:
    told = failed(error).failed

    assert (told.code, told.retryable) == (code, retryable)


def test_nobody_at_the_port_is_a_connection_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("executors.providers.database.mongodb.CONNECT_SECONDS", 0.3)
    provider = MongoDB(read_url(f"mongodb://127.0.0.1:{free_port()}/shop", "mongodb"))
    began = time.monotonic()

    with pytest.raises(AttemptFailed) as caught:
        provider.told(Attempt(60.0))

    provider.close()
    assert (caught.value.failed.code, caught.value.failed.retryable) == ("CONNECTION_ERROR", True)
    assert time.monotonic() - began < 20  # not the run's own minute


def test_a_record_that_names_no_servers_may_be_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(url: str) -> Any:
        raise errors.ConfigurationError(f"The DNS query name does not exist: {url}")

    monkeypatch.setattr("executors.providers.database.mongodb.uri_parser.parse_uri", unknown)
    with pytest.raises(AttemptFailed) as caught:
        MongoDB(read_url("mongodb+srv://nowhere.invalid/shop", "mongodb")).told(Attempt(10.0))

    assert (caught.value.failed.code, caught.value.failed.retryable) == ("CONNECTION_ERROR", True)


@pytest.mark.parametrize(
    ("url", "direct", "nodes"),
    [
        ("mongodb://127.0.0.1/shop", True, {("127.0.0.1", 27017)}),
        ("mongodb://[::1]:27018/shop", True, {("::1", 27018)}),
        ("mongodb://127.0.0.1/shop?directConnection=false", False, {("127.0.0.1", 27017)}),
        ("mongodb://u:p%40w@127.0.0.1/shop?authSource=admin&w=1&readPreference=nearest", True, {("127.0.0.1", 27017)}),
        ("mongodb://127.0.0.1:1,127.0.0.1:2/shop?replicaSet=rs", False, {("127.0.0.1", 1), ("127.0.0.1", 2)}),
    ],
)
def test_the_driver_is_told_what_the_url_says(url: str, direct: bool, nodes: set[tuple[str, int]]) -> None:
    made = MongoDB(read_url(url, "mongodb"), client=partial(MongoClient, connect=False))._connected()

    assert made._topology_settings.seeds == nodes
    assert bool(made.options.direct_connection) is direct
    made.close()


def test_runs_that_come_together_share_one_client() -> None:
    made = []

    def counted(url: str, **options: Any) -> Any:
        made.append(url)
        time.sleep(0.05)
        return _mocked(url)

    mongo = Mongo(MongoDB(Location(host="127.0.0.1", port=27017, database="shop", scheme="mongodb"), client=counted))
    threads = [threading.Thread(target=mongo, args=("count",)) for _ in range(5)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()

    assert len(made) == 1


EVENTS: list[dict[str, Any]] = [
    {"tag": "sync", "operation": "UPSERT", "template": {"records": "{{rows}}", "conflictColumns": ["sku"]}},
    {"tag": "low", "operation": "QUERY", "template": {"where": {"qty": {"$lte": "{{most}}"}}, "select": ["sku"]}},
    {"tag": "tag_it", "operation": "UPDATE", "template": {"$addToSet": {"tags": "{{tag}}"}}, "filterTemplate": {"sku": "{{sku}}"}},
]  # fmt: skip


@pytest.fixture
def mocked(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is written stays when a client is closed, as on a server."""
    store: Any = ServerStore()  # type: ignore[no-untyped-call]

    def client(url: str, **options: Any) -> Any:
        return mongomock.MongoClient(url, tz_aware=True, _store=store)

    monkeypatch.setattr(mongodb, "MongoDB", partial(MongoDB, client=client))


@pytest.mark.django_db
@pytest.mark.usefixtures("mocked")
def test_the_executors_run_operations_and_saved_actions() -> None:
    world = World("mongo", f"mongodb://127.0.0.1/shop_{uuid4().hex[:8]}", events=EVENTS)
    told = {"data": [], "count": 1, "operation": "inserted", "inserted": 1, "updated": 0}

    assert world.action("sync", rows=[{"sku": "a", "qty": 1}]) == Done(told)
    assert world.done("insertMany", data=[{"sku": "b", "qty": 5}, {"sku": "c"}])["count"] == 2
    assert world.action("tag_it", sku="b", tag="new") == Done({"data": [], "count": 1})
    assert world.action("low", most=4) == Done({"data": [{"sku": "a"}], "count": 1})
    assert world.done("findOne", where={"sku": "b"}, select=["tags"]) == {"data": {"tags": ["new"]}, "count": 1}
    assert world.done("groupBy", groupBy="sku", operations={"n": {"$count": "*"}}, where={"sku": "a"})["count"] == 1
    assert world.done("sum", column="qty", where={"sku": {"$ne": "c"}}) == {"sum": 6}
    assert world.done("update", data={"qty": 7}, where={"sku": "b"})["count"] == 1
    assert world.done("delete", where={"qty": 7}) == {"count": 1}
    assert "very-secret-sku" not in str(world.done("insert", data={"sku": "$Secret{SKU}"}, returning=True))
    assert world.done("count") == {"count": 3}


@pytest.mark.django_db
def test_sql_is_refused_when_asked_for_and_when_saved() -> None:
    raw = {"tag": "raw", "operation": "RAW_SQL", "template": {"query": "SELECT 1"}}

    with pytest.raises(Invalid) as saved:
        World("mongodb", "mongodb://127.0.0.1/shop", events=[raw])
    with pytest.raises(Invalid) as asked:
        World("mongodb", "mongodb://127.0.0.1/shop").check("raw", query="SELECT 1")

    for caught in (saved, asked):
        assert "mongodb has no raw: MongoDB has no SQL: use find or aggregate" in caught.value.errors[0].detail


@pytest.mark.django_db
def test_a_check_tells_that_nobody_is_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mongodb, "CONNECT_SECONDS", 0.3)
    world = World("mongodb", f"mongodb://jobs:s3cret-pw@127.0.0.1:{free_port()}/shop")
    opened = open_one("database", product_id=world.product.pk, environment_id=world.env.pk, tag="stock-db")

    with pytest.raises(AttemptFailed) as caught:
        within(lambda: check.check(opened))

    assert caught.value.failed.code == "CONNECTION_ERROR"
    assert "s3cret-pw" not in caught.value.failed.message


@pytest.mark.django_db
def test_a_private_address_is_refused_before_the_driver_connects(settings: Any) -> None:
    settings.EGRESS_ALLOW_CIDRS = []

    failed = World("mongodb", "mongodb://127.0.0.1/shop").failed("count")

    assert (failed.code, failed.retryable) == ("FORBIDDEN", False)


@pytest.mark.parametrize("when", ["while its client is made", "before its client is made"])
def test_a_database_that_is_closed_leaves_no_client(when: str) -> None:
    """A run that is taken away goes on in its thread for a moment, while its loop closes what it has kept."""
    is_making, go_on = threading.Event(), threading.Event()
    closed: list[str] = []

    class Slow:
        def __init__(self, url: str, **options: Any) -> None:
            is_making.set()
            go_on.wait(5)

        def close(self) -> None:
            closed.append("client")

        def __getitem__(self, name: str) -> Any:
            raise errors.ConnectionFailure("it is closed")

    provider = MongoDB(Location(host="127.0.0.1", port=1, database="shop", scheme="mongodb"), client=Slow)
    request = read_request("count", {}, type="mongodb", default_table="stock").request
    told: list[str] = []

    def run() -> None:
        with pytest.raises(AttemptFailed) as caught:
            provider.run(request, Attempt(5.0))
        told.append(caught.value.failed.code)

    closing, running = threading.Thread(target=provider.close), threading.Thread(target=run)
    if when == "while its client is made":
        running.start()
        assert is_making.wait(5)
        closing.start()
        closing.join(0.1)  # it waits for the client, or has missed it
    else:
        closing.start()
        closing.join(5)
        running.start()
    go_on.set()
    for thread in (running, closing):
        thread.join(5)

    if when == "while its client is made":
        assert closed == ["client"]
    else:
        assert (told, is_making.is_set()) == ([CANCELLED], False)
