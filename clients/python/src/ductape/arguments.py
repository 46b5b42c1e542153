"""Arguments as the API wants them, checked before anything is sent. Pure.

Each function takes the name that the caller wrote and what was given, and raises InvalidArgument with that name.
Times are `datetime` (aware), ms since 1970 or ISO 8601; durations are ms or `timedelta`.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Collection, Iterable, Mapping
from datetime import UTC, datetime, timedelta
from difflib import get_close_matches
from typing import Any, TypeVar
from urllib.parse import quote

from ductape.errors import InvalidArgument

Time = datetime | int | str
Duration = timedelta | int
Check = Callable[[str, Any], Any]
N = TypeVar("N", int, float)

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND = timedelta(milliseconds=1)
LAST_MOMENT = 253_402_300_799_999  # ms: the end of the year 9999


def text(name: str, value: Any, *, longest: int | None = None) -> str:
    """Any text but an empty one."""
    if not isinstance(value, str):
        raise InvalidArgument(name, f"must be a str, not {_kind(value)}")
    if not value.strip():
        raise InvalidArgument(name, "must not be empty")
    if longest is not None and len(value) > longest:
        raise InvalidArgument(name, f"is {len(value)} characters long, at most {longest} are allowed")
    if "\0" in value:
        raise InvalidArgument(name, "must not have a NUL in it")
    return value


def short(longest: int) -> Check:
    return lambda name, value: text(name, value, longest=longest)


def note(name: str, value: Any) -> str:
    """A text that may be empty."""
    return "" if value == "" else text(name, value)


def whole(low: int, high: int | None = None) -> Check:
    """A whole number in these bounds."""

    def check(name: str, value: Any) -> int:
        if isinstance(value, bool) or not isinstance(value, int):
            raise InvalidArgument(name, f"must be an int, not {_kind(value)}")
        return _bounded(name, value, low, high)

    return check


def number(low: float, high: float) -> Check:
    def check(name: str, value: Any) -> float:
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
            raise InvalidArgument(name, f"must be a number, not {_kind(value)}")
        return _bounded(name, value, low, high)

    return check


def milliseconds(low: int, high: int | None = None) -> Check:
    """A duration: a whole number of ms, or a timedelta."""

    def check(name: str, value: Any) -> int:
        if isinstance(value, timedelta):
            return _bounded(name, value // _MILLISECOND, low, high)
        if isinstance(value, bool) or not isinstance(value, int):
            raise InvalidArgument(name, f"must be milliseconds (int) or a timedelta, not {_kind(value)}")
        return _bounded(name, value, low, high)

    return check


def moment(name: str, value: Any) -> int | str:
    """A time: ms since 1970; a text goes on as it is, since without an offset it is of the schedule's zone."""
    if isinstance(value, datetime):
        if value.tzinfo is None:
            raise InvalidArgument(name, "is a datetime without a time zone: give it one, as datetime.now(UTC) has")
        return _bounded(name, (value - _EPOCH) // _MILLISECOND, 0, LAST_MOMENT)
    if isinstance(value, str):
        try:
            datetime.fromisoformat(value)
        except ValueError:
            raise InvalidArgument(name, f"{value!r} is not an ISO 8601 date and time") from None
        return value
    if isinstance(value, bool) or not isinstance(value, int):
        raise InvalidArgument(
            name, f"must be a datetime, milliseconds since 1970 (int) or ISO 8601, not {_kind(value)}"
        )
    return _bounded(name, value, 0, LAST_MOMENT)


def flag(name: str, value: Any) -> bool:
    if not isinstance(value, bool):
        raise InvalidArgument(name, f"must be True or False, not {_kind(value)}")
    return value


def choice(*allowed: str) -> Check:
    def check(name: str, value: Any) -> str:
        if value not in allowed:
            raise InvalidArgument(name, f"must be one of {', '.join(map(repr, allowed))}, not {value!r}")
        return str(value)

    return check


def mapping(name: str, value: Any) -> dict[str, Any]:
    if not isinstance(value, Mapping):
        raise InvalidArgument(name, f"must be a mapping, not {_kind(value)}")
    for key in value:
        if not isinstance(key, str):
            raise InvalidArgument(name, f"has the key {key!r}, and keys must be str")
    return dict(value)


def texts(name: str, value: Any, each: Check = text) -> list[str]:
    """One text or several; at least one."""
    if isinstance(value, str):
        return [each(name, value)]
    if not isinstance(value, Iterable) or isinstance(value, (bytes, Mapping)):
        raise InvalidArgument(name, f"must be a str or several of them, not {_kind(value)}")
    found = [each(name, one) for one in value]
    if not found:
        raise InvalidArgument(name, "must name at least one")
    return found


def several(each: Check) -> Check:
    return lambda name, value: texts(name, value, each)


def labels(name: str, value: Any) -> list[str]:
    """A filter of labels: `{"team": "growth"}`, `"team:growth"`, or several of these."""
    if isinstance(value, Mapping):
        value = [f"{key}:{one}" for key, one in mapping(name, value).items()]
    found = texts(name, value)
    for each in found:
        if ":" not in each:
            raise InvalidArgument(name, f"{each!r} is not `key:value`")
    return found


def given(checks: Mapping[str, Check], values: Mapping[str, Any], *, within: str = "") -> dict[str, Any]:
    """What was given, checked and by the API's names; None is the same as left out. Unknown names are refused."""
    found: dict[str, Any] = {}
    for key, value in values.items():
        check = checks.get(key)
        if check is None:
            raise unknown(f"{within}{key}", key, checks)
        if value is not None:
            found[key] = check(f"{within}{key}", value)
    return found


def unknown(name: str, key: str, known: Collection[str]) -> InvalidArgument:
    near = get_close_matches(str(key), known, n=1)
    return InvalidArgument(name, f"does not exist{f': did you mean {near[0]!r}?' if near else ''}")


def path(*parts: tuple[str, Any] | str) -> str:
    """A path below /v1: fixed words, and named parts, which are checked and encoded."""
    words = [part if isinstance(part, str) else quote(text(*part), safe="") for part in parts]
    for part, word in zip(parts, words, strict=True):
        if word in (".", ".."):
            raise InvalidArgument(part[0], f"must not be {word!r}")
    return "/v1/" + "/".join(words)


def encoded(body: Mapping[str, Any]) -> bytes:
    """A body as JSON. Raises InvalidArgument that names the field which has no JSON."""
    try:
        return _json(body)
    except (TypeError, ValueError, RecursionError, UnicodeEncodeError):
        for key, value in body.items():
            try:
                _json(value)
            except (TypeError, ValueError, RecursionError, UnicodeEncodeError) as error:
                raise InvalidArgument(key, f"cannot be written as JSON: {error}") from error
        raise


def _json(value: Any) -> bytes:
    return json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode()


def _bounded(name: str, value: N, low: float, high: float | None) -> N:
    if value < low or (high is not None and value > high):
        most = f" and at most {high}" if high is not None else ""
        raise InvalidArgument(name, f"must be at least {low}{most}, not {value}")
    return value


def _kind(value: Any) -> str:
    return "None" if value is None else type(value).__name__
