"""Which expressions a JSON value holds, and whether each is understood."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from core.errors import FieldError
from core.fields import dotted
from core.times import later
from executors.expressions.errors import ExpressionError
from executors.expressions.syntax import Function, Reference, begins_one, is_plain, parse, references_of
from executors.expressions.values import uncomputable

LAST_RUN = timedelta(days=36_525)  # from its dispatch: by then a job has run for the last time
_MOST_TOLD = 20


class Expressions(NamedTuple):
    """What there is of expressions in a JSON value."""

    found: bool
    errors: list[FieldError]  # at most 20
    references: list[tuple[str, Reference]]  # with their places


def check_expressions(value: Any, path: str) -> Expressions:
    """Which there are, and whether each is understood."""
    errors: list[FieldError] = []
    references: list[tuple[str, Reference]] = []
    found = False
    for at, text, is_key in _texts_with_expressions(value, path):
        found = True
        if len(errors) == _MOST_TOLD:
            break
        try:
            if is_key and not is_plain(text):
                raise ExpressionError("an expression cannot stand in a field's name", "expression_unsupported")
            references += [(at, reference) for part in parse(text) for reference in references_of(part)]
        except ExpressionError as error:
            errors.append(FieldError(at, error.code, str(error)))
    return Expressions(found, errors, references)


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
    for at, text, _ in _texts_with_expressions(value, path):
        for part in parse(text):
            if isinstance(part, Function) and next(references_of(part), None) is None:
                told = [uncomputable(part, now=moment) for moment in (now, later(now, LAST_RUN))]
                if told[0] is not None and told[1] is not None and len(errors) < _MOST_TOLD:
                    errors.append(FieldError(at, told[0].code, str(told[0])))
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
