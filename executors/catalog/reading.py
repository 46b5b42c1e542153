"""Reading one object of a document, field by field: types, limits, and every problem at once.

Owns how a wrong field is told. Never knows what the fields mean.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping
from typing import Any

from core.errors import FieldError, Invalid
from core.fields import dotted, not_one_of, unknown_fields

MOST_PROBLEMS = 50
LONGEST_TAG = 120  # of keys, too
LONGEST_SLUG = 60
TAG = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.\-]{0,119}")
SLUG = re.compile(r"[A-Za-z0-9][A-Za-z0-9_\-]{0,59}")

_TYPE_NAMES = {dict: "an object", list: "a list", str: "text", int: "a whole number", bool: "true or false"}


class Problems:
    """What is wrong with a document so far."""

    def __init__(self) -> None:
        self.errors: list[FieldError] = []

    def add(self, field: str, detail: str, code: str = "invalid") -> None:
        if len(self.errors) < MOST_PROBLEMS:
            self.errors.append(FieldError(field, code, detail))

    def raise_if_any(self) -> None:
        """Raise Invalid with all of them."""
        if self.errors:
            first = self.errors[0]
            more = f" (and {len(self.errors) - 1} more)" if len(self.errors) > 1 else ""
            raise Invalid(f"{first.field}: {first.detail}{more}", errors=self.errors)


class Reader:
    """One object at `path`. A missing or wrong field reads as None, and is noted in `problems`."""

    def __init__(self, data: Any, path: str, problems: Problems, known: Collection[str]) -> None:
        self.path = path
        self.problems = problems
        self.data: Mapping[str, Any] = {}
        if not isinstance(data, dict):
            problems.add(path, f"must be an object, with: {', '.join(sorted(known))}")
            return
        self.data = data
        for error in unknown_fields(data, known, path):
            problems.add(error.field, error.detail, error.code)

    def at(self, name: object) -> str:
        return dotted(self.path, name)

    def problem(self, name: object, detail: str, code: str = "invalid") -> None:
        self.problems.add(self.at(name), detail, code)

    def value(self, name: str, kind: type, *aliases: str) -> Any:
        """The field, or the first alias that is given, if it is of that type; null is as if left out."""
        for spelling in (name, *aliases):
            value = self.data.get(spelling)
            if value is None:
                continue
            if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
                self.problem(spelling, f"must be {_TYPE_NAMES[kind]}")
                return None
            return value
        return None

    def text(self, name: str, *aliases: str, limit: int = 200) -> str | None:
        text: str | None = self.value(name, str, *aliases)
        if text is not None and len(text) > limit:
            self.problem(name, f"must not be longer than {limit} characters")
            return None
        return text

    def named(self, name: str, pattern: re.Pattern[str] = TAG) -> str | None:
        """A required tag, slug or key."""
        text: str | None = self.value(name, str)
        if text is None:
            if self.data.get(name) is None:
                self.problem(name, "is required", "required")
        elif len(text) > (longest := LONGEST_SLUG if pattern is SLUG else LONGEST_TAG):
            self.problem(name, f"has {len(text)} characters, at most {longest} are accepted")
            return None
        elif not pattern.fullmatch(text):
            self.problem(name, f"{text[:60]!r} must be letters, digits, - and _ and begin with a letter or digit")
            return None
        return text

    def number(self, name: str, *, low: int, high: int) -> int | None:
        number: int | None = self.value(name, int)
        if number is not None and not low <= number <= high:
            self.problem(name, f"must be between {low} and {high}")
            return None
        return number

    def choice(self, name: str, choices: Collection[str], *, fold: Callable[[str], str] = str) -> str | None:
        text: str | None = self.value(name, str)
        if text is None:
            return None
        if fold(text) not in choices:
            self.problem(name, not_one_of(text, sorted(choices)))
            return None
        return fold(text)

    def items(self, name: str, *aliases: str) -> list[tuple[str, Any]]:
        """The members of a list with their paths."""
        for spelling in (name, *aliases):
            if self.data.get(spelling) is not None:
                members = self.value(spelling, list) or []
                return [(dotted(self.at(spelling), position), member) for position, member in enumerate(members)]
        return []

    def by_slug(self, name: str) -> list[tuple[str, str, Any]]:
        """`{slug: entry}`, or a list of entries that hold their `slug`: (slug, path, entry without it)."""
        given = self.data.get(name)
        if given is None:
            return []
        if isinstance(given, dict):
            pairs = [(slug, dotted(self.at(name), slug), entry) for slug, entry in given.items()]
        elif isinstance(given, list):
            pairs = []
            for position, entry in enumerate(given):
                path = dotted(self.at(name), position)
                if not isinstance(entry, dict) or not isinstance(entry.get("slug"), str):
                    self.problems.add(path, "must be an object with a slug")
                    continue
                rest = {key: value for key, value in entry.items() if key != "slug"}
                pairs.append((entry["slug"], path, rest))
        else:
            self.problem(name, "must be an object of environments by slug, or a list of objects with a slug")
            return []
        seen: set[str] = set()
        for slug, path, _ in pairs:
            if slug in seen:
                self.problems.add(path, f"the environment {slug!r} is named twice", "duplicate")
            seen.add(slug)
        return pairs


def unqualified(event: Any, component: str | None) -> Any:
    """An event as it was written, with the tag that it has in its component: `orders:all` is the `all` of `orders`."""
    if not isinstance(event, dict) or not isinstance(event.get("tag"), str):
        return event
    return {**event, "tag": event["tag"].removeprefix(f"{component}:")}


def is_set_marker(value: Any) -> bool:
    """`{"set": true}`: how an export shows a secret, and how a document says to keep the stored one."""
    return isinstance(value, dict) and value == {"set": True}
