"""Which expressions a JSON value holds, and whether each is understood."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from core.errors import FieldError
from core.fields import dotted
from core.times import later
from executors.expressions.errors import ExpressionError
from executors.expressions.kinds import IN_AN_INPUT, ReferenceKinds
from executors.expressions.syntax import begins_one, is_plain, parse
from executors.expressions.terms import Reference, closed_functions, references_of, size_of
from executors.expressions.values import Trial

LAST_RUN = timedelta(days=36_525)  # from its dispatch: by then a job has run for the last time
MAX_TERMS = 20_000  # of all expressions of one JSON value: references, functions and the values in them
_MOST_TOLD = 20


class Expressions(NamedTuple):
    """What there is of expressions in a JSON value."""

    found: bool
    errors: list[FieldError]  # at most 20
    references: list[tuple[str, Reference]]  # with their places


def check_expressions(value: Any, path: str, *, known: ReferenceKinds = IN_AN_INPUT) -> Expressions:
    """Which there are, and whether each is understood, and may have a value where this one is used."""
    errors: list[FieldError] = []
    references: list[tuple[str, Reference]] = []
    found = False
    terms = 0
    for at, text, is_key in _texts_with_expressions(value, path):
        found = True
        if len(errors) == _MOST_TOLD:
            break
        try:
            if is_key and not is_plain(text):
                raise ExpressionError("an expression cannot stand in a field's name", "expression_unsupported")
            for part in parse(text):
                known.refuse(part)
                references += [(at, reference) for reference in references_of(part)]
                terms += size_of(part)
            if terms > MAX_TERMS:
                raise ExpressionError(f"up to here there are more than {MAX_TERMS} references, functions and values")
        except ExpressionError as error:
            errors.append(FieldError(at, error.code, str(error)))
            if terms > MAX_TERMS:
                break
    return Expressions(found, errors, references)


def references_anywhere(value: Any) -> frozenset[Reference]:
    """The references in a JSON value; a text that is not understood has none."""
    found: set[Reference] = set()
    for _, text, _ in _texts_with_expressions(value, ""):
        try:
            found.update(reference for part in parse(text) for reference in references_of(part))
        except ExpressionError:
            continue
    return frozenset(found)


def has_expressions(value: Any) -> bool:
    """Whether there is anything to resolve in a JSON value."""
    pending = [value]
    while pending:
        node = pending.pop()
        kind = node.__class__
        if kind is str:
            if begins_one(node):
                return True
        elif kind is dict or isinstance(node, Mapping):
            pending.extend(node)
            pending.extend(node.values())
        elif kind is list:
            pending.extend(node)
    return False


def never_computable(value: Any, path: str, *, now: datetime) -> list[FieldError]:
    """What refers to nothing and cannot be computed now, nor when the last run may be (at most 20)."""
    errors: list[FieldError] = []
    soon, late = Trial(now), Trial(later(now, LAST_RUN))
    for at, text, _ in _texts_with_expressions(value, path):
        for function in (function for part in parse(text) for function in closed_functions(part)):
            told = soon.why_not(function)
            if told is not None and late.why_not(function) is not None:
                errors.append(FieldError(at, told.code, str(told)))
                if len(errors) == _MOST_TOLD:
                    return errors
    return errors


def _texts_with_expressions(value: Any, path: str) -> Iterator[tuple[str, str, bool]]:
    """(dotted path, text, whether it is a key), wherever a JSON value holds what begins like an expression."""
    pending: list[tuple[str, Any]] = [(path, value)]
    while pending:
        at, node = pending.pop()
        kind = node.__class__
        if kind is str:
            if begins_one(node):
                yield at, node, False
        elif kind is dict or isinstance(node, Mapping):
            for name, child in node.items():
                inside = dotted(at, name)
                if begins_one(name):
                    yield inside, name, True
                if child.__class__ is not int:
                    pending.append((inside, child))
        elif kind is list:
            pending.extend((dotted(at, position), child) for position, child in enumerate(node))
