"""MongoDB through pymongo: requests as filters, updates and pipelines that are made here, never taken as written.

Its hosts are checked just before the client connects; members that a replica set names itself are reached as it
names them.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping
from typing import Any, TypeVar

import pymongo
from bson import Decimal128
from bson.errors import BSONError
from pymongo import MongoClient, UpdateOne, errors, uri_parser

from core import clock
from executors.base import (
    CANCELLED,
    CONNECTION_ERROR,
    FORBIDDEN,
    SERVICE_UNAVAILABLE,
    TIMEOUT,
    UNAUTHORIZED,
    VALIDATION_ERROR,
    AttemptFailed,
)
from executors.providers.database.attempts import Attempt
from executors.providers.database.columns import WrongValue
from executors.providers.database.mongo_filters import field, filter_of, value_of
from executors.providers.database.requests import Aggregate, Change, Conflict, Request
from executors.providers.database.shown import Kept, decimal, shown
from executors.providers.database.urls import PORTS, Location
from executors.reach.addresses import check_all

T = TypeVar("T")

CONNECT_SECONDS = 8.0  # the driver looks for a server all that time, and a check has 10 s
POOLED = 5
WRITTEN = 500  # documents of an upsert that are sent at once: between them it may be ended
# Codes of the server (https://www.mongodb.com/docs/manual/reference/error-codes/)
_CODES = {
    **dict.fromkeys((13, 8000), (FORBIDDEN, False)), 18: (UNAUTHORIZED, False), 50: (TIMEOUT, True),
    **dict.fromkeys((91, 112, 189, 10107, 11600, 11602, 13435, 13436), (SERVICE_UNAVAILABLE, True)),
}  # fmt: skip


class MongoDB:
    """One database. Its methods raise AttemptFailed."""

    def __init__(self, location: Location, client: Callable[..., Any] = MongoClient) -> None:
        self._location = location
        self._make = client
        self._made: Any = None
        self._making = threading.Lock()
        self._closed = False

    def run(self, request: Request, attempt: Attempt) -> dict[str, Any]:
        def work(database: Any) -> dict[str, Any]:
            collection = database[field(request.table)]
            if request.verb == "upsert":
                return self._upsert(collection, request, attempt)
            return _VERBS[request.verb](self, collection, request)

        return self._guarded(attempt, work)

    def told(self, attempt: Attempt) -> str:
        version = self._guarded(attempt, lambda database: database.client.server_info()["version"])
        return f"MongoDB {version}, database {self._location.database}"

    def close(self) -> None:
        with self._making:  # a thread whose run was taken away may be making it
            self._closed = True
            if self._made is not None:
                self._made.close()

    def _guarded(self, attempt: Attempt, work: Callable[[Any], T]) -> T:
        try:
            with self._making:  # the first runs of a worker come together: one client serves them all
                if self._closed:
                    raise AttemptFailed(CANCELLED, "the attempt was ended")
                if self._made is None:
                    self._made = self._connected()
            database = self._made[self._location.database]
            # Under a timeout the driver looks for a server as long as that lasts: one that is away is told sooner.
            with pymongo.timeout(min(CONNECT_SECONDS, attempt.left())):
                database.command("ping", read_preference=database.read_preference)
            with pymongo.timeout(attempt.left()):
                return work(database)
        except WrongValue as error:
            raise AttemptFailed(VALIDATION_ERROR, str(error)) from None
        except (errors.PyMongoError, BSONError) as error:
            raise failed(error) from None

    def _connected(self) -> Any:
        location = self._location
        several = "," in location.host or location.scheme == "mongodb+srv"
        host = f"[{location.host}]" if ":" in location.host and not several else location.host
        url = f"{location.scheme}://{host}{'' if several else f':{location.port}'}/"
        check_all(_members(url))
        options: dict[str, Any] = {} if several or "replicaSet" in location.options else {"directConnection": True}
        options |= {"username": location.user, "password": location.password} if location.user else {}
        return self._make(
            url, maxPoolSize=POOLED, serverSelectionTimeoutMS=int(CONNECT_SECONDS * 1000),
            connectTimeoutMS=int(CONNECT_SECONDS * 1000), tz_aware=True, **(options | dict(location.options)),
        )  # fmt: skip

    def _find(self, collection: Any, request: Request) -> dict[str, Any]:
        names = {field(name): True for name in request.select if name != "*"}
        if names and "_id" not in names:
            names["_id"] = False
        cursor = collection.find(filter_of(request.where), names or None).skip(request.offset)
        if request.order:
            cursor = cursor.sort([(field(each.name), -1 if each.descending else 1) for each in request.order])
        kept = Kept(request.limit).fill(_documents(cursor.limit(request.limit + (not request.one))))
        if request.one:
            return {"data": kept.rows[0] if kept.rows else None, "count": len(kept.rows)}
        return kept.result()

    def _insert(self, collection: Any, request: Request) -> dict[str, Any]:
        documents = [{field(name): value_of(value, name) for name, value in row.items()} for row in request.rows]
        ids = [shown(found) for found in map(_json, collection.insert_many(documents).inserted_ids)]
        kept = Kept(len(documents)).fill(_documents(documents) if request.returning else ())
        return {**kept.result(), "count": len(ids), "insertedIds": ids}

    def _update(self, collection: Any, request: Request) -> dict[str, Any]:
        result = collection.update_many(filter_of(request.where), _changes(request.changes))
        return {"data": [], "count": result.matched_count}

    def _delete(self, collection: Any, request: Request) -> dict[str, Any]:
        return {"count": collection.delete_many(filter_of(request.where)).deleted_count}

    def _upsert(self, collection: Any, request: Request, attempt: Attempt) -> dict[str, Any]:
        conflict = request.conflict
        assert conflict is not None
        writes, there = [_upsert_of(row, conflict) for row in request.rows], 0
        for at in range(0, len(writes), WRITTEN):
            attempt.left()
            there += collection.bulk_write(writes[at : at + WRITTEN]).matched_count
        new_ones = len(writes) - there
        word = "inserted" if not there else "updated" if not new_ones else "mixed"
        return {"data": [], "count": len(writes), "operation": word, "inserted": new_ones, "updated": there}

    def _figure(self, collection: Any, request: Request) -> dict[str, Any]:
        if request.verb == "count" and not request.distinct:
            where = filter_of(request.where)
            if request.column != "*":
                where = {"$and": [where, {field(request.column): {"$ne": None}}]}
            return {"count": collection.count_documents(where)}
        if request.verb == "count":
            found = collection.distinct(field(request.column), filter_of(request.where))
            return {"count": len([value for value in found if value is not None])}
        each = Aggregate(alias="figure", function=f"${request.verb}", column=request.column)
        rows = list(collection.aggregate(_pipeline(request, (each,))))
        return {request.verb: shown(_json(rows[0]["figure"])) if rows else None}

    def _aggregate(self, collection: Any, request: Request) -> dict[str, Any]:
        stages = _pipeline(request, request.aggregates)
        if request.having is not None:
            stages.append({"$match": filter_of(request.having)})
        if request.order:
            stages.append({"$sort": {each.name: -1 if each.descending else 1 for each in request.order}})
        stages += [{"$skip": request.offset}] if request.offset else []
        rows = list(_documents(collection.aggregate([*stages, {"$limit": request.limit + 1}])))
        joined = {each.alias: each.separator for each in request.aggregates if each.function in _JOINED}
        for row in rows:
            row |= {alias: _joined(row[alias], separator) for alias, separator in joined.items()}
        if request.verb == "aggregate":
            nothing = {each.alias: 0 if each.function == "$count" else None for each in request.aggregates}
            return {name: shown(value) for name, value in (rows[0] if rows else nothing).items()}
        return Kept(request.limit).fill(rows).result()


_JOINED = ("$stringAgg", "$groupConcat")


def _members(url: str) -> list[tuple[str, int]]:
    """The hosts that a URL names itself, or by the SRV record that it names."""
    try:
        return [(host, port or PORTS["mongodb"]) for host, port in uri_parser.parse_uri(url)["nodelist"]]
    except errors.ConfigurationError as error:  # all else in it was read before: the record was not found
        raise AttemptFailed(CONNECTION_ERROR, f"MongoDB: {str(error)[:300]}", retryable=True) from None


def _upsert_of(row: Mapping[str, Any], conflict: Conflict) -> UpdateOne:
    """A new document is all of the row; of one that is there, only what `conflict` names is written."""
    values = {field(name): value_of(value, name) for name, value in row.items()}
    keys = {name: values.pop(name) for name in conflict.columns}
    names = conflict.update if conflict.update is not None else tuple(values)
    parts = {
        "$set": {name: value for name, value in values.items() if name in names},
        "$setOnInsert": {name: value for name, value in values.items() if name not in names},
    }
    update = {operator: fields for operator, fields in parts.items() if fields} or {"$setOnInsert": keys}
    return UpdateOne(keys, update, upsert=True)


def _joined(values: list[Any], separator: str) -> str | None:
    """As in SQL: what is null is left out, and of nothing there is no text."""
    texts = [str(value) for value in values if value is not None]
    return separator.join(texts) if texts else None


def _pipeline(request: Request, aggregates: tuple[Aggregate, ...]) -> list[dict[str, Any]]:
    """The figures of each group, then groups and figures side by side by their names."""
    for name in (*request.groups, *(each.alias for each in aggregates)):
        if "." in field(name) or name == "_id":
            raise WrongValue(f"{name[:60]!r} cannot name a group or a figure: leave out dots, and _id")
    grouped: dict[str, Any] = {"_id": {name: {"$ifNull": [f"${name}", None]} for name in request.groups} or None}
    for each in aggregates:
        grouped[each.alias] = _figure_of(each)
    shape: dict[str, Any] = {"_id": False, **{name: f"$_id.{name}" for name in request.groups}}
    return [
        {"$match": filter_of(request.where)},
        {"$group": grouped},
        {"$project": shape | {each.alias: True for each in aggregates}},
    ]


def _figure_of(each: Aggregate) -> dict[str, Any]:
    column = f"${field(each.column)}" if each.column != "*" else ""
    if each.function == "$count":
        return {"$sum": {"$cond": [{"$gt": [column, None]}, 1, 0]} if column else 1}
    if each.function in {*_JOINED, "$arrayAgg"}:
        return {"$push": column}
    return {each.function: column}


def _changes(changes: tuple[Change, ...]) -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = {}
    for change in changes:
        name = field(change.column)
        if change.operator == "$currentDate":
            found.setdefault("$set", {})[name] = clock.machine_now()
        elif change.operator == "$unset":
            found.setdefault("$unset", {})[name] = ""
        else:
            found.setdefault(change.operator, {})[name] = value_of(change.value, name)
    return found


def _documents(documents: Any) -> Iterator[dict[str, Any]]:
    for document in documents:
        yield {name: _json(value) for name, value in document.items()}


def _json(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {name: _json(member) for name, member in value.items()}
    if isinstance(value, list):
        return [_json(member) for member in value]
    return decimal(value.to_decimal()) if isinstance(value, Decimal128) else value


def failed(error: Exception) -> AttemptFailed:
    """A driver's error in this system's words."""
    number, words = _of_first_write(error)
    told = f"MongoDB: {' '.join(words.split())[:1000]}"
    if (
        isinstance(error, errors.PyMongoError)
        and error.timeout
        and not isinstance(error, errors.ServerSelectionTimeoutError)
    ):
        return AttemptFailed(TIMEOUT, told, retryable=True)
    if isinstance(error, errors.OperationFailure):
        code, retryable = _CODES.get(number, (VALIDATION_ERROR, False))
        return AttemptFailed(code, told, retryable=retryable)
    if isinstance(error, errors.ConnectionFailure):
        return AttemptFailed(CONNECTION_ERROR, told, retryable=True)
    return AttemptFailed(VALIDATION_ERROR, told)


def _of_first_write(error: Exception) -> tuple[int, str]:
    """The server's code and words; of many writes, those of the one that failed."""
    if isinstance(error, errors.BulkWriteError):
        for kind in ("writeErrors", "writeConcernErrors"):
            for each in error.details.get(kind, ()):
                return each.get("code", 0), str(each.get("errmsg", error))
    return getattr(error, "code", None) or 0, str(error)


_VERBS: dict[str, Callable[[MongoDB, Any, Request], dict[str, Any]]] = {
    "find": MongoDB._find, "insert": MongoDB._insert, "update": MongoDB._update, "delete": MongoDB._delete,
    "aggregate": MongoDB._aggregate, "groupBy": MongoDB._aggregate,
    **dict.fromkeys(("count", "sum", "avg", "min", "max"), MongoDB._figure),
}  # fmt: skip
