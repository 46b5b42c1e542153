"""Values as people read them: times, durations, states, JSON. Every function answers escaped HTML or text."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

from django.utils.html import format_html
from django.utils.safestring import SafeString

from core.zones import UnknownZone, zone

NOTHING = "–"
_UNITS = ((86_400, "d"), (3600, "h"), (60, "min"), (1, "s"))
_NOW_SECONDS = 1  # less than that is "now"
_YEAR_SHOWN_AFTER = timedelta(days=180)
LONGEST_TEXT = 20_000  # characters of a result or an error on a page; the API has all of it


def span(seconds: float) -> str:
    """A length of time in its two largest units: `2 h 5 min`, `1.25 s`, `40 ms`."""
    if seconds < 1:
        return f"{round(seconds * 1000)} ms"
    if seconds < 10 and seconds != int(seconds):
        return f"{seconds:.2f}".rstrip("0").rstrip(".") + " s"
    rest, parts = round(seconds), []
    for size, unit in _UNITS:
        count, rest = divmod(rest, size)
        if count:
            parts.append(f"{count} {unit}")
        elif parts:
            break
        if len(parts) == 2:
            break
    return " ".join(parts)


def span_ms(milliseconds: float | None) -> str:
    return NOTHING if milliseconds is None else span(milliseconds / 1000)


def relative(when: datetime, now: datetime) -> str:
    """`in 2 h 5 min`, `3 min 4 s ago`, `now`."""
    seconds = (when - now).total_seconds()
    if abs(seconds) < _NOW_SECONDS:
        return "now"
    return f"in {span(seconds)}" if seconds > 0 else f"{span(-seconds)} ago"


def clock_time(when: datetime, zone_name: str = "UTC", *, now: datetime | None = None) -> str:
    """The reading of a clock there: `24 Nov 22:00:00 CET`; with the year where it is not about now."""
    try:
        local = when.astimezone(zone(zone_name))
    except (UnknownZone, OverflowError):
        local = when.astimezone(UTC)
    near = now is not None and abs(when - now) < _YEAR_SHOWN_AFTER
    return f"{local.day} {local:%b %H:%M:%S}" + ("" if near else f" {local:%Y}") + f" {local:%Z}"


def moment(when: datetime | None, *, now: datetime, zone_name: str = "UTC") -> SafeString | str:
    """Relative, with the clock's reading in `zone_name` below it; UTC where the pointer rests."""
    if when is None:
        return NOTHING
    return format_html(
        '<time class="moment" datetime="{}" title="{}"><span>{}</span><small>{}</small></time>',
        when.astimezone(UTC).isoformat(timespec="milliseconds"),
        when.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S UTC"),
        relative(when, now),
        clock_time(when, zone_name, now=now),
    )


def badge(word: str, *, title: str = "") -> SafeString | str:
    """A state as a coloured label; the colour is the style sheet's."""
    if not word:
        return NOTHING
    return format_html('<span class="badge badge-{}" title="{}">{}</span>', word, title, word)


def badge_like(state: str, text: str, *, title: str = "") -> SafeString:
    """A label in the colour of a state, with a text of its own."""
    return format_html('<span class="badge badge-{}" title="{}">{}</span>', state, title, text)


def pretty(value: Any, *, longest: int = LONGEST_TEXT) -> str:
    """JSON, indented, cut where it is longer than a page should be."""
    text = json.dumps(value, indent=2, ensure_ascii=False, default=str)
    if len(text) > longest:
        return text[:longest] + f"\n… and {len(text) - longest} more characters: the API has all of them"
    return text
