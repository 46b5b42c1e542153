"""From an input to a `Request`: names of operations, spellings of fields, and everything that is wrong. Pure.

The same at dispatch, where parts may be `Unknown` yet, and in the worker, where nothing is.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from core.errors import FieldError
from core.fields import dotted, not_one_of, unknown_fields
from executors.providers.database.abilities import lacking
from executors.providers.database.aggregates import read_aggregates
from executors.providers.database.changes import read_changes
from executors.providers.database.conditions import constrains, read_where
from executors.providers.database.problems import Told, is_unknown, read_name, read_names
from executors.providers.database.raw_sql import LONGEST, NotOne, take_apart
from executors.providers.database.requests import MOST_ROWS, ROWS, Conflict, Order, Request

# Operation → the verb it is, by its folded name.
OPERATIONS = {
    "query": "find", "find": "find", "findOne": "find", "insert": "insert", "insertMany": "insert",
    "update": "update", "updateMany": "update", "delete": "delete", "deleteMany": "delete", "upsert": "upsert",
    "count": "count", "sum": "sum", "avg": "avg", "min": "min", "max": "max", "aggregate": "aggregate",
    "groupBy": "groupBy", "raw": "raw",
}  # fmt: skip
_SPELLED = {name.lower(): name for name in OPERATIONS} | {"insertone": "insert"}
ALIASES: Mapping[str, tuple[str, ...]] = {
    "table": ("entity", "collection", "tableName"), "where": ("filter",), "select": ("columns", "fields"),
    "orderBy": ("order", "sort"), "limit": (), "offset": ("skip",),
    "data": ("records", "record", "values", "documents"), "returning": (), "returningColumns": (), "onConflict": (),
    "conflictKeys": ("conflictColumns",), "updateColumns": (), "column": ("field",), "distinct": (),
    "operations": ("aggregate", "aggregates"), "groupBy": (), "having": (), "query": ("sql",),
    "params": ("parameters",), "allowAll": (),
}  # fmt: skip
FIELDS = {
    "find": ("table", "where", "select", "orderBy", "limit", "offset", "operations", "groupBy", "having"),
    "insert": ("table", "data", "returning", "returningColumns", "onConflict"),
    "update": ("table", "data", "where", "returning", "returningColumns", "allowAll"),
    "delete": ("table", "where", "returning", "returningColumns", "allowAll"),
    "upsert": ("table", "data", "conflictKeys", "updateColumns", "returning", "returningColumns"),
    "count": ("table", "where", "column", "distinct"),
    **dict.fromkeys(("sum", "avg", "min", "max"), ("table", "where", "column")),
    "aggregate": ("table", "where", "operations", "groupBy", "having", "orderBy", "limit", "offset"),
    "groupBy": ("table", "where", "operations", "groupBy", "having", "orderBy", "limit", "offset"),
    "raw": ("query", "params", "limit"),
}
_ACTIONS = {"ignore": True, "nothing": True, "donothing": True, "update": False, "doupdate": False, "merge": False}


@dataclass(frozen=True, slots=True)
class Read:
    """What an input asks for, and what is wrong with it. With errors, or unknown parts, the request is no use."""

    request: Request
    errors: list[FieldError]


def operation_named(text: Any) -> str | None:
    """The operation as this system spells it, or None."""
    return _SPELLED.get(text.lower().replace("_", "")) if isinstance(text, str) else None


def read_request(
    operation: str, input: Mapping[str, Any], *, type: str, default_table: str = "", path: str = "input"
) -> Read:
    """The request of one operation, a name of OPERATIONS or another spelling of one."""
    told = Told()
    name = operation_named(operation)
    if name is None:
        told.add("operation", not_one_of(str(operation), list(OPERATIONS)), "unknown_operation")
        return Read(Request(verb=""), told.errors)
    verb = OPERATIONS[name]
    if (missing := lacking(type, verb)) is not None:
        told.add("operation", missing)
        return Read(Request(verb=verb), told.errors)
    fields = _Fields(verb, input, path, type, told)
    made = _REQUESTS[verb](fields, fields.table(default_table) if verb != "raw" else "")
    if name == "findOne":
        made = Request(verb="find", table=made.table, where=made.where, select=made.select, order=made.order,
                       offset=made.offset, limit=1, one=True)  # fmt: skip
    return Read(made, told.errors)


class _Fields:
    """The fields of one input, by our spelling of them."""

    def __init__(self, verb: str, input: Mapping[str, Any], path: str, type: str, told: Told) -> None:
        self.verb, self.path, self.type, self.told = verb, path, type, told
        self._given: dict[str, tuple[str, Any]] = {}
        known = [spelling for name in FIELDS[verb] for spelling in (name, *ALIASES[name])]
        told.errors += unknown_fields(input, known, path)
        for name in FIELDS[verb]:
            spelled = [word for word in (name, *ALIASES[name]) if input.get(word) is not None]
            if len(spelled) > 1:
                told.add(dotted(path, spelled[1]), f"is another name of {spelled[0]}: give one of them", "duplicate")
            if spelled:
                self._given[name] = (dotted(path, spelled[0]), input[spelled[0]])

    def has(self, name: str) -> bool:
        return name in self._given

    def get(self, name: str) -> tuple[str, Any]:
        """Its path and its value, None where it is not given."""
        return self._given.get(name, (dotted(self.path, name), None))

    def required(self, name: str, detail: str) -> tuple[str, Any]:
        path, value = self.get(name)
        if value is None:
            self.told.add(path, f"is required: {detail}", "required")
        return path, value

    def table(self, default: str) -> str:
        path, value = self.get("table")
        if value is None and default:
            return default
        if value is None:
            self.told.add(path, "is required: a table, where the catalog has no default_table", "required")
            return ""
        return read_name(value, path, self.told)

    def where(self, name: str = "where") -> Any:
        path, value = self.get(name)
        return None if value is None else read_where(value, path, self.type, self.told)

    def names(self, name: str) -> tuple[str, ...]:
        path, value = self.get(name)
        return () if value is None else read_names(value, path, self.told)

    def flag(self, name: str) -> bool:
        path, value = self.get(name)
        if value is not None and not isinstance(value, bool) and not is_unknown(value):
            self.told.add(path, "must be true or false")
        return value is True

    def number(self, name: str, *, low: int, high: int, default: int) -> int:
        path, value = self.get(name)
        if value is None or is_unknown(value):
            return default
        if type(value) is not int or not low <= value <= high:
            self.told.add(path, f"must be a whole number from {low} to {high}")
            return default
        return value

    def limit(self) -> int:
        return self.number("limit", low=1, high=MOST_ROWS, default=ROWS)

    def offset(self) -> int:
        return self.number("offset", low=0, high=2**53, default=0)

    def restricted(self) -> Any:
        """The condition of an update or delete, which leaves something out unless `allowAll` says otherwise."""
        path, value = self.get("where")
        condition = self.where()
        all_of_them = self.flag("allowAll")
        before = bool(self.told.errors)
        if not all_of_them and not before and not holds_unknown(value) and not constrains(condition):
            self.told.add(
                path, f"is empty: this would {self.verb} every row. Say which, or say allowAll: true", "required"
            )
        return condition

    def returning(self) -> bool:
        wanted = self.flag("returning") or self.has("returningColumns")
        if wanted:
            for what in ("returning", f"returning of {self.verb}"):
                if (missing := lacking(self.type, what)) is not None:
                    self.told.add(self.get("returning")[0], missing)
                    break
        return wanted

    def rows(self) -> tuple[Mapping[str, Any], ...]:
        path, value = self.required("data", "a row {column: value}, or a list of rows")
        if value is None or is_unknown(value):
            return ()
        listed = value if isinstance(value, list) else [value]
        if not 0 < len(listed) <= MOST_ROWS:
            self.told.add(path, f"must be 1 to {MOST_ROWS} rows")
            return ()
        for position, row in enumerate(listed):
            at = dotted(path, position) if isinstance(value, list) else path
            if is_unknown(row):
                continue
            if not isinstance(row, dict) or not row:
                self.told.add(at, "must be a row: an object, not empty, {column: value}")
                return ()
            for name in row:
                if name.startswith("$"):
                    self.told.add(dotted(at, name), "is no column: operators stand in an update only")
                read_name(name, at, self.told)
        return tuple(row for row in listed if isinstance(row, dict))

    def order(self) -> tuple[Order, ...]:
        path, value = self.get("orderBy")
        if value is None or is_unknown(value):
            return ()
        found = []
        for position, entry in enumerate(value if isinstance(value, list) else [value]):
            at = dotted(path, position) if isinstance(value, list) else path
            if isinstance(entry, str):
                entry = {"column": entry}
            name = entry.get("column", entry.get("field")) if isinstance(entry, dict) else None
            end = entry.get("order", entry.get("direction", "asc")) if isinstance(entry, dict) else None
            if not isinstance(end, str) or (end.lower() not in {"asc", "desc"} and not is_unknown(end)):
                self.told.add(at, "must be {column, order}, where order is asc or desc")
            else:
                found.append(Order(name=read_name(name, at, self.told), descending=end.lower() == "desc"))
        return tuple(found)


def holds_unknown(value: Any) -> bool:
    """Whether a part of a JSON value is not known yet."""
    if isinstance(value, dict):
        return any(holds_unknown(member) for member in value.values())
    return any(holds_unknown(member) for member in value) if isinstance(value, list) else is_unknown(value)


def _find(fields: _Fields, table: str) -> Request:
    if fields.has("operations"):
        return _aggregate(fields, table)
    for name in ("groupBy", "having"):
        if fields.has(name):
            fields.told.add(fields.get(name)[0], "needs `operations`: what to compute of each group")
    return Request(
        verb="find", table=table, where=fields.where(), select=fields.names("select"), order=fields.order(),
        limit=fields.limit(), offset=fields.offset(),
    )  # fmt: skip


def _insert(fields: _Fields, table: str) -> Request:
    return Request(
        verb="insert", table=table, rows=fields.rows(), conflict=_on_conflict(fields), returning=fields.returning(),
        returning_columns=fields.names("returningColumns"),
    )  # fmt: skip


def _on_conflict(fields: _Fields) -> Conflict | None:
    path, value = fields.get("onConflict")
    if value is None or is_unknown(value):
        return None
    if (missing := lacking(fields.type, "onConflict")) is not None:
        fields.told.add(path, missing)
        return None
    action = value.get("action", "ignore") if isinstance(value, dict) else None
    folded = action.lower().replace("_", "") if isinstance(action, str) else ""
    if folded not in _ACTIONS or not value.get("columns"):
        fields.told.add(path, "must be {columns: [...], action: ignore | update, update?: [columns]}")
        return None
    update = value.get("update")
    return Conflict(
        columns=read_names(value["columns"], dotted(path, "columns"), fields.told),
        ignore=_ACTIONS[folded],
        update=None
        if update is None
        else read_names(list(update) if isinstance(update, dict) else update, dotted(path, "update"), fields.told),
    )


def _update(fields: _Fields, table: str) -> Request:
    path, value = fields.required("data", "{column: value}")
    changes = read_changes(value, path, fields.type, fields.told) if value is not None else ()
    return Request(
        verb="update", table=table, changes=changes, where=fields.restricted(), returning=fields.returning(),
        returning_columns=fields.names("returningColumns"),
    )  # fmt: skip


def _delete(fields: _Fields, table: str) -> Request:
    return Request(
        verb="delete", table=table, where=fields.restricted(), returning=fields.returning(),
        returning_columns=fields.names("returningColumns"),
    )  # fmt: skip


def _upsert(fields: _Fields, table: str) -> Request:
    fields.required("conflictKeys", "the columns that tell whether a row is there already")
    keys, rows = fields.names("conflictKeys"), fields.rows()
    _check_keys(fields, keys, rows)
    return Request(
        verb="upsert", table=table, rows=rows, returning=fields.returning(),
        returning_columns=fields.names("returningColumns"),
        conflict=Conflict(columns=keys, update=fields.names("updateColumns") if fields.has("updateColumns") else None),
    )  # fmt: skip


def _check_keys(fields: _Fields, keys: tuple[str, ...], rows: tuple[Mapping[str, Any], ...]) -> None:
    """Each row has its keys, and no two rows the same ones: which of them counts would be chance."""
    path = fields.get("data")[0]
    seen: dict[str, int] = {}
    for position, row in enumerate(rows):
        at = dotted(path, position)
        absent = [key for key in keys if key not in row]
        if absent:
            fields.told.add(at, f"has no {absent[0]!r}, which conflictKeys names", "required")
            return
        if any(holds_unknown(row[key]) for key in keys):
            continue
        first = seen.setdefault(repr([row[key] for key in keys]), position)
        if first != position:
            fields.told.add(at, f"has the same conflict keys as row {first}", "duplicate")
            return


def _figure(fields: _Fields, table: str) -> Request:
    if fields.verb == "count":
        path, value = fields.get("column")
        column = "*" if value in (None, "*") else read_name(value, path, fields.told)
        if column == "*" and fields.flag("distinct"):
            fields.told.add(dotted(fields.path, "distinct"), "needs a column")
    else:
        path, value = fields.required("column", f"what to take the {fields.verb} of")
        column = "" if value is None else read_name(value, path, fields.told)
    distinct = fields.has("distinct") and fields.flag("distinct")
    return Request(verb=fields.verb, table=table, where=fields.where(), column=column, distinct=distinct)


def _aggregate(fields: _Fields, table: str) -> Request:
    path, value = fields.required("operations", "{alias: {$sum: column}}")
    if fields.verb == "groupBy":
        fields.required("groupBy", "the columns that make a group")
    having = fields.get("having")[1]
    return Request(
        verb="groupBy" if fields.has("groupBy") else "aggregate", table=table, where=fields.where(),
        aggregates=read_aggregates(value, path, fields.told) if value is not None else (),
        groups=fields.names("groupBy"), having=fields.where("having") if having is not None else None,
        order=fields.order(), limit=fields.limit(), offset=fields.offset(),
    )  # fmt: skip


def _raw(fields: _Fields, table: str) -> Request:
    path, query = fields.required("query", "the statement, its values as $1, $2 …")
    at, params = fields.get("params")
    listed = tuple(params) if isinstance(params, list) else ()
    if params is not None and not isinstance(params, list) and not is_unknown(params):
        fields.told.add(at, "must be a list: the values of $1, $2 …")
    if isinstance(query, str) and not is_unknown(query):
        try:
            if len(query) > LONGEST:
                raise NotOne(f"must not be longer than {LONGEST} characters")
            wanted = take_apart(query, fields.type).parameters
            if wanted != len(listed) and not is_unknown(params):
                fields.told.add(at, f"has {len(listed)} values, but the statement has {wanted} parameters")
        except NotOne as error:
            fields.told.add(path, str(error))
    elif query is not None and not is_unknown(query):
        fields.told.add(path, "must be text: one statement")
    return Request(verb="raw", query=str(query or ""), params=listed, limit=fields.limit())


_REQUESTS = {
    "find": _find, "insert": _insert, "update": _update, "delete": _delete, "upsert": _upsert, "count": _figure,
    "sum": _figure, "avg": _figure, "min": _figure, "max": _figure, "aggregate": _aggregate, "groupBy": _aggregate,
    "raw": _raw,
}  # fmt: skip
