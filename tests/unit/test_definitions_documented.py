"""docs/definitions.md names the types and the fields that the code has."""

from __future__ import annotations

import re
from pathlib import Path

from jobs.operations import definitions, scheduling
from jobs.operations.event_types import EVENT_TYPES

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "definitions.md").read_text()
ROWS = [[cell.strip() for cell in line.strip("|").split("|")] for line in PAGE.splitlines() if line.startswith("| `")]


def words(cell: str) -> tuple[str, ...]:
    return tuple(re.findall(r"`([^`]+)`", cell))


def test_the_types_of_event_are_told_with_their_aliases_and_namespaces() -> None:
    told = {words(row[0])[0]: (words(row[1]), row[2].strip("`")) for row in ROWS if words(row[0])[0].isupper()}
    assert told == {each.name: (each.aliases, each.namespace) for each in EVENT_TYPES.values()}


def test_every_field_of_the_older_calls_is_told() -> None:
    told = {name for row in ROWS for name in words(row[0])}
    assert told >= scheduling.FIELDS
    assert set(definitions.FIELDS) - {"name", "tag"} <= told
    assert {f"`{alias}` is another name" in PAGE for alias in definitions.ALIASES} == {True}
