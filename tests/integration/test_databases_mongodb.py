"""MongoDB by mongomock, which is no MongoDB; and on a real server, where MONGODB_URL names one."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any
from uuid import uuid4

import mongomock
import pytest
from pymongo import errors

from executors.base import AttemptFailed
from executors.providers.database.attempts import Attempt
from executors.providers.database.mongodb import MongoDB, failed
from executors.providers.database.reading import read_request
from executors.providers.database.urls import Location, read_url
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

    with pytest.raises(AttemptFailed) as caught:
        provider.told(Attempt(5.0))

    provider.close()
    assert (caught.value.failed.code, caught.value.failed.retryable) == ("CONNECTION_ERROR", True)
