"""`{{name}}` in the values of a saved event: which there are, and what they become. Pure.

A text that is one placeholder becomes the value that was given, of whatever type; within a longer text it becomes a
text. What was given is not looked into.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from executors.expressions import Unknown, plain

_PLACEHOLDER = re.compile(r"\{\{\s*([A-Za-z_][A-Za-z0-9_.\-]{0,99})\s*\}\}")


class NotText(Exception):
    """An object or a list was given for a placeholder that is a part of a text."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.name = name


def placeholders(template: Any) -> list[str]:
    """The names that a template asks for, each once."""
    found: dict[str, None] = {}

    def note(text: str) -> str:
        found.update(dict.fromkeys(_PLACEHOLDER.findall(text)))
        return text

    _each_text(template, note)
    return list(found)


def as_unknown(template: Any) -> Any:
    """The template with what has a placeholder `Unknown`: it may become anything."""
    return _each_text(template, lambda text: Unknown(text) if _PLACEHOLDER.search(text) else text)


def filled(template: Any, given: Mapping[str, Any]) -> Any:
    """The template with each placeholder replaced. Raises KeyError for one that is not given, and NotText."""
    return _each_text(template, lambda text: _filled(text, given))


def _filled(text: str, given: Mapping[str, Any]) -> Any:
    whole = _PLACEHOLDER.fullmatch(text)
    if whole is not None:
        return given[whole[1]]
    unknown = False

    def become(match: re.Match[str]) -> str:
        nonlocal unknown
        value = given[match[1]]
        if value is None or isinstance(value, (dict, list)):
            raise NotText(match[1])
        unknown = unknown or isinstance(value, Unknown)
        return plain(value)

    become_text = _PLACEHOLDER.sub(become, text)
    return Unknown(become_text) if unknown else become_text


def _each_text(value: Any, become: Callable[[str], Any]) -> Any:
    if isinstance(value, str):
        return become(value)
    if isinstance(value, dict):
        return {name: _each_text(member, become) for name, member in value.items()}
    if isinstance(value, list):
        return [_each_text(member, become) for member in value]
    return value
