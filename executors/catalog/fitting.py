"""Does what stays of a component still fit when its settings change? Its connections and events are read again by them.

Only what the change brings about is told: what did not fit before hinders nothing. Shows no secret, never stores.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from core.errors import FieldError
from executors.catalog.entries import ComponentEntry, Keep, with_values
from executors.catalog.kinds import Kind
from executors.catalog.models import Component, Connection
from executors.catalog.reading import Problems
from executors.catalog.sealed import open_sealed
from executors.catalog.values import Unreadable

_BY_NAME_ONLY = frozenset({"required", "unknown_field"})  # problems that say nothing of a value
_HIDDEN = "what is stored here does not fit any more: give it again"


def misfits(kind: Kind, component: Component, given: ComponentEntry) -> Iterator[FieldError]:
    """What does not fit any more, of the connections and events that `given` leaves as they are, at their places in it.

    Called before the component is changed. A sealed value is read as what it is: a URL is of another system.
    """
    if component.settings == given.settings:
        return
    rows = component.connections.exclude(environment__slug__in=[entry.env for entry in given.connections])
    stored = {row.environment.slug: row for row in rows.select_related("environment")}
    sealed = {slug: _sealed_of(component, row) for slug, row in stored.items()}
    events = list(component.events.exclude(tag__in=[event.tag for event in given.events]))
    kept: dict[str, Any] = {"tag": component.tag}
    if stored:
        kept["envs"] = {slug: with_values(row.settings, sealed[slug]) for slug, row in stored.items()}
    if events:
        kept["events"] = [{"tag": event.tag, **event.settings} for event in events]
    markers = {name: {"set": True} if isinstance(value, Keep) else value for name, value in given.secrets.items()}
    before = {(error.field, error.code) for error in _problems(kind, component.settings, kept)}
    for error in _problems(kind, with_values(given.settings, markers), kept):
        if (error.field, error.code) in before:
            continue
        part, name, *rest = error.field.split(".")
        hidden = part == "envs" and sealed[name] and error.code not in _BY_NAME_ONLY
        if part == "events":  # a position means nothing to who named no events
            name = events[int(name)].tag
        yield FieldError(".".join([given.path, part, name, *rest]), error.code, _HIDDEN if hidden else error.detail)


def _problems(kind: Kind, settings: Mapping[str, Any], kept: Mapping[str, Any]) -> list[FieldError]:
    problems = Problems()
    kind.read({**settings, **kept}, "", problems)
    return [error for error in problems.errors if error.field.startswith(("envs.", "events."))]


def _sealed_of(component: Component, row: Connection) -> dict[str, str]:
    """The secrets of a connection; none where no key opens them."""
    row.component = component
    try:
        return open_sealed(row)
    except Unreadable:
        return {}
