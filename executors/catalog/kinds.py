"""The kinds of component that a catalog holds: how each is spelled, and which namespaces run it.

A kind is one object in `executors/providers/<kind>/kind.py` and one line here; it is loaded when it is
first used. Never queries, and imports no driver.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from importlib import import_module
from importlib.util import find_spec
from typing import Any, Protocol, cast

from core.fields import not_one_of
from executors.catalog import shapes
from executors.catalog.app_schema import read_app
from executors.catalog.entries import ComponentEntry, ConnectionEntry, EventEntry, Secrets
from executors.catalog.reading import SLUG, Problems, Reader, unqualified
from executors.catalog.shapes import Shape

_PATHS = {
    "app": "executors.catalog.kinds.APP",
    "notification": "executors.providers.notification.kind.KIND",
    "database": "executors.providers.database.kind.KIND",
    "graph": "executors.providers.graph.kind.KIND",
    "storage": "executors.providers.storage.kind.KIND",
    "broker": "executors.providers.broker.kind.KIND",
    "function": "executors.providers.function.kind.KIND",
    "feature": "executors.providers.feature.kind.KIND",
}

Refine = Callable[[Mapping[str, Any], Mapping[str, Any], Reader], None]
_COMMON = ("tag", "name", "description", "envs", "events", "type")


class Kind(Protocol):
    """What the catalog needs to know of a kind."""

    @property
    def name(self) -> str:
        """As it is stored: `database`."""

    @property
    def plural(self) -> str:
        """As a document and the API's paths say it: `databases`."""

    @property
    def namespaces(self) -> tuple[str, ...]:
        """Where it is dispatched."""

    @property
    def target(self) -> str:
        """The field of a job's target that names it."""

    @property
    def event_fields(self) -> tuple[str, ...]:
        """The fields of a job's target that name an event of it."""

    @property
    def connected(self) -> bool:
        """Whether it is reached in another way in each environment."""

    @property
    def has_events(self) -> bool:
        """Whether it has saved events."""

    @property
    def check(self) -> str:
        """The dotted path of the coroutine function that tries a connection, "" where there is none."""

    def read(self, data: Any, path: str, problems: Problems) -> ComponentEntry | None:
        """The component written at `path`, or None where it has no usable tag."""


@dataclass(frozen=True, kw_only=True)
class AppKind:
    """Apps have a schema of their own."""

    name: str = "app"
    plural: str = "apps"
    namespaces: tuple[str, ...] = ("actions",)
    target: str = "app"
    event_fields: tuple[str, ...] = ("event", "action")
    connected: bool = True
    has_events: bool = True
    check: str = ""  # `executors.catalog.check` itself knows how

    def read(self, data: Any, path: str, problems: Problems) -> ComponentEntry | None:
        return read_app(data, path, problems)


