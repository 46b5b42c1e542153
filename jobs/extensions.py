"""What other apps add to the processes of this one, which knows none of them.

An app registers itself in its `ready`, by dotted paths: nothing of it is loaded before it is used.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.utils.module_loading import import_string


@dataclass(frozen=True, kw_only=True, slots=True)
class Extension:
    """Dotted paths; an empty one adds nothing."""

    queue: str = ""  # that its crew serves, instead of runs
    crew: str = ""  # () → jobs.runner.crew.Crew
    reap: str = ""  # () → None: take back what stopped workers own; called by the scheduler each second
    prune: str = ""  # (seconds: float) → str: delete what is too old, for so long; what was, in words
    checks: str = ""  # a sequence of jobs.fsck.Check
    collect: str = ""  # (now) → an iterable of Prometheus metrics
    load: str = ""  # (environment ids, or None: of all; now) → jobs.load.QueueLoad of its queue
    overview: str = ""  # (request, now, most) → Overview


@dataclass(frozen=True, kw_only=True, slots=True)
class Overview:
    """What an extension adds to the first page of the admin."""

    warnings: Sequence[str]  # text, or escaped HTML
    waiting: int  # in its queue, due; no more than one above `most` are counted
    oldest: datetime | None  # since when the first of them is due


_extensions: list[Extension] = []


def register(extension: Extension) -> None:
    """Add it to the processes. Called once, while Django starts."""
    _extensions.append(extension)


def crews() -> dict[str, Callable[[], Any]]:
    """queue → what makes the crew that serves it."""
    return {one.queue: import_string(one.crew) for one in _extensions if one.crew}


def served_queues() -> set[str]:
    """Queues that are no place for runs."""
    return {one.queue for one in _extensions if one.crew}


def overviews() -> dict[str, Callable[..., Overview]]:
    """queue → what tells of it on the first page of the admin."""
    return {one.queue: import_string(one.overview) for one in _extensions if one.overview}


def loaded(what: str) -> Iterator[Any]:
    """What each extension names in that field."""
    for one in _extensions:
        if path := getattr(one, what):
            yield import_string(path)
