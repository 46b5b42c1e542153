"""The fields of an object in a catalog document, declared: what each may be, and which are secret.

A shape is a mapping of names to fields. Reading one checks every field, tells all that is wrong at
once, and tells apart what is shown again (`settings`) from what never is (`secrets`). Pure.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from core.fields import dotted, not_one_of
from executors.catalog.entries import Keep, Secrets
from executors.catalog.reading import Problems, Reader, is_set_marker
from executors.expressions import ExpressionError, is_only_a_reference, plain, references_in

LONGEST_TEXT = 10_000


@dataclass(frozen=True, kw_only=True)
class Field:
    """What every field may say. `aliases` are other spellings, which are stored as the first."""

    required: bool = False
    aliases: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Text(Field):
    """A text, which may hold references such as $Secret{KEY} unless it is a word of `choices`.

    `secret`: it is stored encrypted and never shown; a bare reference hides nothing, and is shown.
    `check` says what is wrong with a text that holds no reference, or None.
    """

    secret: bool = False
    choices: tuple[str, ...] = ()
    fold: Callable[[str], str] = str
    limit: int = LONGEST_TEXT
    pattern: re.Pattern[str] | None = None
    check: Callable[[str], str | None] | None = None


@dataclass(frozen=True, kw_only=True)
class Whole(Field):
    """A whole number; one that is written as text is read as well (a port often is)."""

    low: int
    high: int


@dataclass(frozen=True, kw_only=True)
class Flag(Field):
    """true or false."""


@dataclass(frozen=True, kw_only=True)
class Texts(Field):
    """A list of texts; a single text is a list of one."""

    pattern: re.Pattern[str] | None = None
    least: int = 1
    most: int = 1000


@dataclass(frozen=True, kw_only=True)
class Pairs(Field):
    """{name: text, number or true/false}, stored as texts: headers, query parameters."""


@dataclass(frozen=True, kw_only=True)
class Anything(Field):
    """Any JSON of these types: a template, a sample."""

    types: tuple[type, ...] = (dict, list, str, int, float, bool)
    told: str = "a value"


@dataclass(frozen=True, kw_only=True)
class Inner(Field):
    """An object with a shape of its own."""

    shape: Mapping[str, Field]


@dataclass(frozen=True, kw_only=True)
class Items(Field):
    """A list of objects of one shape."""

    shape: Mapping[str, Field]


Shape = Mapping[str, Field]


@dataclass(slots=True)
class Given:
    """What was read."""

    settings: dict[str, Any] = field(default_factory=dict)
    secrets: dict[str, str | Keep] = field(default_factory=dict)


def read(shape: Shape, data: Any, path: str, problems: Problems, *, also: Sequence[str] = ()) -> Given:
    """The object at `path` by its shape; fields named in `also` are somebody else's to read."""
    known = [name for spelling, each in shape.items() for name in (spelling, *each.aliases)]
    return read_from(shape, Reader(data, path, problems, {*known, *also}))


def read_from(shape: Shape, reader: Reader) -> Given:
    """The same, of an object whose unknown fields have been told."""
    given = Given()
    for name, each in shape.items():
        spelling, value = next(
            ((word, reader.data[word]) for word in (name, *each.aliases) if reader.data.get(word) is not None),
            (name, None),
        )
        if value is None:
            if each.required and reader.data is not None:
                reader.problem(name, "is required", "required")
            continue
        _read(each, name, value, reader, spelling, given)
    return given


def _read(each: Field, name: str, value: Any, reader: Reader, spelling: str, given: Given) -> None:
    match each:
        case Text():
            _read_text(each, name, value, reader, spelling, given)
        case Whole():
            number = int(value) if isinstance(value, str) and value.isdecimal() and len(value) < 19 else value
            if type(number) is not int or not each.low <= number <= each.high:
                reader.problem(spelling, f"must be a whole number between {each.low} and {each.high}")
            else:
                given.settings[name] = number
        case Flag():
            if not isinstance(value, bool):
                reader.problem(spelling, "must be true or false")
            else:
                given.settings[name] = value
        case Texts():
            given.settings[name] = _texts(each, value, reader, spelling)
        case Pairs():
            given.settings[name] = _pairs(value, reader, spelling)
        case Inner():
            inner = read(each.shape, value, reader.at(spelling), reader.problems)
            given.settings[name] = inner.settings
            given.secrets |= {f"{name}.{path}": secret for path, secret in inner.secrets.items()}
        case Items():
            given.settings[name] = _items(each, value, reader, spelling)
        case Anything():
            if not isinstance(value, each.types):
                reader.problem(spelling, f"must be {each.told}")
            else:
                given.settings[name] = value


