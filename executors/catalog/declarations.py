"""What a product declares besides its components: session configurations and caches.

Owns how each is written in a document and shown again. A declaration has a tag and a few columns: no
connections, no events, nothing secret. Never queries.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from executors.catalog.models import Cache, SessionConfig
from executors.catalog.reading import Problems, Reader

LONGEST_DESCRIPTION = 2000
LONGEST_SESSION_DAYS = 366
LONGEST_CACHED_MS = 366 * 86_400_000
PERIODS: Final = {"seconds": 1, "minutes": 60, "hours": 3600, "days": 86_400}  # in seconds
PERIOD_ALIASES: Final = {"secs": "seconds", "mins": "minutes"}
_SELECTOR = re.compile(r"\$Session((?:\{[A-Za-z0-9_.\-]{1,60}\}){1,5})")
_NAME = re.compile(r"[A-Za-z0-9_.\-]{1,60}")


@dataclass(frozen=True, kw_only=True)
class Declared:
    """A declaration as a document says it. The name is None where it says none."""

    tag: str
    name: str | None
    columns: Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class Declaration:
    """One sort of them."""

    name: str
    plural: str  # as a document and the API's paths say it
    model: type[SessionConfig] | type[Cache]
    read: Callable[[Any, str, Problems], Declared | None]
    columns: tuple[str, ...]  # that are shown

    def shown(self, row: SessionConfig | Cache) -> dict[str, Any]:
        """As a document says it; what is empty is left out."""
        listed = {column: getattr(row, column) for column in ("tag", "name", "description", *self.columns)}
        return {column: value for column, value in listed.items() if value not in ("", {})}


def selector_path(selector: str) -> list[str]:
    """The names in `$Session{a}{b}`; none where it is no selector."""
    found = _SELECTOR.fullmatch(selector)
    return found[1][1:-1].split("}{") if found else []


def _read_session(data: Any, path: str, problems: Problems) -> Declared | None:
    known = {"tag", "name", "description", "selector", "expiry", "period", "schema"}
    reader = Reader(data, path, problems, known)
    if not reader.data:
        return None
    tag = reader.named("tag")
    schema: dict[str, Any] = reader.value("schema", dict) or {}
    selector = _selector(reader, schema)
    expiry, period = _lifetime(reader)
    columns = {"selector": selector, "expiry": expiry, "period": period, "schema": schema}
    return _declared(reader, tag, columns)


def _selector(reader: Reader, schema: Mapping[str, Any]) -> str | None:
    selector = reader.text("selector", limit=300)
    if selector is None:
        if reader.data.get("selector") is None:
            reader.problem("selector", "is required: what in its data says whose it is, `$Session{id}`", "required")
        return None
    names = selector_path(selector)
    if not names:
        meant = f"`$Session{{{selector}}}`" if _NAME.fullmatch(selector) else "`$Session{id}`"
        reader.problem("selector", f"{selector[:60]!r} is no reference: write {meant}")
        return None
    sample: Any = schema
    for name in names if schema else ():
        if not isinstance(sample, Mapping) or name not in sample:
            reader.problem("selector", f"{selector} is not in `schema`, the sample of a session's data")
            break
        sample = sample[name]
    return selector


def _lifetime(reader: Reader) -> tuple[int | None, str | None]:
    for name in ("expiry", "period"):
        if reader.data.get(name) is None:
            reader.problem(name, "is required: how long a session lives, such as expiry 7 and period days", "required")
    expiry = reader.number("expiry", low=1, high=LONGEST_SESSION_DAYS * 86_400)
    period = reader.choice("period", [*PERIODS, *PERIOD_ALIASES], fold=str.lower)
    period = PERIOD_ALIASES.get(period, period) if period is not None else None
    if expiry is not None and period is not None and expiry * PERIODS[period] > LONGEST_SESSION_DAYS * 86_400:
        reader.problem("expiry", f"a session lives at most {LONGEST_SESSION_DAYS} days")
    return expiry, period


def _read_cache(data: Any, path: str, problems: Problems) -> Declared | None:
    reader = Reader(data, path, problems, {"tag", "name", "description", "expiry"})
    if not reader.data:
        return None
    tag = reader.named("tag")
    if reader.data.get("expiry") is None:
        reader.problem("expiry", "is required: for how many milliseconds a result is given again", "required")
    return _declared(reader, tag, {"expiry": reader.number("expiry", low=1, high=LONGEST_CACHED_MS)})


def _declared(reader: Reader, tag: str | None, columns: Mapping[str, Any]) -> Declared | None:
    description = reader.text("description", limit=LONGEST_DESCRIPTION) or ""
    name = reader.text("name")
    return None if tag is None else Declared(tag=tag, name=name, columns={**columns, "description": description})


SESSIONS = Declaration(
    name="session",
    plural="sessions",
    model=SessionConfig,
    read=_read_session,
    columns=("selector", "expiry", "period", "schema"),
)
CACHES = Declaration(name="cache", plural="caches", model=Cache, read=_read_cache, columns=("expiry",))
ALL: Final = (SESSIONS, CACHES)
