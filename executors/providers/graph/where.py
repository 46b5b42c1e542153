"""Conditions on the properties of a node or a relationship: what may be written, and what Cypher says it.

    where: {expired: true, age: {$gt: 3, $lte: 9}, $or: [{a: 1}, {b: null}]}

Operators in any case, with or without underscores. As everywhere in Cypher a comparison with a property that is
not there is never true, `$ne` and `$nin` included: say `$isNull` where that is meant. Names are quoted, values are
parameters.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from core.errors import FieldError
from core.fields import dotted, not_one_of
from executors.expressions import Moment, Unknown
from executors.providers.graph.cypher import Params, Var
from executors.providers.graph.names import quoted, wrong_name
from executors.providers.graph.property_values import kind_of, wrong_scalar

DEEPEST = 20
MOST_CONDITIONS = 500

_COMPARISONS = {"$eq": "=", "$ne": "<>", "$gt": ">", "$gte": ">=", "$lt": "<", "$lte": "<="}
_TEXTS = {"$contains": "CONTAINS", "$startswith": "STARTS WITH", "$endswith": "ENDS WITH"}
_PATTERNS = ("$like", "$ilike", "$regex")
_LISTS = ("$in", "$nin")
_NULLS = ("$isnull", "$isnotnull", "$exists")
LOGICAL = ("$and", "$or", "$nor", "$not")
OPERATORS = (*_COMPARISONS, *_TEXTS, *_PATTERNS, *_LISTS, *_NULLS, "$between", "$not")
_SPELLED = {
    "$isnull": "$isNull", "$isnotnull": "$isNotNull", "$startswith": "$startsWith", "$endswith": "$endsWith",
}  # fmt: skip


def folded(operator: str) -> str:
    return operator.lower().replace("_", "")


def wrong_where(where: Any, path: str, depth: int = 0) -> Iterator[FieldError]:
    """What is wrong with conditions, at most MOST_CONDITIONS of them. An Unknown may become right."""
    if isinstance(where, Unknown):
        return
    if not isinstance(where, dict):
        yield FieldError(path, "invalid", "must be an object of conditions, such as {expired: true}")
        return
    if depth > DEEPEST or len(where) > MOST_CONDITIONS:
        yield FieldError(path, "invalid", f"holds too much: {DEEPEST} levels of at most {MOST_CONDITIONS} conditions")
        return
    if depth and not where:  # it would hold of everything, and hide that a filter is empty
        yield FieldError(path, "required", "must hold a condition")
    for name, value in where.items():
        at = dotted(path, name)
        if name.startswith("$"):
            if folded(name) not in LOGICAL:
                known = [_SPELLED.get(each, each) for each in LOGICAL]
                yield FieldError(at, "invalid", not_one_of(name, known))
            else:
                yield from _wrong_members(value, at, depth)
        elif (told := wrong_name(name)) is not None:
            yield FieldError(at, "invalid", told)
        elif isinstance(value, dict):
            yield from _wrong_operators(value, at, depth)
        else:
            yield from _wrong_value(value, at)


def _wrong_members(value: Any, path: str, depth: int) -> Iterator[FieldError]:
    if not isinstance(value, list):
        yield from wrong_where(value, path, depth + 1)
        return
    if not value or len(value) > MOST_CONDITIONS:
        yield FieldError(path, "invalid", f"must hold 1 to {MOST_CONDITIONS} conditions")
        return
    for position, member in enumerate(value):
        yield from wrong_where(member, dotted(path, position), depth + 1)


def _wrong_operators(operators: dict[str, Any], path: str, depth: int = 0) -> Iterator[FieldError]:
    if not operators or depth > DEEPEST:
        yield FieldError(path, "invalid", "must be a value, or operators such as {$gt: 3}")
    for name, value in operators.items():
        at, operator = dotted(path, name), folded(name)
        if operator not in OPERATORS:
            yield FieldError(at, "invalid", not_one_of(name, [_SPELLED.get(each, each) for each in OPERATORS]))
        elif isinstance(value, Unknown):
            continue
        elif operator == "$not":
            if isinstance(value, dict):
                yield from _wrong_operators(value, at, depth + 1)
            else:
                yield from _wrong_value(value, at)
        elif operator in _LISTS:
            yield from _wrong_list(value, at)
        elif operator == "$between":
            yield from _wrong_list(value, at, exactly=2)
        elif operator in _NULLS:
            if not isinstance(value, bool):
                yield FieldError(at, "invalid", "must be true or false")
        elif operator in _TEXTS or operator in _PATTERNS:
            if not isinstance(value, str):
                yield FieldError(at, "invalid", "must be text")
        else:
            yield from _wrong_value(value, at)


def _wrong_list(value: Any, path: str, exactly: int | None = None) -> Iterator[FieldError]:
    if not isinstance(value, list) or (exactly is not None and len(value) != exactly):
        yield FieldError(path, "invalid", "must be a list" + (f" of {exactly} values" if exactly else ""))
        return
    for position, member in enumerate(value):
        if member is None:
            yield FieldError(dotted(path, position), "invalid", "must not be null: nothing is equal to null")
        else:
            yield from _wrong_value(member, dotted(path, position))


def _wrong_value(value: Any, path: str) -> Iterator[FieldError]:
    if isinstance(value, list):
        for position, member in enumerate(value):
            if (told := wrong_scalar(member)) is not None:
                yield FieldError(dotted(path, position), "invalid", told)
    elif (told := wrong_scalar(value)) is not None:
        yield FieldError(path, "invalid", told)


def constrains(where: Any) -> bool:
    """Whether it leaves anything out, as far as its form tells: a change of everything must be asked for.

    What is wrong with it, or is not known yet, may leave something out.
    """
    return bool(where) and (any(True for _ in wrong_where(where, "")) or _constant(where) is not True)


def _constant(where: Any) -> bool | None:
    """What conditions that must all hold are for everything; None where that depends on what it is asked of."""
    if not isinstance(where, dict):
        return None
    return _decided([_constant_of(name, value) for name, value in where.items()], by=False)


def _constant_of(name: str, value: Any) -> bool | None:
    if not name.startswith("$"):
        operators = value.items() if isinstance(value, dict) else ()
        return _decided([_constant_operator(folded(word), given) for word, given in operators], by=False)
    operator = folded(name)
    if isinstance(value, dict):
        members = [_constant_of(*member) for member in value.items()]
    else:
        members = [_constant(member) for member in value] if isinstance(value, list) else []
    constant = _decided(members, by=operator in ("$or", "$nor"))
    return _opposite(constant) if operator in ("$nor", "$not") else constant


def _constant_operator(operator: str, value: Any) -> bool | None:
    if operator in _LISTS and isinstance(value, list) and not value:
        return operator == "$nin"
    return _opposite(_constant_of("", value)) if operator == "$not" else None


def _decided(constants: list[bool | None], *, by: bool) -> bool | None:
    """Of conditions of which one that is `by` decides, and that are the other where all are."""
    if by in constants:
        return by
    return None if None in constants or not constants else not by


def _opposite(constant: bool | None) -> bool | None:
    return None if constant is None else not constant


def condition(where: Mapping[str, Any], var: Var, params: Params, *, datetimes: bool = False) -> str:
    """The conditions as Cypher; "" for none. They were checked before.

    `datetimes`: a time that was computed is compared with numbers and with date-times, as a property may hold either.
    """
    return _Conditions(var, params, datetimes).all(where)


class _Conditions:
    def __init__(self, var: Var, params: Params, datetimes: bool) -> None:
        self._var, self._params, self._datetimes = var, params, datetimes

    def all(self, where: Mapping[str, Any], glue: str = "AND") -> str:
        parts = [part for name, value in where.items() if (part := self._one(name, value))]
        return _joined(parts, glue)

    def _one(self, name: str, value: Any) -> str:
        if not name.startswith("$"):
            return self._property(name, value)
        operator = folded(name)
        glue = "AND" if operator in ("$and", "$not") else "OR"
        if isinstance(value, dict):
            inside = self.all(value, glue)
        else:
            inside = _joined([part for member in value if (part := self.all(member))], glue)
        return f"NOT ({inside})" if inside and operator in ("$nor", "$not") else inside

    def _property(self, name: str, value: Any) -> str:
        if isinstance(value, dict):
            return _joined([self._operator(name, folded(word), given) for word, given in value.items()], "AND")
        return self._operator(name, "$eq", value)

    def _operator(self, name: str, operator: str, value: Any) -> str:
        kinds = self._var.kinds
        known = kinds is None or name in kinds
        left = f"{self._var.name}.{quoted(name)}" if known else "NULL"
        if operator in _NULLS:
            there = (operator == "$isnotnull") == value if operator != "$exists" else value
            return f"{left} IS {'NOT ' if there else ''}NULL"
        if operator == "$not":
            return f"NOT ({self._property(name, value)})"
        if value is None:
            return f"{left} IS {'NOT ' if operator == '$ne' else ''}NULL"
        if not known:
            return "(NULL = 1)"  # null, as a comparison with what is not there
        return self._compared(left, operator, value, kinds[name] if kinds is not None else None)

    def _compared(self, left: str, operator: str, value: Any, kind: str | None) -> str:
        if operator == "$between":
            low, high = (
                self._compared(left, word, end, kind) for word, end in zip(("$gte", "$lte"), value, strict=True)
            )
            return f"({low} AND {high})"
        if operator in _LISTS:
            fitting = [member for member in value if _comparable(kind, member)]
            if any(type(member) is float for member in fitting):  # a list has one type in a typed database
                fitting = [float(member) if type(member) is int else member for member in fitting]
            if not fitting:
                return _never(left) if operator == "$in" else _wherever(left)
            inside = f"{left} IN {self._params.add(fitting)}"
            return inside if operator == "$in" else f"NOT ({inside})"
        if not _comparable(kind, value):
            return _wherever(left) if operator == "$ne" else _never(left)
        if operator in _TEXTS:
            return f"{left} {_TEXTS[operator]} {self._params.add(value)}"
        if operator in _PATTERNS:
            return self._matched(left, operator, value)
        sign = _COMPARISONS[operator]
        right = self._params.add(int(value) if isinstance(value, Moment) else value)
        if isinstance(value, Moment) and self._datetimes:
            glue = "AND" if operator == "$ne" else "OR"
            return f"({left} {sign} {right} {glue} {left} {sign} datetime({{epochMillis: {right}}}))"
        return f"{left} {sign} {right}"

    def _matched(self, left: str, operator: str, value: str) -> str:
        if operator == "$regex":
            return f"{left} =~ {self._params.add(value)}"
        if operator == "$ilike":
            return f"toLower({left}) =~ {self._params.add(_like(value.lower()))}"
        return f"{left} =~ {self._params.add(_like(value))}"


def _like(pattern: str) -> str:
    """A pattern of SQL's LIKE (% for any text, _ for one character) as a regular expression."""
    wild: dict[str, str] = {"%": r"[\s\S]*", "_": r"[\s\S]"}
    escaped: Callable[[str], str] = re.escape
    return "".join(wild.get(character) or escaped(character) for character in pattern)


def _comparable(kind: str | None, value: Any) -> bool:
    """Whether a typed property can hold such a value at all; an untyped one always can."""
    if kind is None or kind == "other":
        return True
    given = kind_of(value)
    return given == kind or {given, kind} <= {"whole", "number"}


def _never(left: str) -> str:
    """False, and null where the property is null."""
    return f"({left} <> {left})"


def _wherever(left: str) -> str:
    """True, and null where the property is null."""
    return f"({left} = {left})"


def _joined(parts: list[str], glue: str) -> str:
    return parts[0] if len(parts) == 1 else f"({f' {glue} '.join(parts)})" if parts else ""
