"""Who still needs a part of a catalog: asked before it is removed.

What uses it lies above this layer, and registers how to count (`ask`). Never queries by itself.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from executors.expressions import Reference


@dataclass(frozen=True, kw_only=True, slots=True)
class Named:
    """How a target names a component, or one event of it (`executors.catalog.kinds`)."""

    namespaces: tuple[str, ...]
    target: str  # the field that names the component
    tag: str
    event_fields: tuple[str, ...] = ()
    event: str | None = None

    @property
    def events(self) -> list[str]:
        """The event in whatever way it is spelled."""
        return [str(self.event), f"{self.tag}:{self.event}"]

    def is_in(self, namespace: str, target: Mapping[str, Any]) -> bool:
        """Whether a target of that namespace names it."""
        if namespace not in self.namespaces or target.get(self.target) != self.tag:
            return False
        return self.event is None or any(target.get(name) in self.events for name in self.event_fields)


@dataclass(frozen=True, kw_only=True, slots=True)
class Part:
    """What may be needed in some environments: by jobs whose target is one of `named`, or whose input holds one of
    `references`; a session configuration or a cache by jobs that run with it; an environment by all jobs in it.

    What is one in all environments may be needed by definitions of jobs as well, which have none: of `product_id`.
    """

    kind: str
    tag: str
    told: str  # what it is, for people
    environment_ids: frozenset[int]
    named: frozenset[Named] = frozenset()
    references: frozenset[Reference] = frozenset()
    product_id: int | None = None  # None: no definition names it

    def __str__(self) -> str:
        return self.told


Count = Callable[[Part], int]
Tags = Callable[[Part], list[str]]

_counts: list[Count] = []
_tags: list[Tags] = []


def ask(count: Count) -> None:
    """From now on, ask this too how many use a part."""
    if count not in _counts:
        _counts.append(count)


def ask_for_definitions(tags: Tags) -> None:
    """From now on, ask this too which definitions of jobs name a part."""
    if tags not in _tags:
        _tags.append(tags)


def uses(part: Part) -> int:
    """How many unfinished things use it. May query."""
    return sum(count(part) for count in _counts)


def definitions(part: Part) -> list[str]:
    """The tags of the definitions of jobs that name it, in order. May query."""
    return sorted({tag for tags in _tags for tag in tags(part)})
