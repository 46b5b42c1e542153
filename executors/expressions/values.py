"""What expressions stand for: in the catalog's texts, in an input at its run, and as far as is known before it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any

from core.times import to_ms
from executors.expressions.budget import Budget
from executors.expressions.errors import ExpressionError
from executors.expressions.functions import FUNCTIONS
from executors.expressions.kinds import IN_THE_CATALOG
from executors.expressions.moments import Moment
from executors.expressions.scopes import Scope, texts_in, watcher_of
from executors.expressions.syntax import begins_one, parse
from executors.expressions.terms import Function, ListOf, ObjectOf, Part, Reference, Term, references_of
from executors.expressions.writing import text_of

_PLAIN = frozenset({int, float, bool, type(None)})


class Unknown(str):
    """A text that refers to what only a run knows: it may become any JSON value."""

    __slots__ = ()


def references_in(text: str) -> list[Reference]:
    """The references in a text of the catalog, in order. Raises ExpressionError where it holds a function."""
    if "$" not in text:
        return []
    return [part for part in _only_references(text) if isinstance(part, Reference)]


def open_references(text: str, scope: Scope) -> str:
    """A text of the catalog with each reference replaced, once: what it stands for is not looked into."""
    if "$" not in text:
        return text
    budget = Budget()
    return "".join(
        part if isinstance(part, str) else text_of(scope.value_of(part), budget) for part in _only_references(text)
    )


def _only_references(text: str) -> Iterator[Reference | str]:
    for part in parse(text):
        IN_THE_CATALOG.refuse(part)
        assert not isinstance(part, Function)  # they are refused
        yield part


def resolve(value: Any, scope: Scope, *, now: datetime) -> Any:
    """The JSON value with its expressions replaced. Raises ExpressionError, with its `path` in the value.

    A text that is one expression becomes what that stands for, of whatever type; within a longer
    text it becomes a text. What a reference stands for is not looked into. All of it together
    may take so many steps and characters as `executors.expressions.budget` says.
    """
    return _Resolving(scope, now).whole(value)


def resolve_known(value: Any, *, now: datetime, scope: Scope | None = None) -> Any:
    """The JSON value with what refers to nothing replaced, as `resolve` would; the rest `Unknown`.

    With a scope also what refers to what that knows by now: it answers `Unknown` for what it does not.
    """
    return _Knowing(scope, now).whole(value)


class _Resolving:
    """Without a scope it resolves what refers to nothing."""

    def __init__(self, scope: Scope | None, now: datetime) -> None:
        self._scope = scope
        self._computed = watcher_of(scope)
        self._now = now
        self._budget = Budget()
        self._path: list[str | int] = []  # of what is being resolved; left as it is by an error

    def whole(self, value: Any) -> Any:
        try:
            return self._value(value)
        except ExpressionError as error:
            error.path = tuple(self._path)
            raise

    def _value(self, value: Any) -> Any:
        kind = value.__class__
        if kind is str:  # and not Unknown: that is no expression any more
            return self._text(value) if begins_one(value) else value
        if kind is dict or isinstance(value, Mapping):
            return self._members(value)
        if isinstance(value, list):
            return self._elements(value)
        return value

    def _members(self, value: Mapping[str, Any]) -> dict[str, Any]:
        found = {}
        for name, member in value.items():
            self._path.append(name)
            found[self._name(name)] = member if member.__class__ in _PLAIN else self._value(member)
            self._path.pop()
        return found

    def _elements(self, value: list[Any]) -> list[Any]:
        found = []
        for position, member in enumerate(value):
            self._path.append(position)
            found.append(member if member.__class__ in _PLAIN else self._value(member))
            self._path.pop()
        return found

    def _name(self, name: str) -> str:
        """A field's name, in which expressions can only be escaped."""
        return str(self._text(name)) if begins_one(name) else name

    def _text(self, text: str) -> Any:
        parts = parse(text)
        if len(parts) == 1:
            return self.part(parts[0])
        return "".join(part if isinstance(part, str) else text_of(self.part(part), self._budget) for part in parts)

    def part(self, part: Part) -> Any:
        """What a part of a text stands for; what it takes is counted."""
        if isinstance(part, str):
            return part
        value = self.term(part)
        self._budget.spend(value)
        if isinstance(part, Reference) and isinstance(value, (Mapping, list)):
            value = _copied(value)  # whoever resolves may change what it got
        if isinstance(part, Function) and self._computed is not None:
            self._computed(tuple(references_of(part)), value)
        return value

    def term(self, term: Term) -> Any:
        self._budget.step()
        if isinstance(term, Reference):
            return self._reference(term)
        if isinstance(term, Function):
            return self._function(term)
        if isinstance(term, ListOf):
            return [self.term(member) for member in term.members]
        if isinstance(term, ObjectOf):
            return {name: self.term(member) for name, member in term.members}
        return term

    def _reference(self, reference: Reference) -> Any:
        assert self._scope is not None
        try:
            return self._scope.value_of(reference)
        except ExpressionError as error:
            raise ExpressionError(error.detail, error.code, at=reference.at) from None

    def _function(self, function: Function) -> Any:
        if function.name == "Now":
            return Moment(to_ms(self._now))
        arguments = [self.term(argument) for argument in function.arguments]
        try:
            return FUNCTIONS[function.name].compute(arguments, self._budget)
        except ExpressionError as error:
            raise ExpressionError(error.detail, error.code, at=function.at) from None


def _copied(value: Any) -> Any:
    """No deeper than the budget has found it to be."""
    if isinstance(value, Mapping):
        return {name: _copied(member) for name, member in value.items()}
    if isinstance(value, list):
        return [_copied(member) for member in value]
    return value


class Trial:
    """Whether functions that refer to nothing can be computed at a time; all that are asked for on one budget."""

    def __init__(self, now: datetime) -> None:
        self._resolving = _Resolving(None, now)

    def why_not(self, function: Function) -> ExpressionError | None:
        try:
            self._resolving.term(function)
        except ExpressionError as error:
            return error
        return None


class _Knowing(_Resolving):
    def _text(self, text: str) -> Any:
        parts = parse(text)
        whole = len(parts) == 1 and isinstance(parts[0], Reference)
        try:
            for reference in (reference for part in parts for reference in references_of(part)):
                if self._scope is None or _is_open(self._reference(reference), whole=whole):
                    return Unknown(text)
            return super()._text(text)
        except ExpressionError:
            return Unknown(text)  # it can be computed later


def _is_open(value: Any, *, whole: bool) -> bool:
    """Whether a value is unknown; or anything in it, where it is not put in whole."""
    return isinstance(value, Unknown) or (not whole and any(isinstance(text, Unknown) for text in texts_in(value)))
