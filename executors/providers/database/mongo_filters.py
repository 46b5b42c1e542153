"""Conditions as MongoDB's filters. Made from what was understood: no operator of an input reaches the server unread."""

from __future__ import annotations

import re
from typing import Any

from bson import ObjectId

from executors.expressions import Moment
from executors.providers.database.columns import WrongValue, moment
from executors.providers.database.requests import Compare, Condition, Either, Every, Opposite

_SAME = {"$eq", "$ne", "$gt", "$gte", "$lt", "$lte", "$in", "$nin", "$regex"}


def field(name: str) -> str:
    """A field's path. Raises WrongValue where a part of it is empty or an operator."""
    if any(not part or part.startswith("$") for part in name.split(".")):
        raise WrongValue(f"{name[:60]!r} is no name of a field")
    return name


def value_of(value: Any, name: str = "") -> Any:
    """A JSON value as it is stored: a time is a date, and the text of an ObjectId in `_id` is one."""
    if isinstance(value, Moment):
        return moment(value, aware=True)
    if isinstance(value, list):
        return [value_of(member, name) for member in value]
    if isinstance(value, dict):
        return {field(key): value_of(member) for key, member in value.items()}
    if isinstance(value, str) and name.rpartition(".")[2] == "_id" and ObjectId.is_valid(value):
        return ObjectId(value)
    return value


def filter_of(condition: Condition | None) -> dict[str, Any]:
    """The filter; {} for no condition."""
    match condition:
        case None:
            return {}
        case Every(parts):
            return {"$and": [filter_of(part) for part in parts]} if parts else {}
        case Either(parts):
            return {"$or": [filter_of(part) for part in parts]}
        case Opposite(part):
            return {"$nor": [filter_of(part)]}
        case Compare():
            return {field(condition.column): _operand(condition)}
    raise TypeError(condition)


def _operand(compare: Compare) -> dict[str, Any]:
    value = value_of(compare.value, compare.column)
    match compare.operator:
        case operator if operator in _SAME:
            return {operator: value}
        case "$between":
            return {"$gte": value[0], "$lte": value[1]}
        case "$isNull":
            return {"$eq": None} if value else {"$ne": None}
        case "$isNotNull":
            return {"$ne": None} if value else {"$eq": None}
        case "$exists":
            return {"$exists": value}
        case "$like" | "$ilike":
            return {"$regex": _pattern(value), "$options": "is" if compare.operator == "$ilike" else "s"}
        case "$contains":
            return {"$all": value} if isinstance(value, list) else {"$in": [value]}
        case "$containedBy":
            return {"$not": {"$elemMatch": {"$nin": value}}}
        case "$overlaps":
            return {"$in": value}
    raise WrongValue(f"mongodb has no {compare.operator}")


def _pattern(like: str) -> str:
    """`%` is any text, `_` any character, a backslash before one of them takes it as it is."""
    pieces = re.findall(r"\\(.)|(.)", like, re.DOTALL)
    return (
        "^"
        + "".join(
            re.escape(plain) if plain else {"%": ".*", "_": "."}.get(sign, re.escape(sign)) for plain, sign in pieces
        )
        + "$"
    )
