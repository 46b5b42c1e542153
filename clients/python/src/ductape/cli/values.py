"""What people type, as the client takes it: times, durations, labels, JSON. Each raises InvalidArgument."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from ductape.errors import InvalidArgument

_UNITS = {"ms": 1, "s": 1_000, "m": 60_000, "h": 3_600_000, "d": 86_400_000, "w": 604_800_000}  # ms
_PART = re.compile(r"(\d+)(ms|[smhdw])")


def duration(option: str, text: str) -> int:
    """ms of `90s`, `1h30m`, `2d`, `1w`; a bare number is ms."""
    if text.isascii() and text.isdigit():
        return int(text)
    if not text or _PART.sub("", text):
        raise InvalidArgument(option, f"{text!r} is not a duration: write 500ms, 90s, 15m, 1h30m, 2d or 1w")
    return sum(int(number) * _UNITS[unit] for number, unit in _PART.findall(text))


def moment(option: str, text: str, *, now: datetime | None = None) -> datetime | str:
    """`now`, `+1h` (from now on), `-30d` (before now), ms since 1970, or ISO 8601, which goes on as it is."""
    now = now or datetime.now(UTC)
    if text == "now":
        return now
    if text[:1] in {"+", "-"}:
        by = duration(option, text[1:])
        try:
            return now + timedelta(milliseconds=by if text[0] == "+" else -by)
        except OverflowError:
            raise InvalidArgument(option, f"{text!r} is further away than any calendar goes") from None
    if text.isascii() and text.isdigit():
        try:
            return datetime.fromtimestamp(0, UTC) + timedelta(milliseconds=int(text))
        except OverflowError:
            raise InvalidArgument(option, f"{text!r} is further away than any calendar goes") from None
    try:
        datetime.fromisoformat(text)
    except ValueError:
        raise InvalidArgument(
            option, f"{text!r} is not a time: write 2027-01-31T09:00:00Z, +1h, -30d, now, or ms since 1970"
        ) from None
    return text


def labels(option: str, texts: Iterable[str]) -> dict[str, str]:
    """Of `team:growth` or `team=growth`, several."""
    found: dict[str, str] = {}
    for text in texts:
        key, mark, value = text.partition("=" if ":" not in text else ":")
        if not mark or not key:
            raise InvalidArgument(option, f"{text!r} is not key:value")
        found[key] = value
    return found


def several(texts: Iterable[str]) -> list[str] | None:
    """`--status failed,cancelled --status paused` are three; None where none was given."""
    found = [word.strip() for text in texts for word in text.split(",") if word.strip()]
    return found or None


def read_text(option: str, source: str) -> str:
    """A file's text; `-` is standard input."""
    try:
        return sys.stdin.read() if source == "-" else Path(source).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidArgument(option, f"{source!r} cannot be read: {error}") from error


def json_object(option: str, text: str) -> dict[str, Any]:
    """An object written as JSON; `@file` reads it from there, `-` or `@-` from standard input."""
    if text == "-" or text.startswith("@"):
        text = read_text(option, text.removeprefix("@"))
    try:
        found = json.loads(text)
    except ValueError as error:
        raise InvalidArgument(option, f"is not JSON ({error}): write '{{\"key\": 1}}', @file.json or -") from None
    if not isinstance(found, dict):
        raise InvalidArgument(option, 'must be a JSON object, as {"key": 1}')
    return found


def session(option: str, text: str) -> dict[str, str]:
    """`tag:token`; the token's own text may have further colons."""
    tag, mark, token = text.partition(":")
    if not mark or not tag or not token:
        raise InvalidArgument(option, "must be tag:token")
    return {"tag": tag, "token": token}
