"""What a text is made of once it is parsed: references, functions, lists, objects and plain values.

Owns how a reference is written. Never what one stands for.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

Scalar = str | int | float | bool


@dataclass(frozen=True, slots=True)
class Reference:
    """`$Secret{KEY}`, `$Input{a}{b}`, `$Var(execution_count)`, `$Default`."""

    kind: str
    names: tuple[str, ...]
    at: int = field(default=0, compare=False, repr=False)  # characters from the start of its text

    def __str__(self) -> str:
        if self.kind == "Default":  # it has no names
            return "$Default"
        if self.kind == "Var":
            return f"$Var({self.names[0]})"
        return f"${self.kind}" + "".join(f"{{{name}}}" for name in self.names)


@dataclass(frozen=True, slots=True)
class Function:
    """`$Trim(…)`; `$Size{…}` and `$Length{…}` are the functions of these names."""

    name: str
    arguments: tuple[Term, ...]
    at: int = field(default=0, compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class ListOf:
    """`[a, b]`."""

    members: tuple[Term, ...]


@dataclass(frozen=True, slots=True)
class ObjectOf:
    """`{a: 1, "b": 2}`."""

    members: tuple[tuple[str, Term], ...]


Term = Reference | Function | ListOf | ObjectOf | Scalar | None
Part = Reference | Function | str


def references_of(term: Term) -> Iterator[Reference]:
    """The references in a term, in order."""
    if isinstance(term, Reference):
        yield term
    else:
        for inner in _within(term):
            yield from references_of(inner)


def closed_functions(term: Term) -> Iterator[Function]:
    """The widest functions in a term that refer to nothing: what they stand for depends on the time alone."""
    if isinstance(term, Function) and next(references_of(term), None) is None:
        yield term
    else:
        for inner in _within(term):
            yield from closed_functions(inner)


def size_of(term: Term) -> int:
    """Of how many terms it is made, itself counted."""
    return 1 + sum(map(size_of, _within(term)))


def _within(term: Term) -> tuple[Term, ...]:
    if isinstance(term, Function):
        return term.arguments
    if isinstance(term, ListOf):
        return term.members
    if isinstance(term, ObjectOf):
        return tuple(member for _, member in term.members)
    return ()
