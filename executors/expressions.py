"""References and functions in values: which are understood where, and what they stand for.

Understood in an input: `$Now()`, `$DateAdd(time, amount, "unit")`, `$Secret{KEY}`,
`$Variable{app}{key}`, `$Constant{app}{key}`; in the values of the catalog the last three. Anything
else that begins like an expression (`$Session{…}`) is told apart from plain text, so that it is
refused instead of being sent as it was written; `$$` in its place is a plain `$`. One bounded evaluator: no eval, no recursion into
what a reference stands for, no queries.
"""

from __future__ import annotations

import re
from calendar import monthrange
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Any, NamedTuple, Protocol

from core.errors import FieldError
from core.fields import dotted, nearest
from core.times import from_ms, later, parse_time, to_ms

SECRET_KEY = re.compile(r"[A-Za-z_][A-Za-z0-9_.\-]{0,119}")
NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.\-]{0,119}")
MAX_RESOLVED_CHARACTERS = 4 * 1024 * 1024  # of all texts that references stand for in one input
LAST_RUN = timedelta(days=36_525)  # from its dispatch: by then a job has run for the last time
_LONGEST = 1000  # characters of one expression
_DEEPEST = 10  # functions within functions
_MOST_TOLD = 20

# Begins like an expression. Of the `$` before the name each two are a plain one, and only an odd one begins it.
_ANY = re.compile(r"(?<!\$)(\$++)([A-Z][A-Za-z0-9]*[({])")
_TOKEN = re.compile(
    r"""\s*(?:
        (?P<call>\$[A-Z][A-Za-z0-9]*)\s*\( |
        (?P<reference>\$[A-Z][A-Za-z0-9]*)(?P<names>(?:\{[^{}]*\})+) |
        (?P<number>-?[0-9]{1,18}(?:\.[0-9]{1,9})?) |
        "(?P<double>[^"]*)" | '(?P<single>[^']*)' |
        (?P<sign>[,)])
    )""",
    re.VERBOSE,
)
_REFERENCES = {"Secret": 1, "Variable": 2, "Constant": 2}  # → how many names in braces
_FUNCTIONS = {"Now": 0, "DateAdd": 3}  # → how many arguments
_UNITS = {
    "millisecond": timedelta(milliseconds=1), "ms": timedelta(milliseconds=1), "second": timedelta(seconds=1),
    "sec": timedelta(seconds=1), "minute": timedelta(minutes=1), "min": timedelta(minutes=1), "hour": timedelta(hours=1),
    "day": timedelta(days=1), "week": timedelta(weeks=1),
}  # fmt: skip
_MONTHS = {"month": 1, "quarter": 3, "year": 12}


class ExpressionError(ValueError):
    """An expression is not understood, or what it says cannot be computed. The text is for the caller."""

    def __init__(self, detail: str, code: str = "expression_invalid") -> None:
        super().__init__(detail)
        self.code = code


class Moment(int):
    """A time in ms since the epoch: what `$Now` and `$DateAdd` stand for."""


class Unknown(str):
    """A text that refers to what only a run knows: it may become anything."""

    __slots__ = ()


@dataclass(frozen=True, slots=True)
class Reference:
    """`$Secret{KEY}`, `$Variable{app}{key}`, `$Constant{app}{key}`."""

    kind: str
    names: tuple[str, ...]

    def __str__(self) -> str:
        return f"${self.kind}" + "".join(f"{{{name}}}" for name in self.names)


@dataclass(frozen=True, slots=True)
class Function:
    name: str
    arguments: tuple[Term, ...]


Scalar = str | int | float | bool
Term = Reference | Function | str | int | float
Part = Reference | Function | str


class Scope(Protocol):
    """What references stand for where an input is resolved."""

    def value_of(self, reference: Reference) -> Scalar:
        """Raises ExpressionError where there is none."""


@lru_cache(maxsize=4096)
def parse(text: str) -> tuple[Part, ...]:
    """A text as plain pieces and expressions, in order; never two plain ones in a row. Raises ExpressionError."""
    parts: list[Part] = []
    plain = ""
    at = 0
    while match := _ANY.search(text, at):
        escaped, odd = divmod(len(match[1]), 2)
        plain += text[at : match.start()] + "$" * escaped
        if not odd:
            plain += match[2]
            at = match.end()
            continue
        begin = match.end(1) - 1
        expression, at = _term(text, begin, begin + _LONGEST, 0)
        assert isinstance(expression, (Reference, Function))  # it began like one
        if plain:
            parts.append(plain)
        plain = ""
        parts.append(expression)
    if plain or at < len(text):
        parts.append(plain + text[at:])
    return tuple(parts)


def references_in(text: str) -> list[Reference]:
    """The references in a text of the catalog, in order. Raises ExpressionError where it holds a function."""
    if "$" not in text:
        return []
    parts = parse(text)
    for part in parts:
        if isinstance(part, Function):
            raise ExpressionError(f"${part.name}(…) is understood in an input only", "expression_unsupported")
    return [part for part in parts if isinstance(part, Reference)]


