"""The `where` of an input: read into a tree of conditions. Pure.

    where      = { column: value | { $operator: value, … } , $and | $or | $nor: [ where, … ] | { … } , $not: where }

All members of an object must hold. Operators may be written in any case.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from core.fields import dotted, suggestion
from executors.providers.database.abilities import lacking
from executors.providers.database.problems import Told, is_unknown, read_name
from executors.providers.database.requests import MOST_ROWS, Compare, Condition, Either, Every, Opposite

OPERATORS = (
    "$eq", "$ne", "$gt", "$gte", "$lt", "$lte", "$in", "$nin", "$like", "$ilike", "$between", "$isNull", "$isNotNull",
    "$exists", "$regex", "$contains", "$containedBy", "$overlaps",
)  # fmt: skip
LOGICAL = ("$and", "$or", "$nor", "$not")
_BY_FOLDED = {name.lower(): name for name in (*OPERATORS, *LOGICAL)} | {"$notin": "$nin"}
_LISTS = {"$in", "$nin", "$between", "$containedBy", "$overlaps"}
_TEXTS = {"$like", "$ilike", "$regex"}
_FLAGS = {"$isNull", "$isNotNull", "$exists"}
_ORDERED = {"$gt", "$gte", "$lt", "$lte"}
_DEEPEST = 20


def read_where(value: Any, path: str, type: str, told: Told) -> Condition | None:
    """The condition, None where there is none at all; what is wrong is told."""
    if is_unknown(value):
        return None
    if not isinstance(value, dict):
        told.add(path, "must be an object: {column: value} or {column: {$operator: value}}")
        return None
    parts = tuple(_members(value, path, type, told, 0))
    return Every(parts) if parts else None


def constrains(condition: Condition | None) -> bool:
    """Whether it leaves any row out, as far as its form tells: an update of everything must be asked for."""
    return condition is not None and _constant(condition) is not True


def _constant(condition: Condition) -> bool | None:
    """What it is for every row, whatever is in it; None where that depends on the row."""
    match condition:
        case Compare(operator="$in", value=[]):
            return False
        case Compare(operator="$nin", value=[]):
            return True
        case Every(parts):
            return _joined(parts, decides=False)
        case Either(parts):
            return _joined(parts, decides=True)
        case Opposite(part):
            constant = _constant(part)
            return None if constant is None else not constant
    return None


def _joined(parts: Iterable[Condition], *, decides: bool) -> bool | None:
    """Of conditions of which one that is `decides` decides, and that are the other where all are."""
    constants = {_constant(part) for part in parts}
    if decides in constants:
        return decides
    return None if None in constants else not decides


def columns_of(condition: Condition | None) -> Iterator[str]:
    """The names in it."""
    match condition:
        case Compare():
            yield condition.column
        case Every(parts) | Either(parts):
            for part in parts:
                yield from columns_of(part)
        case Opposite(part):
            yield from columns_of(part)


def _members(value: dict[str, Any], path: str, type: str, told: Told, depth: int) -> Iterator[Condition]:
    if depth > _DEEPEST:
        told.add(path, f"is nested deeper than {_DEEPEST} levels")
        return
    for name, member in value.items():
        at = dotted(path, name)
        if name.startswith("$"):
            yield from _logical(name, member, at, type, told, depth)
        elif column := read_name(name, path, told):
            yield from _column(column, member, at, type, told)


def _logical(name: str, value: Any, path: str, type: str, told: Told, depth: int) -> Iterator[Condition]:
    known = _BY_FOLDED.get(name.lower())
    if known not in LOGICAL:
        told.add(path, f"{name[:40]!r} does not join conditions: {suggestion(name, LOGICAL)}", "unknown_field")
        return
    if is_unknown(value):
        return
    listed = value if isinstance(value, list) else [value]
    if known in {"$or", "$nor"} and isinstance(value, dict):
        listed = [{column: member} for column, member in value.items()]
    if not listed or not all((isinstance(member, dict) and member) or is_unknown(member) for member in listed):
        told.add(path, "must be a list of conditions, at least one, each {column: value}")
        return
    parts = []
    for position, member in enumerate(listed):
        if not is_unknown(member):
            at = dotted(path, position) if isinstance(value, list) else path
            parts.append(Every(tuple(_members(member, at, type, told, depth + 1))))
    match known:
        case "$and":
            yield Every(tuple(parts))
        case "$or":
            yield Either(tuple(parts))
        case _:
            yield Opposite(Either(tuple(parts)) if known == "$nor" else Every(tuple(parts)))


def _column(column: str, value: Any, path: str, type: str, told: Told) -> Iterator[Condition]:
    operators = isinstance(value, dict) and any(name.startswith("$") for name in value)
    if isinstance(value, dict) and not value:
        told.add(path, f"is empty: give a value, or an operator ({', '.join(OPERATORS)})")
        return
    if not operators:
        yield Compare(column=column, operator="$eq", value=value)
        return
    for name, operand in value.items():
        at = dotted(path, name)
        known = _BY_FOLDED.get(name.lower())
        if known == "$not" and isinstance(operand, dict):
            yield Opposite(Every(tuple(_column(column, operand, at, type, told))))
        elif known not in OPERATORS:
            told.add(at, f"{name[:40]!r} compares nothing: {suggestion(name, OPERATORS)}", "unknown_field")
        elif (wrong := lacking(type, known) or _wrong_operand(known, operand)) is not None:
            told.add(at, wrong)
        else:
            yield Compare(column=column, operator=known, value=operand)


def _wrong_operand(operator: str, value: Any) -> str | None:
    if is_unknown(value):
        return None
    if operator in _LISTS and not isinstance(value, list):
        return f"{operator} needs a list"
    if operator in {"$in", "$nin"} and (len(value) > MOST_ROWS or None in value):
        return f"{operator} takes up to {MOST_ROWS} values, none of them null: null is $isNull"
    if operator == "$between" and (len(value) != 2 or None in value):
        return "$between needs a list of two values: the lowest and the highest"
    if operator in _TEXTS and not isinstance(value, str):
        return f"{operator} needs a text"
    if operator in _FLAGS and not isinstance(value, bool):
        return f"{operator} needs true or false"
    if operator in _ORDERED and (value is None or isinstance(value, (dict, list))):
        return f"{operator} needs a value that has an order"
    return None
