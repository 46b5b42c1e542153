"""`{{name}}` in the texts of what a catalog has saved: which there are, and what they become. Pure.

A text that is one placeholder becomes the value given for it, of whatever type; within a longer text it becomes text.
Only the template is looked into: what is given is never a placeholder. Where a value is looked for, and how it is
written within a text, a kind says itself.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

from core import strictjson
from executors.expressions import Unknown, plain

PLACEHOLDER: Final = re.compile(r"\{\{\s*([A-Za-z_][A-Za-z0-9_.\-]{0,119})\s*\}\}")
MISSING: Final = object()  # a placeholder without a value, which stays as it is written

ValueOf = Callable[[str], Any]  # of a name; an `Unknown` makes its whole text unknown
Written = Callable[[str, Any], str]  # name and value


def names_in(template: Any) -> Iterator[str]:
    """The placeholders in the values of a template, as often as they stand there."""
    if isinstance(template, str):
        yield from PLACEHOLDER.findall(template)
    elif isinstance(template, Mapping):
        for member in template.values():
            yield from names_in(member)
    elif isinstance(template, list):
        for member in template:
            yield from names_in(member)


def as_text(value: Any) -> str:
    """A JSON value within a text: nothing for null, JSON for an object or a list."""
    if value is None:
        return ""
    return plain(value) if isinstance(value, (str, int, float)) else strictjson.dumps(value).decode()


def filled(template: Any, value_of: ValueOf, *, written: Written = lambda _, value: as_text(value)) -> Any:
    """The template with each placeholder replaced. Raises what `value_of` and `written` raise."""
    if isinstance(template, str):
        return _filled(template, value_of, written)
    if isinstance(template, Mapping):
        return {name: filled(member, value_of, written=written) for name, member in template.items()}
    if isinstance(template, list):
        return [filled(member, value_of, written=written) for member in template]
    return template


def within(text: str, value_of: ValueOf, written: Written, *, pattern: re.Pattern[str] = PLACEHOLDER) -> str:
    """A text with each placeholder replaced by a text."""

    def become(match: re.Match[str]) -> str:
        value = value_of(match[1])
        return match[0] if value is MISSING else written(match[1], value)

    return pattern.sub(become, text)


def _filled(text: str, value_of: ValueOf, written: Written) -> Any:
    names = PLACEHOLDER.findall(text) if "{{" in text else []
    if not names:
        return text
    if isinstance(text, Unknown) or any(isinstance(value_of(name), Unknown) for name in names):
        return Unknown(text)
    if PLACEHOLDER.fullmatch(text):
        value = value_of(names[0])
        return text if value is MISSING else value
    return within(text, value_of, written)
