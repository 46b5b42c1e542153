"""What a job can be dispatched to: the names of the contract. Data only."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Namespace:
    """How a dispatch of one namespace is spelled; `target` names what runs, `aliases` are its other names."""

    name: str
    target: tuple[str, ...]
    aliases: Mapping[str, str]

    @property
    def path(self) -> str:
        return f"/v1/{self.name.replace('.', '/')}/dispatch"


def _namespace(name: str, *target: str, **aliases: str) -> Namespace:
    return Namespace(name=name, target=target, aliases=aliases)


NAMESPACES: Mapping[str, Namespace] = {
    each.name: each
    for each in (
        _namespace("actions", "app", "event", action="event"),
        _namespace("features", "tag", feature="tag"),
        _namespace("notifications", "notification", "event"),
        _namespace("storage", "storage", "event", operation="event"),
        _namespace("events", "broker", "event", topic="event"),
        _namespace("functions", "function", event="function"),
        _namespace("databases.action", "database", "event", action="event"),
        _namespace("databases", "database", "operation"),
        _namespace("graphs.action", "graph", "event", action="event"),
        _namespace("graphs", "graph", "operation"),
    )
}


def namespace_of(name: str) -> Namespace:
    """One of the table; one that an installation added itself is named by an `event` alone."""
    return NAMESPACES.get(name) or _namespace(name, "event")
