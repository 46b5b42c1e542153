r"""What an expression looks like: a text taken apart into plain pieces, references and functions.

    text       = { expression | escaped | character } ;
    escaped    = "$$" , what follows the "$" of an expression ;       (a plain "$": nothing is looked up)
    expression = reference | function | size | "$Now" | "$Default" ;
    reference  = "$" , kind , "{" , name , "}" , { "{" , name , "}" } ;
    kind       = "Input" | "Sequence" | "Step" | "Variable" | "Constant" | "Session" | "Secret" | "Auth" ;
    name       = ( any character but "{" , "}" and controls ) , { ... } ;   ("[0]" or "0": a position in a list)
    function   = "$" , word , "(" , [ term , { "," , term } ] , ")" ;
    size       = ( "$Size" | "$Length" ) , "{" , expression , "}" ;
    term       = expression | string | number | list | object | "true" | "false" | "null" ;
    list       = "[" , [ term , { "," , term } ] , "]" ;
    object     = "{" , [ member , { "," , member } ] , "}" ;
    member     = ( word | string ) , ":" , term ;
    string     = '"' , { character | escape } , '"' | "'" , { character | escape } , "'" ;
    escape     = "\" , ( '"' | "'" | "\" | "/" | "b" | "f" | "n" | "r" | "t" | "u" , 4 hexadecimal digits ) ;
    number     = [ "-" ] , digits , [ "." , digits ] ;                (at most 18 digits each)
    word       = letter , { letter | digit | "_" } ;

Spaces and line ends may stand between the signs of a function, not before its bracket. `$Var(word)` is read as
a reference: it takes a bare word. Whatever begins like an expression (`$Name(`, `$Name{`, `$Now`, `$Default`)
is one or is refused: nothing is sent as it was written by mistake.

One bounded pass: no eval, no queries, nothing of what an expression stands for. Offsets count characters
from 0, from the start of the text.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import lru_cache
from typing import TypeVar

from core.fields import nearest
from executors.expressions.errors import ExpressionError
from executors.expressions.functions import FUNCTIONS
from executors.expressions.kinds import FORMS, OF_A_RUN, check_names
from executors.expressions.terms import Function, ListOf, ObjectOf, Part, Reference, Term

LONGEST = 10_000  # characters of one expression
DEEPEST = 20  # terms within terms
MAX_TERMS = 10_000  # of all expressions of one text
_LONGEST_REMEMBERED = 4096  # characters of a text whose parts are kept

# Begins like an expression. Of the `$` before the name each two are a plain one, and only an odd one begins it.
_ANY = re.compile(r"(?<!\$)(\$++)([A-Z][A-Za-z0-9]*[({]|(?:Now|Default)(?![A-Za-z0-9_]))")
_TOKEN = re.compile(
    r"""(?P<space>\s*+)(?:
        \$(?P<call>[A-Z][A-Za-z0-9]*)\s*+\( |
        \$(?P<size>Size|Length)\{ |
        \$(?P<kind>[A-Z][A-Za-z0-9]*)(?P<names>(?:\{[^{}]*\})+) |
        \$(?P<bare>Now|Default)(?![A-Za-z0-9_{(]) |
        (?P<number>-?[0-9]{1,18}(?:\.[0-9]{1,18})?)(?![0-9A-Za-z_.]) |
        "(?P<double>(?:[^"\\]|\\.)*+)" | '(?P<single>(?:[^'\\]|\\.)*+)' |
        (?P<word>[A-Za-z_][A-Za-z0-9_]*) |
        (?P<sign>[,:()\[\]{}])
    )""",
    re.VERBOSE | re.DOTALL,
)
_BRACED = re.compile(r"\$([A-Z][A-Za-z0-9]*)\{")
_ESCAPE = re.compile(r"\\(u[0-9A-Fa-f]{4}|.)", re.DOTALL)
_ESCAPED = {'"': '"', "'": "'", "\\": "\\", "/": "/", "b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t"}
_WORDS: dict[str, bool | None] = {"true": True, "false": False, "null": None}
_NAMES = (*FORMS, *FUNCTIONS, "Var", "Default")
_Read = TypeVar("_Read")


def parse(text: str) -> tuple[Part, ...]:
    """A text as plain pieces and expressions, in order; never two plain ones in a row. Raises ExpressionError."""
    return _remembered(text) if len(text) <= _LONGEST_REMEMBERED else _parse(text)


def begins_one(text: str) -> bool:
    """Whether a text holds what begins like an expression, or an escaped one."""
    return "$" in text and _ANY.search(text) is not None


def is_plain(text: str) -> bool:
    return all(isinstance(part, str) for part in parse(text))


def is_only_a_reference(text: str) -> bool:
    """Whether a text is one reference and nothing else: then there is nothing to hide in it."""
    return text.startswith("$") and len(found := parse(text)) == 1 and isinstance(found[0], Reference)


def _parse(text: str) -> tuple[Part, ...]:
    parts: list[Part] = []
    plain = ""
    at = terms = 0
    while match := _ANY.search(text, at):
        escaped, odd = divmod(len(match[1]), 2)
        plain += text[at : match.start()] + "$" * escaped
        if not odd:
            plain += match[2]
            at = match.end()
            continue
        reading = _Reading(text, match.end(1) - 1, terms)
        expression = reading.term(0)
        assert isinstance(expression, (Reference, Function))  # it began like one
        at, terms = reading.at, reading.terms
        if plain:
            parts.append(plain)
        plain = ""
        parts.append(expression)
    if plain or at < len(text):
        parts.append(plain + text[at:])
    return tuple(parts)


_remembered = lru_cache(maxsize=4096)(_parse)


class _Reading:
    """One expression, read from its first character on."""

    def __init__(self, text: str, begin: int, terms: int) -> None:
        self._text = text
        self._end = begin + LONGEST
        self.at = begin
        self.terms = terms

    def term(self, depth: int) -> Term:
        """The term that begins here."""
        token = self._next()
        at = token.end("space")
        self.terms += 1
        if self.terms > MAX_TERMS:
            raise ExpressionError(f"the text holds more than {MAX_TERMS} references, functions and values", at=at)
        if depth > DEEPEST:
            raise ExpressionError(f"the expression is nested too deeply: {DEEPEST} levels are allowed", at=at)
        if (number := token["number"]) is not None:
            return float(number) if "." in number else int(number)
        for quoted in ("double", "single"):
            if token[quoted] is not None:
                return _unescaped(token[quoted], token.start(quoted))
        if token["kind"] is not None:
            return _reference(token["kind"], token["names"], at)
        if token["call"] is not None:
            return self._variable(at) if token["call"] == "Var" else self._call(token["call"], at, depth)
        if token["size"] is not None:
            return self._size(token["size"], at, depth)
        if token["bare"] is not None:
            return Function("Now", (), at) if token["bare"] == "Now" else Reference("Default", (), at)
        if token["word"] is not None:
            return self._word(token["word"], at)
        if token["sign"] == "[":
            return ListOf(tuple(self._up_to("]", lambda: self.term(depth + 1))))
        if token["sign"] == "{":
            return ObjectOf(tuple(self._up_to("}", lambda: self._member(depth + 1))))
        raise self._no_expression(at)

    def _call(self, name: str, at: int, depth: int) -> Function:
        if name not in FUNCTIONS:
            raise _unknown(name, f"${name}(…)", at)
        arguments = tuple(self._up_to(")", lambda: self.term(depth + 1)))
        signature = FUNCTIONS[name]
        if not signature.least <= len(arguments) <= signature.most:
            raise ExpressionError(f"${name} takes {signature.count} arguments, {len(arguments)} are given", at=at)
        if signature.check is not None:
            try:
                signature.check(arguments)
            except ExpressionError as error:
                raise ExpressionError(error.detail, error.code, at=at) from None
        return Function(name, arguments, at)

    def _size(self, name: str, at: int, depth: int) -> Function:
        inner = self.term(depth + 1)
        if not isinstance(inner, (Reference, Function)) or self._next()["sign"] != "}":
            raise ExpressionError(f"${name}{{…}} must hold one expression, such as ${name}{{$Input{{a}}}}", at=at)
        return Function(name, (inner,), at)

    def _variable(self, at: int) -> Reference:
        token = self._next()
        name = next((token[group] for group in ("word", "double", "single") if token[group] is not None), None)
        if name is None or self._next()["sign"] != ")":
            raise ExpressionError("$Var takes one name, such as $Var(execution_count)", at=at)
        if name not in OF_A_RUN:
            meant = nearest(name, OF_A_RUN)
            told = f"did you mean {meant}?" if meant else ", ".join(OF_A_RUN)
            raise ExpressionError(f"$Var({name[:60]}) is not known: {told}", at=at)
        return Reference("Var", (name,), at)

    def _word(self, word: str, at: int) -> bool | None:
        if word not in _WORDS:
            raise ExpressionError(f"{word[:60]!r} is not an expression: a text stands in quotes", at=at)
        return _WORDS[word]

    def _member(self, depth: int) -> tuple[str, Term]:
        token = self._next()
        name = token["word"]
        for quoted in ("double", "single"):
            if token[quoted] is not None:
                name = _unescaped(token[quoted], token.start(quoted))
        if name is None or self._next()["sign"] != ":":
            raise ExpressionError("a member of an object is a name, a colon and a value", at=token.end("space"))
        return name, self.term(depth)

    def _up_to(self, closing: str, read: Callable[[], _Read]) -> list[_Read]:
        """What stands between commas, and the sign that closes it."""
        found: list[_Read] = []
        if self._next(peek=True)["sign"] == closing:
            self._next()
            return found
        while True:
            found.append(read())
            before = self.at
            token = _TOKEN.match(self._text, self.at)
            if token is None or token["sign"] not in (",", closing):
                shown = self._text[max(0, before - 20) : before]
                raise ExpressionError(f"after {shown!r} a comma or a bracket is missing", at=before)
            if self._next()["sign"] == closing:
                return found

    def _next(self, *, peek: bool = False) -> re.Match[str]:
        token = _TOKEN.match(self._text, self.at)
        if token is None:
            raise self._no_expression(self.at)
        if token.end() > self._end:
            raise ExpressionError(f"the expression is too long: {LONGEST} characters are allowed", at=self.at)
        if not peek:
            self.at = token.end()
        return token

    def _no_expression(self, at: int) -> ExpressionError:
        braced = _BRACED.match(self._text, at)
        if braced is not None and braced[1] not in FORMS:
            return _unknown(braced[1], f"${braced[1]}{{…}}", at)
        shown = self._text[max(0, at - 20) : at + 20]
        why = "a name, a number or a text in quotes is missing, or a brace or bracket"
        return ExpressionError(f"{shown!r} is not an expression: {why}", at=at)


def _reference(kind: str, braces: str, at: int) -> Reference:
    if kind not in FORMS:
        raise _unknown(kind, f"${kind}{{…}}", at)
    names = tuple(braces[1:-1].split("}{"))
    check_names(kind, names, at=at)
    return Reference(kind, names, at)


def _unescaped(text: str, at: int) -> str:
    if "\\" not in text:
        return text

    def one(match: re.Match[str]) -> str:
        code = match[1]
        if len(code) == 5:
            return chr(int(code[1:], 16))
        if code not in _ESCAPED:
            raise ExpressionError(f"'\\{code}' is no escape: a backslash is written '\\\\'", at=at + match.start())
        return _ESCAPED[code]

    found = _ESCAPE.sub(one, text)
    try:
        found = found.encode("utf-16-le", "surrogatepass").decode("utf-16-le")
    except UnicodeDecodeError:
        raise ExpressionError("a text holds half of a surrogate pair", at=at) from None
    if "\x00" in found:
        raise ExpressionError("a text cannot hold a NUL", at=at)
    return found


def _unknown(name: str, written: str, at: int) -> ExpressionError:
    meant = nearest(name, _NAMES)
    if meant == name:
        told = f": it is written ${name}(…)" if name in FUNCTIONS or name == "Var" else f": it is written {_form(name)}"
    else:
        told = f": did you mean ${meant}?" if meant is not None else ""
    plainly = f" (to send it as it is written: $${name})"
    return ExpressionError(f"{written} is not supported{told}{plainly}", "expression_unsupported", at=at)


def _form(name: str) -> str:
    return f"${name}{FORMS[name].shape}" if name in FORMS else f"${name}"
