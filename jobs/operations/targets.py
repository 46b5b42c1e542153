"""The ten namespaces of the contract and what names a target in each. Data only.

A namespace is in this table whether it can be run yet or not: `executors.registry` knows that.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True, slots=True)
class TargetNames:
    """How a dispatch of one namespace is spelled."""

    namespace: str
    path: str  # under /v1/, before /dispatch
    fields: tuple[str, ...]
    aliases: tuple[tuple[str, str], ...] = ()  # (another name, the field)


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
