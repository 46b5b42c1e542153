"""A statement as somebody wrote it: where its parameters stand, whether it is one, whether it only reads. Pure.

Parameters are written `$1`, `$2` … (one may stand in several places), or, where that is no operator, `?`.
What stands in quotes and comments is left alone.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

LONGEST = 100_000  # characters of a statement

_DOLLARS = r"\$\$.*?\$\$|\$(?P<tag>[A-Za-z_]\w*)\$.*?\$(?P=tag)\$"
_PIECES = {
    "postgresql": rf"[eE]'(?:[^'\\]|\\.)*'|'[^']*'|\"[^\"]*\"|--[^\n]*|/\*.*?\*/|{_DOLLARS}",
    "mysql": r"'(?:[^'\\]|\\.)*'|\"(?:[^\"\\]|\\.)*\"|`[^`]*`|--[^\n]*|\#[^\n]*|/\*.*?\*/",
    "sqlite": r"'[^']*'|\"[^\"]*\"|`[^`]*`|\[[^\]]*\]|--[^\n]*|/\*.*?\*/",
}
_WRITES = frozenset({"INSERT", "UPDATE", "DELETE", "MERGE", "INTO", "REPLACE", "CALL"})
_READS = frozenset({"SELECT", "WITH", "VALUES", "TABLE"})


@dataclass(frozen=True, slots=True)
class Statement:
    """A statement taken apart: pieces of text, and positions (from 0) of parameters between them."""

    pieces: tuple[str | int, ...]
    parameters: int  # how many it asks for
    reads: bool  # nothing but a query, as far as its words tell

    def written(self, text: Callable[[str], str], parameter: Callable[[int], str]) -> str:
        """The statement as a driver takes it."""
        return "".join(text(piece) if isinstance(piece, str) else parameter(piece) for piece in self.pieces)

    @property
    def order(self) -> tuple[int, ...]:
        """Which parameter stands where."""
        return tuple(piece for piece in self.pieces if isinstance(piece, int))


class NotOne(ValueError):
    """The text is not one statement; the message is a sentence for the caller."""


def take_apart(query: str, type: str) -> Statement:
    """Raises NotOne for none, for several, and for parameters that are written in both ways."""
    kind = "mysql" if type == "mariadb" else type
    code = "" if kind == "postgresql" else r"|(?P<mark>\?)"
    pattern = re.compile(
        rf"(?P<quoted>{_PIECES[kind]})|\$(?P<number>\d{{1,5}})\b{code}|(?P<end>;)|(?P<word>[A-Za-z_]\w*)", re.DOTALL
    )
    pieces: list[str | int] = []
    words: set[str] = set()
    first, at, marks, numbers, end = "", 0, 0, 0, -1
    for found in pattern.finditer(query):
        if end >= 0 and not _is_comment(found):
            raise NotOne("must be one statement: send the others as jobs of their own, or steps of a feature")
        if (word := found["word"]) is not None:
            words.add(word.upper())
            first = first or word.upper()
        elif found["end"] is not None:
            end = found.start()
        elif found["number"] is not None or found.groupdict().get("mark") is not None:
            position = int(found["number"]) - 1 if found["number"] is not None else marks
            if position < 0:
                raise NotOne("parameters are counted from $1")
            if found["number"] is None:
                marks += 1
            else:
                numbers = max(numbers, position + 1)
            pieces += [query[at : found.start()], position]
            at = found.end()
    if end >= 0 and _rest_is_code(query[end + 1 :], pattern):
        raise NotOne("must be one statement: send the others as jobs of their own, or steps of a feature")
    if not first:
        raise NotOne("must be a statement")
    if marks and numbers:
        raise NotOne("has parameters in two ways: write $1, $2 … or ?, not both")
    pieces.append(query[at:end] if end >= 0 else query[at:])
    return Statement(tuple(pieces), max(marks, numbers), first in _READS and not words & _WRITES)


def _is_comment(found: re.Match[str]) -> bool:
    return found["quoted"] is not None and found["quoted"].startswith(("--", "/*", "#"))


def _rest_is_code(rest: str, pattern: re.Pattern[str]) -> bool:
    """Whether anything but comments and blanks follows."""
    return bool(pattern.sub(lambda found: "" if _is_comment(found) or found["end"] else found[0], rest).strip())
