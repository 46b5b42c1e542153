"""The figures of an aggregate: {alias: {$function: column}}. Pure."""

from __future__ import annotations

from typing import Any

from core.fields import dotted, suggestion
from executors.providers.database.problems import Told, is_unknown, read_name
from executors.providers.database.requests import Aggregate

FUNCTIONS = ("$count", "$sum", "$avg", "$min", "$max", "$stringAgg", "$groupConcat", "$arrayAgg")
_BY_FOLDED = {name.lower(): name for name in FUNCTIONS}


def read_aggregates(value: Any, path: str, told: Told) -> tuple[Aggregate, ...]:
    """The aggregates; what is wrong is told."""
    if is_unknown(value):
        return ()
    if not isinstance(value, dict) or not value:
        told.add(path, "must be an object, not empty: {alias: {$function: column}}")
        return ()
    found = []
    for alias, member in value.items():
        at = dotted(path, alias)
        name = read_name(alias, path, told)
        if is_unknown(member):
            continue
        if not isinstance(member, dict) or len(member) != 1:
            told.add(at, f"must be one function of a column, such as {{$sum: column}}: {', '.join(FUNCTIONS)}")
            continue
        (function, operand), *_ = member.items()
        known = _BY_FOLDED.get(function.lower())
        if known is None:
            detail = f"{function[:40]!r} is no function: {suggestion(function, FUNCTIONS)}"
            told.add(dotted(at, function), detail, "unknown_field")
        elif name:
            found.append(_aggregate(name, known, operand, dotted(at, function), told))
    return tuple(found)


def _aggregate(alias: str, function: str, value: Any, path: str, told: Told) -> Aggregate:
    column, separator = value, ","
    if function in {"$stringAgg", "$groupConcat"} and isinstance(value, dict):
        column, separator = value.get("column", value.get("field")), value.get("separator", ",")
        if not isinstance(separator, str) or len(separator) > 100:
            told.add(dotted(path, "separator"), "must be a short text")
    if function == "$count" and (column is True or column in (None, "*")):
        return Aggregate(alias=alias, function=function, column="*")
    return Aggregate(alias=alias, function=function, column=read_name(column, path, told), separator=str(separator))
