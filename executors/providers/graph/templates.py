"""Saved actions: a template with `{{placeholders}}` becomes the options of an operation.

A text that is one placeholder becomes the value itself, of whatever type; within a longer text it is written out.
Only the template is looked into: what a value holds is never a placeholder.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from executors.expressions import Unknown, plain

PLACEHOLDER = re.compile(r"\{\{\s*([A-Za-z_][A-Za-z0-9_.\-]{0,119})\s*\}\}")


def names_in(template: Any) -> Iterator[str]:
    """The placeholders of a template, as often as they stand there."""
    if isinstance(template, str):
        yield from PLACEHOLDER.findall(template)
    elif isinstance(template, Mapping):
        for member in template.values():
            yield from names_in(member)
    elif isinstance(template, list):
        for member in template:
            yield from names_in(member)


def filled(template: Any, values: Mapping[str, Any]) -> Any:
    """The template with each placeholder replaced. A value that is not known yet makes its text Unknown; so does one
    that is missing, which is told elsewhere."""
    if isinstance(template, str):
        return _text(template, values)
    if isinstance(template, Mapping):
        return {name: filled(member, values) for name, member in template.items()}
    if isinstance(template, list):
        return [filled(member, values) for member in template]
    return template


def _text(text: str, values: Mapping[str, Any]) -> Any:
    names = PLACEHOLDER.findall(text)
    if not names:
        return text
    if any(name not in values or isinstance(values[name], Unknown) for name in names):
        return Unknown(text)
    if PLACEHOLDER.fullmatch(text):
        return values[names[0]]
    return PLACEHOLDER.sub(lambda found: _written(values[found.group(1)]), text)


def _written(value: Any) -> str:
    if value is None:
        return ""
    return plain(value) if isinstance(value, (str, int, float, bool)) else str(value)