def open_references(text: str, scope: Scope) -> str:
    """A text of the catalog with each reference replaced, once: what it stands for is not looked into."""
    if "$" not in text:
        return text
    return "".join(part if isinstance(part, str) else plain(scope.value_of(part)) for part in _only_references(text))


def plain(value: Scalar) -> str:
    """A JSON scalar as it is written in a text, a URL or a header."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return value if isinstance(value, str) else str(value)


def is_only_a_reference(text: str) -> bool:
    """Whether a text is one reference and nothing else: then there is nothing to hide in it."""
    return text.startswith("$") and len(found := parse(text)) == 1 and isinstance(found[0], Reference)


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
            if is_key and not _is_plain(text):
                raise ExpressionError("an expression cannot stand in a field's name", "expression_unsupported")
            references += [(at, reference) for part in parse(text) for reference in _references_of(part)]
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
            if "$" in node and _ANY.search(node):
                return True
        elif kind is dict or isinstance(node, Mapping):
            pending.extend(node)
            pending.extend(node.values())
        elif kind is list:
            pending.extend(node)
    return False


def is_expression(value: Any) -> bool:
    """Whether a value is a text that holds an expression, or an escaped one: it is not sent as it is written."""
    return isinstance(value, str) and "$" in value and _ANY.search(value) is not None


def resolve(value: Any, scope: Scope, *, now: datetime) -> Any:
    """The JSON value with its expressions replaced. Raises ExpressionError, also past MAX_RESOLVED_CHARACTERS.

    A text that is one expression becomes what that stands for, of whatever type; within a longer
    text it becomes a text.
    """
    return _Resolving(scope, now).value(value)


def resolve_known(value: Any, *, now: datetime) -> Any:
    """The JSON value with what refers to nothing replaced, as `resolve` would; the rest `Unknown`."""
    return _Knowing(None, now).value(value)


def never_computable(value: Any, path: str, *, now: datetime) -> list[FieldError]:
    """What refers to nothing and cannot be computed now, nor when the last run may be (at most 20)."""
    errors: list[FieldError] = []
    for at, text, _ in _texts_with_expressions(value, path):
        for part in parse(text):
            if isinstance(part, Function) and next(_references_of(part), None) is None:
                told = [_uncomputable(part, moment) for moment in (now, later(now, LAST_RUN))]
                if told[0] is not None and told[1] is not None and len(errors) < _MOST_TOLD:
                    errors.append(FieldError(at, told[0].code, str(told[0])))
    return errors


def _uncomputable(function: Function, now: datetime) -> ExpressionError | None:
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
            return self._text(value) if is_expression(value) else value
        if isinstance(value, dict):
            return {self._name(name): self.value(member) for name, member in value.items()}
        if isinstance(value, list):
            return [self.value(member) for member in value]
        return value

    def _name(self, name: str) -> str:
        """A field's name, in which expressions can only be escaped."""
        return str(self._text(name)) if is_expression(name) else name

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
        return _date_add(moment, amount, unit)


class _Knowing(_Resolving):
    def _text(self, text: str) -> Any:
        if any(True for part in parse(text) for _ in _references_of(part)):
            return Unknown(text)
        try:
            return super()._text(text)
        except ExpressionError:
            return Unknown(text)  # it can be computed later


def _date_add(moment: Any, amount: Any, unit: Any) -> Moment:
    try:
        begin = parse_time(float(moment) if isinstance(moment, str) and moment.isdecimal() else moment)
        count = float(amount)
        return Moment(to_ms(_moved(begin, count, _unit(unit))))
    except ExpressionError:
        raise
    except (ValueError, OverflowError, TypeError) as error:
        raise ExpressionError(f"$DateAdd({moment}, {amount}, {unit!r}) cannot be computed: {error}") from None


def _moved(begin: datetime, count: float, unit: str) -> datetime:
    if unit in _UNITS:
        moved = begin + _UNITS[unit] * count
    else:
        months = begin.year * 12 + begin.month - 1 + int(count * _MONTHS[unit])
        year, month = divmod(months, 12)
        moved = begin.replace(year=year, month=month + 1, day=min(begin.day, monthrange(year, month + 1)[1]))
    return from_ms(to_ms(moved)).astimezone(UTC)


def _unit(text: Any) -> str:
    name = str(text).lower()
    for spelling in (name, name.removesuffix("s")):
        if spelling in _UNITS or spelling in _MONTHS:
            return spelling
    known = sorted([*_UNITS, *_MONTHS])
    meant = nearest(name, known)
    raise ExpressionError(
        f"{str(text)[:40]!r} is no unit of time: " + (f"did you mean {meant!r}?" if meant else ", ".join(known))
    )


