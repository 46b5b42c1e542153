"""From a request to SQLAlchemy's statements: each name looked up in the table, each value bound."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from sqlalchemy import (
    Column,
    ColumnElement,
    Delete,
    Select,
    Table,
    UniqueConstraint,
    Update,
    and_,
    case,
    delete,
    false,
    func,
    not_,
    null,
    or_,
    select,
    true,
    update,
)

from core import clock
from core.fields import suggestion
from core.times import to_ms
from executors.expressions import Moment
from executors.providers.database.columns import WrongValue
from executors.providers.database.dialect import Dialect
from executors.providers.database.requests import (
    Aggregate,
    Change,
    Compare,
    Condition,
    Either,
    Every,
    Opposite,
    Order,
    Request,
)

Names = Mapping[str, ColumnElement[Any]]


class Statements:
    """The statements of one request to one table. All raise WrongValue."""

    def __init__(self, dialect: Dialect, table: Table) -> None:
        self._dialect, self.table = dialect, table

    def column(self, name: str) -> Column[Any]:
        found: Column[Any] | None = self.table.columns.get(name)
        if found is None:
            hint = suggestion(name, list(self.table.columns.keys())[:200])
            raise WrongValue(f"table {self.table.name!r} has no column {name[:60]!r}: {hint}")
        return found

    def columns(self, names: Iterable[str]) -> list[Column[Any]]:
        """Those columns, or all of them."""
        return [self.column(name) for name in names if name != "*"] or list(self.table.columns)

    def row(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """A row to be written."""
        return {name: self._dialect.bound(self.column(name), value) for name, value in values.items()}

    def find(self, request: Request) -> Select[Any]:
        """One row more than is wanted, so that it shows whether there are more."""
        found = select(*self.columns(request.select)).select_from(self.table)
        if request.where is not None:
            found = found.where(self.where(request.where))
        names = {column.name: column for column in self.table.columns}
        found = _ordered(found, request.order, names)
        return found.limit(request.limit + (not request.one)).offset(request.offset or None)

    def update(self, request: Request) -> Update:
        changes = {change.column: self._changed(change) for change in request.changes}
        found = update(self.table).values({self.column(name): value for name, value in changes.items()})
        return found if request.where is None else found.where(self.where(request.where))

    def delete(self, request: Request) -> Delete:
        found = delete(self.table)
        return found if request.where is None else found.where(self.where(request.where))

    def figure(self, request: Request) -> Select[Any]:
        """A count, a sum, …: one row of one value."""
        if request.verb == "count" and request.column == "*":
            what: ColumnElement[Any] = func.count()
        else:
            column = self.column(request.column)
            what = getattr(func, request.verb)(column.distinct() if request.distinct else column)
        found = select(what).select_from(self.table)
        return found if request.where is None else found.where(self.where(request.where))

    def aggregate(self, request: Request) -> Select[Any]:
        groups = {name: self.column(name) for name in request.groups}
        figures = {each.alias: self._aggregate(each) for each in request.aggregates}
        for alias in figures:
            if alias in groups:
                raise WrongValue(f"{alias!r} is a column of groupBy and an alias of operations: choose another alias")
        found = select(*groups.values(), *(figure.label(alias) for alias, figure in figures.items()))
        found = found.select_from(self.table)
        if request.where is not None:
            found = found.where(self.where(request.where))
        names: dict[str, ColumnElement[Any]] = {**groups, **figures}
        if groups:
            found = found.group_by(*groups.values())
        if request.having is not None:
            found = found.having(self.where(request.having, names))
        return _ordered(found, request.order, names).limit(request.limit + 1).offset(request.offset or None)

    def where(self, condition: Condition, names: Names | None = None) -> Any:
        """A condition on columns, or on what `names` stand for."""
        match condition:
            case Every(parts):
                return and_(true(), *(self.where(part, names) for part in parts))
            case Either(parts):
                return or_(false(), *(self.where(part, names) for part in parts))
            case Opposite(part):
                return not_(self.where(part, names))
            case Compare():
                return self._compared(condition, names)
        raise TypeError(condition)

    def unique(self, names: Iterable[str]) -> None:
        """Raise WrongValue unless the database itself keeps these columns unique together."""
        wanted = {self.column(name).name for name in names}
        kept = [{column.name for column in self.table.primary_key.columns}]
        kept += [names for names in self.table.info.get("unique", ()) if names not in kept]
        kept += [
            {column.name for column in each.columns}
            for each in self.table.constraints
            if isinstance(each, UniqueConstraint)
        ]
        for index in self.table.indexes:
            partial = any(options.get("where") is not None for options in index.dialect_options.values())
            if index.unique and not partial:
                kept.append({column.name for column in index.columns})
        if wanted not in kept:
            told = ", ".join("(" + ", ".join(sorted(each)) + ")" for each in kept if each) or "none"
            raise WrongValue(
                f"table {self.table.name!r} has no unique index on ({', '.join(sorted(wanted))}), which an upsert "
                f"needs: it has {told}"
            )

    def _compared(self, compare: Compare, names: Names | None) -> Any:
        if names is None:
            column = self.column(compare.column)
            return _comparison(self._dialect, column, compare, column)
        if compare.column not in names:
            raise WrongValue(
                f"nothing is called {compare.column[:60]!r} here: {suggestion(compare.column, list(names))}"
            )
        named = names[compare.column]
        return _comparison(self._dialect, named, compare, named if isinstance(named, Column) else None)

    def _changed(self, change: Change) -> Any:
        column, bound = self.column(change.column), self._dialect.bound
        match change.operator:
            case "$set":
                return bound(column, change.value)
            case "$unset":
                return null()
            case "$currentDate":
                return bound(column, Moment(to_ms(clock.machine_now())))
            case "$inc":
                return func.coalesce(column, 0) + bound(column, change.value)
            case "$mul":
                return func.coalesce(column, 0) * bound(column, change.value)
            case "$min":
                value = bound(column, change.value)
                return case((or_(column.is_(None), column > value), value), else_=column)
            case "$max":
                value = bound(column, change.value)
                return case((or_(column.is_(None), column < value), value), else_=column)
        return self._dialect.changed(column, change)

    def _aggregate(self, each: Aggregate) -> Any:
        if each.column == "*":
            return func.count()
        column = self.column(each.column)
        match each.function:
            case "$stringAgg" | "$groupConcat":
                return func.aggregate_strings(column, each.separator)
            case "$arrayAgg":
                return _ARRAYS[self._dialect.type](column)
        return getattr(func, each.function[1:])(column)


_ARRAYS: dict[str, Any] = {
    "postgresql": func.array_agg, "mysql": func.json_arrayagg, "mariadb": func.json_arrayagg,
    "sqlite": func.json_group_array,
}  # fmt: skip


def _ordered(found: Select[Any], order: tuple[Order, ...], names: Names) -> Select[Any]:
    for each in order:
        if each.name not in names:
            raise WrongValue(f"nothing is called {each.name[:60]!r} here: {suggestion(each.name, list(names))}")
        found = found.order_by(names[each.name].desc() if each.descending else names[each.name].asc())
    return found


def _comparison(dialect: Dialect, what: ColumnElement[Any], compare: Compare, column: Column[Any] | None) -> Any:
    """`column` is None for a figure, whose type nobody knows: the value stands as it is."""

    def bound(value: Any) -> Any:
        return value if column is None else dialect.bound(column, value, comparing=True)

    value = compare.value
    match compare.operator:
        case "$eq":
            return what.is_(None) if value is None else what == bound(value)
        case "$ne":
            return what.is_not(None) if value is None else what != bound(value)
        case "$gt":
            return what > bound(value)
        case "$gte":
            return what >= bound(value)
        case "$lt":
            return what < bound(value)
        case "$lte":
            return what <= bound(value)
        case "$in":
            return what.in_([bound(member) for member in value])
        case "$nin":
            return what.not_in([bound(member) for member in value])
        case "$between":
            return what.between(bound(value[0]), bound(value[1]))
        case "$like":
            return what.like(value)
        case "$ilike":
            return what.ilike(value)
        case "$regex":
            return what.regexp_match(value)
        case "$isNull" | "$isNotNull" | "$exists":
            return what.is_(None) if value == (compare.operator == "$isNull") else what.is_not(None)
    if column is None:
        raise WrongValue(f"{compare.operator} compares columns alone")
    if compare.operator == "$contains":
        return dialect.contains(column, value)
    return dialect.compared(column, compare.operator, value)
