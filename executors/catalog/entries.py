"""What a catalog document says of one component, ready to be stored. Values only."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any


class Keep(Enum):
    """In place of a secret: leave the stored one as it is."""

    KEEP = "keep"


Secrets = Mapping[str, str | Keep]  # by the dotted path of the field in the settings


@dataclass(frozen=True, kw_only=True)
class ConnectionEntry:
    """How a component is reached in one environment. `settings` is shown again, `secrets` never is."""

    env: str
    settings: Mapping[str, Any]
    secrets: Secrets = field(repr=False)
    path: str


@dataclass(frozen=True, kw_only=True)
class EventEntry:
    """What the documents call an event: an action, a message, a template, a topic."""

    tag: str
    settings: Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class ComponentEntry:
    """An app, a database, a broker …"""

    tag: str
    name: str | None
    settings: Mapping[str, Any]
    secrets: Secrets = field(repr=False)
    connections: tuple[ConnectionEntry, ...]
    events: tuple[EventEntry, ...]
    path: str


def with_values(settings: Mapping[str, Any], values: Mapping[str, Any]) -> dict[str, Any]:
    """The settings with each value at its dotted path (`smtp.auth.pass`): what was told apart, together again."""
    merged = dict(settings)
    for path, value in values.items():
        *groups, name = path.split(".")
        inner = merged
        for group in groups:
            inner[group] = dict(inner.get(group, {}))
            inner = inner[group]
        inner[name] = value
    return merged
