"""What the older calls can schedule: the types of event and where each runs. Data only.

The documents name them in several ways (contracts §3.2); all are taken, in any case.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True, slots=True)
class EventType:
    """One of JobEventTypes."""

    name: str
    namespace: str
    kind: str  # of the component that has the event
    aliases: tuple[str, ...] = ()


_ALL = (
    EventType(name="ACTION", namespace="actions", kind="app"),
    EventType(name="NOTIFICATION", namespace="notifications", kind="notification"),
    EventType(
        name="DATABASE_ACTION", namespace="databases.action", kind="database", aliases=("DB_ACTION", "DATABASE")
    ),
    EventType(name="FUNCTION", namespace="functions", kind="function"),
    EventType(
        name="MESSAGEBROKER", namespace="events", kind="broker", aliases=("MESSAGE_BROKER", "PUBLISH")
    ),
    EventType(name="STORAGE", namespace="storage", kind="storage"),
    EventType(name="FEATURE", namespace="features", kind="feature"),
    EventType(name="GRAPH_ACTION", namespace="graphs.action", kind="graph"),
)  # fmt: skip

EVENT_TYPES = {each.name: each for each in _ALL}
SPELLED = {word: each.name for each in _ALL for word in (each.name, *each.aliases)}  # in capitals → its name
OF_KIND = {each.kind: each for each in _ALL}
