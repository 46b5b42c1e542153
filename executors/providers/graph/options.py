"""The options of an operation, one by one: what each may be. Problems are yielded; an Unknown may become right."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from core.errors import FieldError
from core.fields import dotted, not_one_of
from executors.expressions import Unknown
from executors.providers.graph.names import wrong_name
from executors.providers.graph.property_values import wrong_properties
from executors.providers.graph.where import wrong_where

Checked = Callable[[Any, str], Iterator[FieldError]]

MOST_LIMIT = 10_000
DEEPEST_PATH = 15  # relationships; the paths of a dense graph grow without measure
LONGEST_ID = 200
LONGEST_QUERY = 100_000
MOST_OPERATIONS = 1_000  # in a transaction
MOST_LABELS = 20
DIRECTIONS = ("OUTGOING", "INCOMING", "BOTH")


@dataclass(frozen=True, slots=True)
class Option:
    """One option. `aliases` are other spellings of it; the first that is given counts."""

    check: Checked
    aliases: tuple[str, ...] = ()
    required: bool = False


def labels(value: Any, path: str) -> Iterator[FieldError]:
    """Labels, or types of relationships: a list of names; one name is a list of one."""
    if isinstance(value, Unknown):
        return
    listed = [value] if isinstance(value, str) else value
    if not isinstance(listed, list) or not 0 < len(listed) <= MOST_LABELS:
        yield FieldError(path, "invalid", f"must be a list of 1 to {MOST_LABELS} names")
        return
    for position, name in enumerate(listed):
        yield from name_of(name, path if listed is not value else dotted(path, position))


def name_of(value: Any, path: str) -> Iterator[FieldError]:
    """A label, a type, or the name of an index or property."""
    if isinstance(value, Unknown):
        return
    told = "must be text" if not isinstance(value, str) else wrong_name(value)
    if told is not None:
        yield FieldError(path, "invalid", told)


def id_of(value: Any, path: str) -> Iterator[FieldError]:
    """The id of a node or relationship, as a result shows it."""
    if isinstance(value, Unknown):
        return
    whole = isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**63
    if not whole and not (isinstance(value, str) and 0 < len(value) <= LONGEST_ID):
        yield FieldError(path, "invalid", "must be an id: a text or a whole number, as results show it")


def properties(value: Any, path: str) -> Iterator[FieldError]:
    yield from wrong_properties(value, path)


def changes(value: Any, path: str) -> Iterator[FieldError]:
    """Properties, among them {$INCREMENT: n}."""
    yield from wrong_properties(value, path, increments=True)
    if value == {}:
        yield FieldError(path, "required", "must name at least one property")


def matched(value: Any, path: str) -> Iterator[FieldError]:
    """Properties that tell a node from others: none is null."""
    yield from wrong_properties(value, path)
    if isinstance(value, dict):
        if not value:
            yield FieldError(path, "required", "must name at least one property, else any node would do")
        for name, member in value.items():
            if member is None:
                yield FieldError(dotted(path, name), "invalid", "must not be null: nothing is equal to null")


def where(value: Any, path: str) -> Iterator[FieldError]:
    yield from wrong_where(value, path)


def node_filter(value: Any, path: str) -> Iterator[FieldError]:
    """{labels, where} of nodes."""
    if isinstance(value, Unknown):
        return
    if not isinstance(value, dict):
        yield FieldError(path, "invalid", "must be an object with labels, where, or both")
        return
    for name, member in value.items():
        if name not in ("labels", "where"):
            yield FieldError(dotted(path, name), "unknown_field", not_one_of(name, ("labels", "where")))
        else:
            yield from (labels if name == "labels" else where)(member, dotted(path, name))


def flag(value: Any, path: str) -> Iterator[FieldError]:
    if not isinstance(value, (bool, Unknown)):
        yield FieldError(path, "invalid", "must be true or false")


def between(low: int, high: int) -> Checked:
    def check(value: Any, path: str) -> Iterator[FieldError]:
        if isinstance(value, Unknown):
            return
        if type(value) is not int or not low <= value <= high:
            yield FieldError(path, "invalid", f"must be a whole number between {low} and {high}")

    return check


def direction(value: Any, path: str) -> Iterator[FieldError]:
    if isinstance(value, Unknown):
        return
    if not isinstance(value, str) or value.upper() not in DIRECTIONS:
        yield FieldError(path, "invalid", not_one_of(str(value), DIRECTIONS))


def order(value: Any, path: str) -> Iterator[FieldError]:
    """{property: "asc" | "desc"}."""
    if isinstance(value, Unknown):
        return
    if not isinstance(value, dict):
        yield FieldError(path, "invalid", 'must be an object such as {name: "asc"}')
        return
    for name, way in value.items():
        yield from name_of(name, dotted(path, name))
        if not isinstance(way, Unknown) and str(way).lower() not in ("asc", "desc"):
            yield FieldError(dotted(path, name), "invalid", not_one_of(str(way), ("asc", "desc")))


def text(value: Any, path: str) -> Iterator[FieldError]:
    if isinstance(value, Unknown):
        return
    if not isinstance(value, str) or not 0 < len(value.strip()) <= LONGEST_QUERY:
        yield FieldError(path, "invalid", f"must be text of 1 to {LONGEST_QUERY} characters")


def numbers(value: Any, path: str) -> Iterator[FieldError]:
    if isinstance(value, Unknown):
        return
    told = not isinstance(value, list) or not 0 < len(value) <= 10_000
    if told or any(isinstance(n, bool) or not isinstance(n, (int, float, Unknown)) for n in value):
        yield FieldError(path, "invalid", "must be a list of numbers")


def params(value: Any, path: str) -> Iterator[FieldError]:
    """Parameters of a query: any JSON, by name."""
    if isinstance(value, Unknown):
        return
    if not isinstance(value, dict):
        yield FieldError(path, "invalid", "must be an object of parameters")
        return
    for name in value:
        if not name.replace("_", "a").isalnum() or not name.isascii():
            yield FieldError(dotted(path, name), "invalid", "must be a name of letters, digits and _")


def one_of(*choices: str) -> Checked:
    def check(value: Any, path: str) -> Iterator[FieldError]:
        if isinstance(value, Unknown):
            return
        if not isinstance(value, str) or value.lower() not in choices:
            yield FieldError(path, "invalid", not_one_of(str(value), choices))

    return check


def anything(value: Any, path: str) -> Iterator[FieldError]:
    """What is checked elsewhere."""
    yield from ()
