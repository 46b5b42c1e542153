"""Fields of a document from outside: which are known, and which known one was probably meant.

Owns the texts about unknown and missing fields. Never decides what a field's value means.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from difflib import get_close_matches
from typing import Any

from django.http import QueryDict

from core.errors import FieldError, Invalid

MOST_NAMED = 20  # unknown fields told in one answer; a body of a million typos is not echoed
LONGEST_NAME = 100  # characters of an unknown field's name that are echoed


def dotted(prefix: str, name: object) -> str:
    """`schedule` and `every` → `schedule.every`; an empty prefix adds nothing."""
    return f"{prefix}.{name}" if prefix else str(name)


def nearest(name: str, known: Collection[str], *, alike: float = 0.6) -> str | None:
    """The known name that `name` is probably a misspelling of, or None. `alike` in (0, 1]: how near it must be."""
    lowered = {candidate.lower().replace("_", ""): candidate for candidate in known}
    matches = get_close_matches(name.lower().replace("_", "")[:LONGEST_NAME], lowered, n=1, cutoff=alike)
    return str(lowered[matches[0]]) if matches else None  # of an enumeration: the word alone


def suggestion(name: str, known: Collection[str]) -> str:
    """A sentence about the name that was probably meant, else about all that are known."""
    meant = nearest(name, known)
    if meant is not None:
        return f"did you mean {meant!r}?"
    return "known: " + ", ".join(sorted(known)) if known else "there are none here"


def not_one_of(given: str, choices: Collection[str]) -> str:
    """A sentence about a word that is none of a few: these, and the one that was probably meant."""
    meant = nearest(given, choices)
    told = f"{given[:60]!r} is not one of {', '.join(choices)}"
    return told if meant is None else f"{told}: did you mean {meant!r}?"


def unknown_fields(data: Mapping[str, Any], known: Collection[str], prefix: str = "") -> list[FieldError]:
    """One `unknown_field` for each key of `data` that is not in `known` (at most 20)."""
    if data.keys() <= (known if isinstance(known, (set, frozenset)) else set(known)):
        return []
    unknown = [str(name) for name in data if name not in known][:MOST_NAMED]
    return [
        FieldError(
            dotted(prefix, name[:LONGEST_NAME]), "unknown_field", f"there is no such field: {suggestion(name, known)}"
        )
        for name in unknown
    ]


def reject_unknown(data: Mapping[str, Any], known: Collection[str], prefix: str = "") -> None:
    """Raise Invalid (code `unknown_field`) naming every key that is not known, with the nearest known one."""
    errors = unknown_fields(data, known, prefix)
    if errors:
        raise Invalid.fields(errors)


GIVEN_TWICE = "is given more than once: say which one is meant"


def parameters(given: QueryDict, known: Collection[str]) -> dict[str, str]:
    """The parameters of a query. Raises Invalid where one is not known, or given more than once."""
    reject_unknown(given, known)
    repeated = [FieldError(name, "duplicate", GIVEN_TWICE) for name, values in given.lists() if len(values) > 1]
    if repeated:
        raise Invalid.fields(repeated)
    return {name: str(value) for name, value in given.items()}
