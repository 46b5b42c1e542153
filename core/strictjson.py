"""JSON as every part of the system can store and send it again: strict, bounded, UTF-8.

What Python's own parser lets through and a database or another service does not take is
refused here: NaN and infinities (also as 1e999), NUL and lone surrogates in strings,
duplicate keys, nesting past a depth. A hostile document costs its length, never the stack.
"""

from __future__ import annotations

import json
import math
from typing import Any

MAX_DEPTH = 64


class NotJSON(ValueError):
    """The text is not JSON of that kind; the message is a sentence for the caller."""


def loads(raw: bytes, *, max_depth: int = MAX_DEPTH) -> Any:
    """The value of a JSON text. Raises NotJSON, for any bytes whatever."""
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError as error:
        raise NotJSON(f"the text is not UTF-8 (byte {error.start})") from None
    try:
        value = _DECODER.decode(text)
    except NotJSON:
        raise
    except json.JSONDecodeError as error:
        raise NotJSON(f"{error.msg} at line {error.lineno}, column {error.colno}") from None
    except RecursionError:
        raise NotJSON(f"nested deeper than {max_depth} levels") from None
    except ValueError:
        raise NotJSON("a number has too many digits") from None
    check_depth(value, max_depth=max_depth)
    if b"\\u" in raw and (b"\\u0000" in raw or b"\\ud" in raw or b"\\uD" in raw):
        check_strings(value)
    return value


def dumps(value: Any) -> bytes:
    """The shortest JSON text of a value. ValueError for NaN and infinities."""
    return _ENCODER.encode(value).encode("utf-8", "surrogatepass")


def check_depth(value: Any, *, max_depth: int = MAX_DEPTH) -> None:
    """Raise NotJSON where lists and objects nest deeper than `max_depth`."""
    level = [value] if isinstance(value, (dict, list)) else []
    for _ in range(max_depth):
        if not level:
            return
        level = [
            child
            for node in level
            for child in (node.values() if node.__class__ is dict else node)
            if child.__class__ is dict or child.__class__ is list
        ]
    if level:
        raise NotJSON(f"nested deeper than {max_depth} levels")


def check_strings(value: Any) -> None:
    """Raise NotJSON where a string or key holds a NUL or half of a surrogate pair."""
    pending = [value]
    while pending:
        node = pending.pop()
        if node.__class__ is str:
            if "\x00" in node:
                raise NotJSON("a string holds a NUL character (\\u0000)")
            try:
                node.encode("utf-8")
            except UnicodeEncodeError:
                raise NotJSON("a string holds half of a surrogate pair (\\ud800–\\udfff)") from None
        elif node.__class__ is dict:
            pending.extend(node)
            pending.extend(node.values())
        elif node.__class__ is list:
            pending.extend(node)


def _constant(name: str) -> Any:
    raise NotJSON(f"{name} is not a JSON number")


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise NotJSON(f"the number {text[:40]} is too large")
    return value


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        seen: set[str] = set()
        twice = next(name for name, _ in pairs if name in seen or seen.add(name))  # type: ignore[func-returns-value]  # add() returns None: falsy
        raise NotJSON(f"the key {twice[:100]!r} appears twice in one object")
    return members


_DECODER = json.JSONDecoder(parse_constant=_constant, parse_float=_finite, object_pairs_hook=_once)
_ENCODER = json.JSONEncoder(separators=(",", ":"), ensure_ascii=False, allow_nan=False)