def _read_text(each: Text, name: str, value: Any, reader: Reader, spelling: str, given: Given) -> None:
    if each.secret and is_set_marker(value):
        given.secrets[name] = Keep.KEEP
        return
    if not isinstance(value, str):
        reader.problem(spelling, "must be text")
        return
    if each.choices:
        if each.fold(value) not in each.choices:
            reader.problem(spelling, not_one_of(value, sorted(each.choices)))
        else:
            given.settings[name] = each.fold(value)
        return
    wrong = _wrong_text(each, value)
    if wrong is not None:
        reader.problem(spelling, *wrong)
    elif each.secret and not is_only_a_reference(value):
        given.secrets[name] = value
    else:
        given.settings[name] = value


def _wrong_text(each: Text, value: str) -> tuple[str, str] | None:
    if len(value) > each.limit:
        return f"must not be longer than {each.limit} characters", "invalid"
    if not value and each.required:
        return "must not be empty", "required"
    try:
        refers = bool(references_in(value))
    except ExpressionError as error:
        return str(error), error.code
    if refers:
        return None
    if each.pattern is not None and not each.pattern.fullmatch(value):
        return f"{value[:60]!r} is not such a text: {each.pattern.pattern}", "invalid"
    told = each.check(value) if each.check is not None else None
    return (told, "invalid") if told else None


def _texts(each: Texts, value: Any, reader: Reader, spelling: str) -> list[str]:
    listed = [value] if isinstance(value, str) else value
    if not isinstance(listed, list) or not all(isinstance(text, str) and text for text in listed):
        reader.problem(spelling, "must be a list of texts")
        return []
    if not each.least <= len(listed) <= each.most:
        reader.problem(spelling, f"must name {each.least} to {each.most}")
    for position, text in enumerate(listed):
        if each.pattern is not None and not each.pattern.fullmatch(text):
            reader.problem(dotted(spelling, position), f"{text[:60]!r} is not such a text: {each.pattern.pattern}")
    return listed


def _pairs(value: Any, reader: Reader, spelling: str) -> dict[str, str]:
    if not isinstance(value, dict):
        reader.problem(spelling, "must be an object of texts")
        return {}
    texts: dict[str, str] = {}
    for key, text in value.items():
        at = dotted(spelling, key)
        if isinstance(text, (dict, list)) or text is None:
            reader.problem(at, "must be text, a number or true/false")
            continue
        texts[key] = plain(text)
        try:
            references_in(texts[key])
        except ExpressionError as error:
            reader.problem(at, str(error), error.code)
    return texts


def _items(each: Items, value: Any, reader: Reader, spelling: str) -> list[dict[str, Any]]:
    if not isinstance(value, list):
        reader.problem(spelling, "must be a list of objects")
        return []
    listed = []
    for position, member in enumerate(value):
        inner = read(each.shape, member, reader.at(dotted(spelling, position)), reader.problems)
        if inner.secrets:
            raise TypeError(f"{spelling} is a list: its members cannot have secret fields")
        listed.append(inner.settings)
    return listed


def texts_in(settings: Any) -> list[str]:
    """Every text of a JSON value, in which references may stand."""
    if isinstance(settings, str):
        return [settings]
    if isinstance(settings, Mapping):
        return [text for member in settings.values() for text in texts_in(member)]
    if isinstance(settings, list):
        return [text for member in settings for text in texts_in(member)]
    return []


def opened_texts(settings: Any, opened: Callable[[str], str]) -> Any:
    """The JSON value with each text opened."""
    if isinstance(settings, str):
        return opened(settings) if "$" in settings else settings
    if isinstance(settings, Mapping):
        return {name: opened_texts(member, opened) for name, member in settings.items()}
    if isinstance(settings, list):
        return [opened_texts(member, opened) for member in settings]
    return settings


__all__ = [
    "Anything", "Field", "Flag", "Given", "Inner", "Items", "Pairs", "Secrets", "Shape", "Text", "Texts", "Whole",
    "opened_texts", "read", "read_from", "texts_in",
]  # fmt: skip