def _term(text: str, at: int, end: int, depth: int) -> tuple[Term, int]:
    """The term that begins at `at`, and where it ends."""
    match = _TOKEN.match(text, at)
    if match is None or match["sign"] or match.end() > end or depth > _DEEPEST:
        why = "is too long" if match is not None and match.end() > end else "is nested too deeply"
        if depth <= _DEEPEST and (match is None or match["sign"]):
            why = "is not an expression: a name, a number or a text in quotes is missing, or a brace or bracket"
        raise ExpressionError(f"{text[max(0, at - 20) : at + 20]!r} {why}")
    if match["number"] is not None:
        number = match["number"]
        return (float(number) if "." in number else int(number)), match.end()
    if match["double"] is not None or match["single"] is not None:
        return match["double"] if match["double"] is not None else match["single"], match.end()
    if match["reference"] is not None:
        return _reference(match["reference"][1:], match["names"]), match.end()
    return _call(text, match["call"][1:], match.end(), end, depth)


def _call(text: str, name: str, at: int, end: int, depth: int) -> tuple[Function, int]:
    if name not in _FUNCTIONS:
        raise ExpressionError(f"${name}(…) is not supported{_meant(name)}{_plainly(name)}", "expression_unsupported")
    arguments: list[Term] = []
    while True:
        match = _TOKEN.match(text, at)
        if match is not None and match["sign"] == ")" and not arguments:
            at = match.end()
            break
        argument, at = _term(text, at, end, depth + 1)
        arguments.append(argument)
        match = _TOKEN.match(text, at)
        if match is None or match["sign"] is None or match.end() > end:
            raise ExpressionError(f"after {text[max(0, at - 20) : at]!r} a comma or a bracket is missing")
        at = match.end()
        if match["sign"] == ")":
            break
    wanted = _FUNCTIONS[name]
    if len(arguments) != wanted:
        raise ExpressionError(f"${name} takes {wanted} arguments, {len(arguments)} are given")
    if name == "DateAdd":
        _check_date_add(arguments)
    return Function(name, tuple(arguments)), at


def _check_date_add(arguments: list[Term]) -> None:
    """What can be told before a run: a wrong unit, an amount that is no number, a time that is none."""
    moment, amount, unit = arguments
    if isinstance(unit, (int, float)):
        raise ExpressionError(f"the unit of $DateAdd must be a text in quotes, such as 'days', not {unit}")
    if isinstance(unit, str):
        _unit(unit)
    if isinstance(amount, str):
        raise ExpressionError(f"the amount of $DateAdd must be a number, not {amount[:40]!r}")
    if isinstance(moment, (str, int, float)):
        try:
            parse_time(moment)
        except ValueError as error:
            raise ExpressionError(f"the time of $DateAdd: {error}") from None


def _reference(kind: str, braces: str) -> Reference:
    if kind not in _REFERENCES:
        raise ExpressionError(f"${kind}{{…}} is not supported{_meant(kind)}{_plainly(kind)}", "expression_unsupported")
    names = tuple(braces[1:-1].split("}{"))
    if len(names) != _REFERENCES[kind]:
        shape = "{KEY}" if kind == "Secret" else "{app}{key}"
        raise ExpressionError(f"${kind}{braces[:60]} must be ${kind}{shape}")
    for name in names:
        if not (SECRET_KEY if kind == "Secret" else NAME).fullmatch(name):
            what = "the key of a secret" if kind == "Secret" else "a tag or key"
            raise ExpressionError(f"{name[:60]!r} is not {what}: letters, digits, _ . - and, of a key, no digit first")
    return Reference(kind, names)


def _meant(name: str) -> str:
    meant = nearest(name, [*_REFERENCES, *_FUNCTIONS])
    if meant is not None:
        return f": did you mean ${meant}?"
    return " in an input yet: give the value" if name[:1].isupper() else ""


def _plainly(name: str) -> str:
    return f" (to send it as it is written: $${name})"


def _is_plain(text: str) -> bool:
    return all(isinstance(part, str) for part in parse(text))


def _only_references(text: str) -> Iterator[Reference | str]:
    for part in parse(text):
        if isinstance(part, Function):
            raise ExpressionError(f"${part.name}(…) is understood in an input only", "expression_unsupported")
        yield part


def _references_of(term: Term) -> Iterator[Reference]:
    if isinstance(term, Reference):
        yield term
    elif isinstance(term, Function):
        for argument in term.arguments:
            yield from _references_of(argument)


def _texts_with_expressions(value: Any, path: str) -> Iterator[tuple[str, str, bool]]:
    """(dotted path, text, whether it is a key), wherever a JSON value holds what begins like an expression."""
    pending: list[tuple[str, Any]] = [(path, value)]
    while pending:
        at, node = pending.pop()
        kind = node.__class__
        if kind is str:
            if "$" in node and _ANY.search(node):
                yield at, node, False
        elif kind is dict or isinstance(node, Mapping):
            for name, child in node.items():
                inside = dotted(at, name)
                if "$" in name and _ANY.search(name):
                    yield inside, name, True
                if child.__class__ is not int:
                    pending.append((inside, child))
        elif kind is list:
            pending.extend((dotted(at, position), child) for position, child in enumerate(node))
