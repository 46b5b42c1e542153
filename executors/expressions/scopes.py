"""What references stand for where a value is resolved: small scopes, one for each source, and a chain of them.

A new source is a class with `kinds` and `value_of`; whoever resolves puts the ones that there are into a
`ScopeChain`. Owns walking into a value by names. Never queries.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

from executors.expressions.errors import ExpressionError
from executors.expressions.terms import Reference


class Scope(Protocol):
    """What references stand for."""

    def value_of(self, reference: Reference) -> Any:
        """A JSON value, which is not changed by anybody. Raises ExpressionError where there is none."""


class Layer(Scope, Protocol):
    """A scope that says which kinds of reference it knows."""

    @property
    def kinds(self) -> frozenset[str]: ...


# A scope may have a method `computed`, which is told what a function made of its references (of none, perhaps):
# a part of a secret is one too.
Watcher = Callable[[Sequence[Reference], Any], None]


def watcher_of(scope: object) -> Watcher | None:
    """How a scope is told, where it wants to be."""
    watcher: Watcher | None = getattr(scope, "computed", None)
    return watcher


class ScopeChain:
    """Several scopes as one. A reference is asked of the first that knows its kind."""

    def __init__(self, *layers: Layer) -> None:
        self._layers = layers
        self._watchers = [watcher for layer in layers if (watcher := watcher_of(layer)) is not None]

    @property
    def kinds(self) -> frozenset[str]:
        return frozenset().union(*(layer.kinds for layer in self._layers))

    def value_of(self, reference: Reference) -> Any:
        for layer in self._layers:
            if reference.kind in layer.kinds:
                return layer.value_of(reference)
        raise ExpressionError(f"{reference} has no value here")

    def computed(self, references: Sequence[Reference], value: Any) -> None:
        for watcher in self._watchers:
            watcher(references, value)


class InputScope:
    """`$Input{field}…`: the input of a feature."""

    kinds = frozenset({"Input"})

    def __init__(self, input: Mapping[str, Any]) -> None:
        self._input = input

    def value_of(self, reference: Reference) -> Any:
        return walk(self._input, reference.names, reference)


class StepsScope:
    """`$Step{step}{field}…` and `$Sequence{sequence}{event}{field}…`: what finished steps gave.

    `sequences` holds the outputs of each sequence; without it all steps are those of the sequence `main`.
    """

    kinds = frozenset({"Step", "Sequence"})

    def __init__(self, outputs: Mapping[str, Any], sequences: Mapping[str, Mapping[str, Any]] | None = None) -> None:
        self._outputs = outputs
        self._sequences = {"main": outputs} if sequences is None else sequences

    def value_of(self, reference: Reference) -> Any:
        held = self._outputs if reference.kind == "Step" else self._sequences
        return walk(held, reference.names, reference)


class SessionScope:
    """`$Session{tag}{field}…`; where the first name is not the tag it is a field of the session's data."""

    kinds = frozenset({"Session"})

    def __init__(self, tag: str, data: Mapping[str, Any]) -> None:
        self._tag = tag
        self._data = data

    def value_of(self, reference: Reference) -> Any:
        first, *rest = reference.names
        if first == self._tag:
            return walk(self._data, rest, reference)
        return walk(self._data, reference.names, reference)


class AuthScope:
    """`$Auth{field}…`: what a connection logs in with. Every text that is read of it is in `opened`."""

    kinds = frozenset({"Auth"})

    def __init__(self, auth: Mapping[str, Any]) -> None:
        self._auth = auth
        self.opened: set[str] = set()

    def value_of(self, reference: Reference) -> Any:
        value = walk(self._auth, reference.names, reference)
        self.opened.update(texts_in(value))
        return value

    def computed(self, references: Sequence[Reference], value: Any) -> None:
        if any(reference.kind in self.kinds for reference in references):
            self.opened.update(texts_in(value))


class VariablesScope:
    """`$Var(name)`: facts of the run."""

    kinds = frozenset({"Var"})

    def __init__(self, facts: Mapping[str, Any]) -> None:
        self._facts = facts

    def value_of(self, reference: Reference) -> Any:
        return walk(self._facts, reference.names, reference)


def walk(value: Any, names: Sequence[str], reference: Reference) -> Any:
    """What is found in a JSON value by following names. Raises ExpressionError."""
    for depth, name in enumerate(names):
        found, value = _one_in(value, name)
        if not found:
            before = "".join(f"{{{each}}}" for each in names[:depth])
            inside = f" in {before}" if before else ""
            raise ExpressionError(f"{reference} has no value: there is no {name[:120]!r}{inside}")
    return value


def _one_in(value: Any, name: str) -> tuple[bool, Any]:
    if isinstance(value, Mapping):
        return name in value, value.get(name)
    digits = name[1:-1] if name.startswith("[") and name.endswith("]") else name
    if isinstance(value, (list, tuple)) and digits.isascii() and digits.isdecimal() and len(digits) < 10:
        index = int(digits)
        return (True, value[index]) if index < len(value) else (False, None)
    return False, None


def texts_in(value: Any) -> list[str]:
    """Every text in a JSON value."""
    texts: list[str] = []
    pending = [value]
    while pending:
        node = pending.pop()
        if isinstance(node, str):
            texts.append(node)
        elif isinstance(node, Mapping):
            pending += node.values()
        elif isinstance(node, (list, tuple)):
            pending += node
    return texts
