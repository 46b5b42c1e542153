"""What an expression looks like: a text taken apart into plain pieces, references and functions.

One bounded pass: no eval, no queries, nothing of what an expression stands for.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

from core.fields import nearest
from executors.expressions.errors import ExpressionError
from executors.expressions.moments import check_date_add

SECRET_KEY = re.compile(r"[A-Za-z_][A-Za-z0-9_.\-]{0,119}")
NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.\-]{0,119}")
_LONGEST = 1000  # characters of one expression
_DEEPEST = 10  # functions within functions

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


def begins_one(text: str) -> bool:
    """Whether a text holds what begins like an expression, or an escaped one."""
    return "$" in text and _ANY.search(text) is not None


def is_plain(text: str) -> bool:
    return all(isinstance(part, str) for part in parse(text))


def is_only_a_reference(text: str) -> bool:
    """Whether a text is one reference and nothing else: then there is nothing to hide in it."""
    return text.startswith("$") and len(found := parse(text)) == 1 and isinstance(found[0], Reference)


def references_of(term: Term) -> Iterator[Reference]:
    if isinstance(term, Reference):
        yield term
    elif isinstance(term, Function):
        for argument in term.arguments:
            yield from references_of(argument)


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
        check_date_add(arguments)
    return Function(name, tuple(arguments)), at


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
