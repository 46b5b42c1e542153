"""The names that go into Cypher as they are: labels, types of relationships, properties, indexes.

Cypher takes no parameters for them, so each is checked against one pattern, and quoted. Everything else
that comes from outside is a parameter.
"""

from __future__ import annotations

import re

NAME = re.compile(r"[^\W\d][\w .\-]{0,127}")  # no quote, no colon, no backslash (Cypher reads \u0060 as a quote)


def wrong_name(name: str) -> str | None:
    """Why a name cannot be used, or None."""
    if NAME.fullmatch(name):
        return None
    return f"{name[:60]!r} is not a name: a letter or _, then letters, digits, spaces and _ - . (at most 128)"


def quoted(name: str) -> str:
    """The name as Cypher reads it. Raises ValueError for one that was not checked."""
    if (wrong := wrong_name(name)) is not None:
        raise ValueError(wrong)
    return f"`{name}`"
