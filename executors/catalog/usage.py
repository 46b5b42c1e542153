"""Who still needs a part of a catalog: asked before it is removed.

What uses it lies above this layer, and registers how to count (`ask`). Never queries by itself.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True, slots=True)
class Part:
    """A component of a product, or only an event of it, or only how it is reached in one environment.

    `namespaces`, `target` and `event_fields` say how a job's target names it (`executors.catalog.kinds`).
    """

    product_id: int
    kind: str
    tag: str
    namespaces: tuple[str, ...]
    target: str
    event_fields: tuple[str, ...]
    event: str | None = None
    environment_id: int | None = None

    def __str__(self) -> str:
        named = f"{self.kind} {self.tag!r}"
        if self.event is not None:
            return f"event {self.event!r} of {named}"
        return named if self.environment_id is None else f"the connection of {named}"


Count = Callable[[Part], int]

_counts: list[Count] = []


def ask(count: Count) -> None:
    """From now on, ask this too how many use a part."""
    if count not in _counts:
        _counts.append(count)


def uses(part: Part) -> int:
    """How many unfinished things use it. May query."""
    return sum(count(part) for count in _counts)