@dataclass(frozen=True, kw_only=True)
class ShapedKind:
    """A kind whose fields are declared.

    `connections` holds the shape of an environment's entry for each `type` ("" where the kind has no
    types). `event` is the shape of a saved event, None where it has none. What shapes cannot say,
    `refine_connection` and `refine_event` do, called with the component's settings, the entry's own, and
    the entry's reader to tell problems at. `drivers` names for a type the module that must be there and the extra
    that brings it.
    """

    name: str
    plural: str
    namespaces: tuple[str, ...]
    target: str
    event_fields: tuple[str, ...] = ("event",)
    component: Shape = field(default_factory=dict)
    connections: Mapping[str, Shape] = field(default_factory=dict)
    default_type: str = ""
    type_aliases: Mapping[str, str] = field(default_factory=dict)  # folded spelling → type
    event: Shape | None = None
    event_aliases: tuple[str, ...] = ()  # other names of the list of events: topics, messages
    drivers: Mapping[str, tuple[str, str]] = field(default_factory=dict)
    check: str = ""  # dotted path of the coroutine function that tries a connection
    refine_component: Callable[[Mapping[str, Any], Reader], None] | None = None
    refine_connection: Refine | None = None
    refine_event: Refine | None = None

    @property
    def connected(self) -> bool:
        return bool(self.connections)

    @property
    def has_events(self) -> bool:
        return self.event is not None

    @property
    def _typed(self) -> bool:
        return bool(self.connections) and "" not in self.connections

    def read(self, data: Any, path: str, problems: Problems) -> ComponentEntry | None:
        spellings = [word for name, each in self.component.items() for word in (name, *each.aliases)]
        hidden = {*(() if self.connected else ("envs",)), *(() if self._typed else ("type",))}
        hidden |= {"events", *self.event_aliases} if self.event is None else set()
        reader = Reader(data, path, problems, ({*_COMMON, *self.event_aliases} - hidden) | {*spellings})
        tag = reader.named("tag")
        given = shapes.read_from(self.component, reader)
        settings = given.settings
        if (description := reader.text("description", limit=2000)) is not None:
            settings["description"] = description
        if (type := self._type(reader, "type")) is not None:
            settings["type"] = type
        if self.refine_component is not None:
            self.refine_component(settings, reader)
        connections = [
            self._connection(settings, slug, entry, at, problems)
            for slug, at, entry in (reader.by_slug("envs") if self.connected else ())
        ]
        events: list[EventEntry] = []
        for at, entry in reader.items("events", *self.event_aliases) if self.event is not None else ():
            if (event := self._event(tag, settings, entry, at, problems)) is not None:
                if any(other.tag == event.tag for other in events):
                    reader.problem("events", f"{event.tag!r} is named twice", "duplicate")
                events.append(event)
        if tag is None:
            return None
        return ComponentEntry(
            tag=tag,
            name=reader.text("name"),
            settings=settings,
            secrets=given.secrets,
            connections=tuple(connections),
            events=tuple(events),
            path=path,
        )

    def _type(self, reader: Reader, name: str) -> str | None:
        """The type that an entry names, spelled as we do; tells of a driver that is missing."""
        if not self._typed:
            return None
        text = reader.text(name)
        if text is None:
            return None
        folded = text.lower()
        type = self.type_aliases.get(folded, folded)
        if type not in self.connections:
            reader.problem(name, not_one_of(text, sorted(self.connections)))
            return None
        missing = self.missing_driver(type)
        if missing is not None:
            reader.problem(name, missing, "driver_missing")
        return type

    def missing_driver(self, type: str) -> str | None:
        """What to tell where the driver of a type is not installed."""
        module, extra = self.drivers.get(type, ("", ""))
        if not module or _is_there(module):
            return None
        return f"{type} needs the extra {extra!r}, which is not installed: pip install 'ductape-jobs[{extra}]'"

    def _connection(
        self, component: Mapping[str, Any], slug: str, data: Any, path: str, problems: Problems
    ) -> ConnectionEntry:
        if not SLUG.fullmatch(slug):
            problems.add(path, f"{slug[:60]!r} is not the slug of an environment")
        data = _without_config(data, path, problems)
        type, typed = component.get("type") or self.default_type, {}
        if self._typed and isinstance(data, dict) and data.get("type") is not None:
            named = self._type(Reader(data, path, problems, data), "type")
            if named is not None and component.get("type") not in {None, named}:
                problems.add(f"{path}.type", f"is {named!r}, but its component is of type {component['type']!r}")
            if named is None or component.get("type") is None:
                type, typed = named, {"type": named} if named is not None else {}
        shape = self.connections.get(type if self._typed else "") if type is not None else None
        if shape is None:
            if type == "":
                problems.add(path, f"its component needs a `type`: {', '.join(sorted(self.connections))}", "required")
            return ConnectionEntry(env=slug, settings=typed, secrets={}, path=path)
        words = [word for name, each in shape.items() for word in (name, *each.aliases)]
        reader = Reader(data, path, problems, {*words, "description", *(("type",) if self._typed else ())})
        given = shapes.read_from(shape, reader)
        settings = {**typed, **given.settings}
        if self.refine_connection is not None:
            self.refine_connection(component, settings, reader)
        return ConnectionEntry(env=slug, settings=settings, secrets=given.secrets, path=path)

    def _event(
        self, of: str | None, component: Mapping[str, Any], data: Any, path: str, problems: Problems
    ) -> EventEntry | None:
        assert self.event is not None
        data = unqualified(data, of)
        words = [word for name, each in self.event.items() for word in (name, *each.aliases)]
        reader = Reader(data, path, problems, {*words, "tag", "name", "description"})
        tag = reader.named("tag")
        given = shapes.read_from(self.event, reader)
        for name in ("name", "description"):
            if name not in self.event and (text := reader.text(name, limit=2000)) is not None:
                given.settings[name] = text
        if self.refine_event is not None:
            self.refine_event(component, given.settings, reader)
        return EventEntry(tag=tag, settings=given.settings) if tag is not None else None


def _without_config(data: Any, path: str, problems: Problems) -> Any:
    """An entry whose fields, or the service account among them, stand in a `config`, as the documents also write it."""
    if not isinstance(data, dict) or not isinstance(data.get("config"), dict):
        return data
    config, rest = data["config"], {name: value for name, value in data.items() if name != "config"}
    if config.get("type") != "service_account":
        return _without_config({**rest, **config}, path, problems)
    if rest.get("credentials") is not None:
        problems.add(f"{path}.config", "give 'credentials' or this, not both")
    return {**rest, "credentials": config}


def _is_there(module: str) -> bool:
    """Whether a module can be imported: each package on the way to it too, since several share `google` and `azure`."""
    try:
        return find_spec(module) is not None
    except ModuleNotFoundError:
        return False


APP = AppKind()


def names() -> list[str]:
    """The kinds there are, in the order of a document."""
    return list(_PATHS)


@lru_cache(maxsize=64)
def get(name: str) -> Kind:
    """A kind by its name. KeyError where there is none."""
    module, _, attribute = _PATHS[name].rpartition(".")
    return cast(Kind, getattr(import_module(module), attribute))


def all_kinds() -> list[Kind]:
    return [get(name) for name in _PATHS]


def by_plural(plural: str) -> Kind | None:
    return next((kind for kind in all_kinds() if kind.plural == plural), None)


__all__ = ["APP", "AppKind", "Kind", "Secrets", "ShapedKind", "all_kinds", "by_plural", "get", "names"]
