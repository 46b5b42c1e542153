"""The ten namespaces of the contract, what names a target in each, and how that is read.

A namespace is in this table whether it can be run yet or not: `executors.registry` knows that.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from core.errors import Invalid
from core.fields import dotted


@dataclass(frozen=True, kw_only=True)
class TargetNames:
    """How a dispatch of one namespace is spelled."""

    namespace: str
    path: str  # under /v1/, before /dispatch
    fields: tuple[str, ...]
    aliases: tuple[tuple[str, str], ...] = ()  # (another name, the field)

    @cached_property
    def spelled(self) -> frozenset[str]:
        """Every name that a part of the target may have."""
        return frozenset({*self.fields, *(alias for alias, _ in self.aliases)})


_ALL = (
    TargetNames(namespace="actions", path="actions", fields=("app", "event"), aliases=(("action", "event"),)),
    TargetNames(namespace="features", path="features", fields=("tag",), aliases=(("feature", "tag"),)),
    TargetNames(namespace="notifications", path="notifications", fields=("notification", "event")),
    TargetNames(namespace="storage", path="storage", fields=("storage", "event"), aliases=(("operation", "event"),)),
    TargetNames(namespace="events", path="events", fields=("broker", "event"), aliases=(("topic", "event"),)),
    TargetNames(namespace="functions", path="functions", fields=("function",), aliases=(("event", "function"),)),
    TargetNames(
        namespace="databases.action",
        path="databases/action",
        fields=("database", "event"),
        aliases=(("action", "event"),),
    ),
    TargetNames(namespace="databases", path="databases", fields=("database", "operation")),
    TargetNames(
        namespace="graphs.action", path="graphs/action", fields=("graph", "event"), aliases=(("action", "event"),)
    ),
    TargetNames(namespace="graphs", path="graphs", fields=("graph", "operation")),
)

TARGETS = {names.namespace: names for names in _ALL}


def target_names(namespace: str) -> TargetNames:
    """The row of a namespace; one that an installation added itself is named by an `event` alone."""
    return TARGETS.get(namespace) or TargetNames(namespace=namespace, path=namespace, fields=("event",))


def read_target(given: Mapping[str, Any], names: TargetNames, path: str = "") -> dict[str, Any]:
    """What names the target, under its own names. A part that is missing is None: the request tells it."""
    target = {name: given.get(name) for name in names.fields}
    for alias, name in names.aliases:
        value = given.get(alias)
        if value is None:
            continue
        if target[name] is not None and target[name] != value:
            raise Invalid.field(dotted(path, alias), f"differs from {name!r}, which it is another name for")
        target[name] = value
    return target
