"""References and functions in values: which are understood where, and what they stand for.

Here: `$Secret{KEY}` in the values of the catalog. Everything else that begins like an
expression (`$Now()`, `$Session{…}`) is told apart from plain text, so that it can be refused
instead of being sent as it was written. Pure: never queries, never evaluates code.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any

from core.errors import FieldError, Invalid
from core.fields import dotted

SECRET_KEY = re.compile(r"[A-Za-z_][A-Za-z0-9_.\-]{0,119}")

_ANY = re.compile(r"\$[A-Z][A-Za-z0-9]*[({]")
_SECRET = re.compile(r"\$Secret\{([^{}]*)\}")
_MOST_TOLD = 20


def find_expressions(value: Any, path: str = "") -> Iterator[tuple[str, str]]:
    """Where (dotted path) and how (`$Now(`) expressions begin in a JSON value, keys included."""
    pending = [(path, value)]
    while pending:
        at, node = pending.pop()
        if isinstance(node, str):
            if "$" in node and (match := _ANY.search(node)):
                yield at, match.group()
        elif isinstance(node, dict):
            for name, child in node.items():
                if "$" in name and (match := _ANY.search(name)):
                    yield dotted(at, name), match.group()
                if child.__class__ is not int:
                    pending.append((dotted(at, name), child))
        elif isinstance(node, list):
            pending.extend((dotted(at, position), child) for position, child in enumerate(node))


def refuse_expressions(value: Any, path: str) -> None:
    """Raise Invalid (`expression_unsupported`) naming each expression: it must not be sent as plain text."""
    errors = []
    for at, begin in find_expressions(value, path):
        close = "…)" if begin.endswith("(") else "…}"
        errors.append(
            FieldError(at, "expression_unsupported", f"{begin}{close} is not supported in an input yet: give the value")
        )
        if len(errors) == _MOST_TOLD:
            break
    if errors:
        raise Invalid(f"{errors[0].field}: {errors[0].detail}", code="expression_unsupported", errors=errors)


def secret_keys(text: str) -> list[str]:
    """The keys that a text refers to, in order. Raises ValueError where the text holds another expression."""
    rest = _SECRET.sub("", text)
    if match := _ANY.search(rest):
        raise ValueError(f"{match.group()}…: only $Secret{{KEY}} is understood here")
    keys = _SECRET.findall(text)
    for key in keys:
        if not SECRET_KEY.fullmatch(key):
            raise ValueError(f"{key[:60]!r} is not the key of a secret: letters, digits, _ . - and no digit first")
    return keys


def is_only_a_secret(text: str) -> bool:
    """Whether a text is one reference and nothing else: then there is nothing to hide in it."""
    return _SECRET.fullmatch(text) is not None


def open_secrets(text: str, secret: Callable[[str], str]) -> str:
    """The text with each `$Secret{KEY}` replaced by `secret(KEY)`, once: values are not looked into."""
    return _SECRET.sub(lambda match: secret(match.group(1)), text) if "$Secret{" in text else text
