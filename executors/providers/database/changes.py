"""The `data` of an update: read into one change per column. Pure.

    data = { column: value | { $operator: value } , $operator: { column: value, … } }

Both forms may be mixed. Operators may be written in any case. An object without operators is a value.
"""

from __future__ import annotations

from typing import Any

from core.fields import dotted, suggestion
from executors.providers.database.abilities import lacking
from executors.providers.database.problems import Told, is_unknown, read_name
from executors.providers.database.requests import Change

OPERATORS = (
    "$set", "$unset", "$inc", "$mul", "$min", "$max", "$currentDate", "$push", "$pull", "$addToSet", "$pop", "$rename",
)  # fmt: skip
_BY_FOLDED = {name.lower(): name for name in OPERATORS} | {"$increment": "$inc", "$multiply": "$mul"}
_NUMBERS = {"$inc", "$mul"}


def read_changes(value: Any, path: str, type: str, told: Told) -> tuple[Change, ...]:
    """The changes; what is wrong is told, a column that is changed twice too."""
    if is_unknown(value):
        return ()
    if not isinstance(value, dict) or not value:
        told.add(path, "must be an object, not empty: {column: value} or {$operator: {column: value}}")
        return ()
    changes: list[Change] = []
    for name, member in value.items():
        at = dotted(path, name)
        if name.startswith("$"):
            if is_unknown(member):
                continue
            columns = _columns(name, member)
            if not isinstance(columns, dict) or not columns:
                told.add(at, "must be an object: {column: value}")
                continue
            for column, operand in columns.items():
                _read(column, name, operand, dotted(at, column), at, type, told, changes)
        elif isinstance(member, dict) and any(key.startswith("$") for key in member):
            for operator, operand in member.items():
                _read(name, operator, operand, dotted(at, operator), at, type, told, changes)
        else:
            _read(name, "$set", member, at, at, type, told, changes)
    return tuple(changes)


def _columns(operator: str, value: Any) -> Any:
    """The columns of an operator; `$unset` may name its own in a text or a list."""
    listed = [value] if isinstance(value, str) else value
    if operator.lower() == "$unset" and isinstance(listed, list) and all(isinstance(name, str) for name in listed):
        return dict.fromkeys(listed)
    return value


def _read(
    column: str, operator: str, value: Any, path: str, place: str, type: str, told: Told, changes: list[Change]
) -> None:
    known = _BY_FOLDED.get(operator.lower())
    if known is None:
        told.add(place, f"{operator[:40]!r} changes nothing: {suggestion(operator, OPERATORS)}", "unknown_field")
        return
    wrong = lacking(type, known) or _wrong_operand(known, value)
    if wrong is not None:
        told.add(path, wrong)
        return
    if any(change.column == column for change in changes):
        told.add(path, f"the column {column[:60]!r} is changed twice", "duplicate")
        return
    name = read_name(column, path, told)
    if name:
        changes.append(Change(column=name, operator=known, value=value))


def _wrong_operand(operator: str, value: Any) -> str | None:
    if is_unknown(value):
        return None
    if operator in _NUMBERS and (isinstance(value, bool) or not isinstance(value, (int, float))):
        return f"{operator} needs a number"
    if operator == "$pop" and (isinstance(value, bool) or value not in (1, -1)):
        return "$pop needs 1 (the last) or -1 (the first)"
    if operator == "$rename" and (not isinstance(value, str) or not value or value.startswith("$")):
        return "$rename needs the new name"
    if operator in {"$min", "$max"} and (value is None or isinstance(value, (dict, list))):
        return f"{operator} needs a value that has an order"
    return None
