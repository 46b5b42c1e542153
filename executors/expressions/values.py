"""What expressions stand for: in the catalog's texts, in an input at its run, and as far as is known before it."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Any, Protocol

from core.times import to_ms
from executors.expressions.errors import ExpressionError
from executors.expressions.moments import Moment, date_add
from executors.expressions.syntax import Function, Reference, Term, begins_one, parse, references_of

Scalar = str | int | float | bool
MAX_RESOLVED_CHARACTERS = 4 * 1024 * 1024  # of all texts that references stand for in one input


class Unknown(str):
    """A text that refers to what only a run knows: it may become anything."""

    __slots__ = ()


class Scope(Protocol):
    """What references stand for where an input is resolved."""

    def value_of(self, reference: Reference) -> Scalar:
        """Raises ExpressionError where there is none."""


def references_in(text: str) -> list[Reference]:
    """The references in a text of the catalog, in order. Raises ExpressionError where it holds a function."""
    if "$" not in text:
        return []
    return [part for part in _only_references(text) if isinstance(part, Reference)]


def open_references(text: str, scope: Scope) -> str:
    """A text of the catalog with each reference replaced, once: what it stands for is not looked into."""
    if "$" not in text:
        return text
    return "".join(part if isinstance(part, str) else plain(scope.value_of(part)) for part in _only_references(text))


def _only_references(text: str) -> Iterator[Reference | str]:
    for part in parse(text):
        if isinstance(part, Function):
            raise ExpressionError(f"${part.name}(…) is understood in an input only", "expression_unsupported")
        yield part


def plain(value: Scalar) -> str:
    """A JSON scalar as it is written in a text, a URL or a header."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return value if isinstance(value, str) else str(value)


def resolve(value: Any, scope: Scope, *, now: datetime) -> Any:
    """The JSON value with its expressions replaced. Raises ExpressionError, also past MAX_RESOLVED_CHARACTERS.

    A text that is one expression becomes what that stands for, of whatever type; within a longer
    text it becomes a text.
    """
    return _Resolving(scope, now).value(value)


def resolve_known(value: Any, *, now: datetime) -> Any:
    """The JSON value with what refers to nothing replaced, as `resolve` would; the rest `Unknown`."""
    return _Knowing(None, now).value(value)


def uncomputable(function: Function, *, now: datetime) -> ExpressionError | None:
    """Why a function that refers to nothing stands for nothing at that time."""
    try:
        _Resolving(None, now).term(function)
    except ExpressionError as error:
        return error
    return None


class _Resolving:
    """Without a scope it resolves what refers to nothing."""

    def __init__(self, scope: Scope | None, now: datetime) -> None:
        self._scope = scope
        self._now = now
        self._left = MAX_RESOLVED_CHARACTERS

    def value(self, value: Any) -> Any:
        if isinstance(value, str):
            return self._text(value) if begins_one(value) else value
        if isinstance(value, dict):
            return {self._name(name): self.value(member) for name, member in value.items()}
        if isinstance(value, list):
            return [self.value(member) for member in value]
        return value

    def _name(self, name: str) -> str:
        """A field's name, in which expressions can only be escaped."""
        return str(self._text(name)) if begins_one(name) else name

    def _text(self, text: str) -> Any:
        parts = parse(text)
        if len(parts) == 1:
            return self.term(parts[0])
        return "".join(part if isinstance(part, str) else plain(self.term(part)) for part in parts)

    def term(self, term: Term) -> Any:
        if isinstance(term, Reference):
            assert self._scope is not None
            found = self._scope.value_of(term)
            self._left -= len(plain(found))
            if self._left < 0:
                raise ExpressionError(f"what the input refers to is longer than {MAX_RESOLVED_CHARACTERS} characters")
            return found
        if not isinstance(term, Function):
            return term
        if term.name == "Now":
            return Moment(to_ms(self._now))
        moment, amount, unit = (self.term(argument) for argument in term.arguments)
        return date_add(moment, amount, unit)


class _Knowing(_Resolving):
    def _text(self, text: str) -> Any:
        if any(True for part in parse(text) for _ in references_of(part)):
            return Unknown(text)
        try:
            return super()._text(text)
        except ExpressionError:
            return Unknown(text)  # it can be computed later
