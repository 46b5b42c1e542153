"""May a part of a catalog go? Not while unfinished jobs need it: by their target, their feature's steps, what these
refer to, their input.

Owns what needs a part. Who that is in jobs is asked through `executors.catalog.usage`. Never removes anything.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from core.errors import Conflict, FieldError
from core.tenancy.models import Environment
from executors.catalog import declarations, kinds
from executors.catalog.models import Cache, Component, Connection, SavedEvent, Secret, SessionConfig
from executors.catalog.sealed import open_sealed
from executors.catalog.usage import Named, Part, definitions, uses
from executors.catalog.values import Unreadable
from executors.expressions import Reference, references_anywhere
from executors.providers.feature.needing import named_feature, steps_of, with_features
from executors.providers.feature.plan import Step

MOST_NAMED = 8  # definitions in a sentence
_OF_AN_APP = frozenset({"variables", "constants"})  # which it holds for whoever refers to them

Row = Component | Connection | SavedEvent | Secret | SessionConfig | Cache | Environment


Held = tuple[int, Reference]  # in an environment


@dataclass(frozen=True, kw_only=True, slots=True)
class _Referring:
    """What a component refers to: itself, in each environment, and in each event."""

    component: Component
    own: frozenset[Reference]
    connections: Mapping[int, frozenset[Reference]] = field(default_factory=dict)
    events: Mapping[str, frozenset[Reference]] = field(default_factory=dict)


def values_held(product_id: int) -> frozenset[Held]:
    """The variables and constants of a product's apps that stand for something."""
    environments = list(Environment.objects.filter(product_id=product_id).values_list("pk", flat=True))
    apps = Component.objects.filter(product_id=product_id, kind="app").prefetch_related("connections")
    return frozenset(
        (environment_id, Reference(kind, (app.tag, key)))
        for app in apps
        for environment_id in environments
        for kind, key, _ in _values(app, environment_id)
    )


class Removal:
    """What is asked before parts of one product's catalog go. It reads what is needed once: make one for each time."""

    def __init__(self, product_id: int, tag: str) -> None:
        self._product_id, self._tag = product_id, tag
        self._read_held: dict[int, list[tuple[Reference, frozenset[Reference]]]] = {}

    def refuse_used(self, row: Row, path: str = "") -> None:
        """Raise Conflict with the number of unfinished jobs and the definitions that need it; `path` is where a
        document says it.

        An environment keeps the history of its jobs: those that have ended count too.
        """
        if isinstance(row, Environment):
            told = f"environment {row.slug!r} of product {self._tag!r}"
            self._refuse_with_jobs(told, frozenset({row.pk}), path)
            return
        _refuse(list(self._parts(row)), path)

    def refuse_lost(self, before: frozenset[Held]) -> None:
        """The same for variables and constants of apps that stood for something before, and do no more: with their
        app, their connection or a default. Called when all is stored and removed."""
        lost: dict[int, set[Reference]] = {}
        for environment_id, reference in before - values_held(self._product_id):
            if environment_id in self._environments:
                lost.setdefault(environment_id, set()).add(reference)
        needed = {pk: each for pk, each in lost.items() if uses(self._value("", frozenset(each), pk))}
        for reference in sorted({each for listed in needed.values() for each in listed}, key=str):
            kind, (app, key) = reference.kind.lower(), reference.names
            told = f"{kind} {key!r} of app {app!r}"
            here = sorted(pk for pk, each in needed.items() if reference in each)
            _refuse([self._value(told, frozenset({reference}), pk) for pk in here], f"apps.{app}.{kind}s.{key}")

    def refuse_product(self) -> None:
        """Raise Conflict with the number of jobs that the product has, those that have ended too."""
        self._refuse_with_jobs(f"product {self._tag!r}", self._environments)

    def _refuse_with_jobs(self, told: str, environment_ids: frozenset[int], path: str = "") -> None:
        count = uses(Part(kind="environment", tag="", told=told, environment_ids=environment_ids))
        if count:
            jobs = "a job: delete it" if count == 1 else f"{count} jobs: delete them"
            raise _in_use(f"{told} still has {jobs} first", count, path)

    @cached_property
    def _environments(self) -> frozenset[int]:
        return frozenset(Environment.objects.filter(product_id=self._product_id).values_list("pk", flat=True))

    @cached_property
    def _components(self) -> list[Component]:
        rows = Component.objects.filter(product_id=self._product_id).order_by("pk")
        return list(rows.prefetch_related("connections", "events"))

    @cached_property
    def _steps(self) -> dict[str, tuple[Step, ...]]:
        return steps_of({row.tag: row.settings for row in self._components if row.kind == "feature"})

    def _parts(self, row: Component | Connection | SavedEvent | Secret | SessionConfig | Cache) -> Iterator[Part]:
        """What a row is to those who may need it; a secret is something else in each environment."""
        match row:
            case Component():
                yield self._component(row, f"{row.kind} {row.tag!r}")
            case Connection():
                told = f"the connection of {row.component.kind} {row.component.tag!r}"
                yield self._component(row.component, told, environment_id=row.environment_id)
            case SavedEvent():
                told = f"event {row.tag!r} of {row.component.kind} {row.component.tag!r}"
                yield self._component(row.component, told, event=row.tag)
            case Secret():
                references = frozenset({Reference("Secret", (row.key,))})
                for environment_id in sorted(self._environments_of(row)):
                    yield self._value(f"secret {row.key!r}", references, environment_id)
            case SessionConfig() | Cache():
                kind = (declarations.SESSIONS if isinstance(row, SessionConfig) else declarations.CACHES).name
                told = f"{kind} {row.tag!r}"
                yield Part(kind=kind, tag=row.tag, told=told, environment_ids=self._environments)

    def _component(
        self, component: Component, told: str, *, event: str | None = None, environment_id: int | None = None
    ) -> Part:
        return Part(
            kind=component.kind,
            tag=component.tag,
            told=told,
            environment_ids=self._environments if environment_id is None else frozenset({environment_id}),
            named=with_features([_named(component, event)], self._steps),
            product_id=self._product_id if environment_id is None else None,
        )

    def _environments_of(self, secret: Secret) -> frozenset[int]:
        """Those in which this is the value that counts."""
        if secret.environment_id is not None:
            return frozenset({secret.environment_id})
        own = Secret.objects.filter(product_id=self._product_id, key=secret.key, environment__isnull=False)
        return self._environments - frozenset(own.values_list("environment_id", flat=True))

    def _value(self, told: str, references: frozenset[Reference], environment_id: int) -> Part:
        """What references stand for in an environment."""
        holding = {held for held, within in self._held(environment_id) if references & within}
        wanted = references | holding
        return Part(
            kind="value",
            tag="",
            told=told,
            environment_ids=frozenset({environment_id}),
            named=with_features(self._users(wanted, environment_id), self._steps),
            references=wanted,
        )

    def _held(self, environment_id: int) -> list[tuple[Reference, frozenset[Reference]]]:
        """The variables and constants in an environment, with what each refers to."""
        if environment_id not in self._read_held:
            self._read_held[environment_id] = [
                (Reference(kind, (app.tag, name)), references_anywhere(value))
                for app in self._components
                for kind, name, value in _values(app, environment_id)
            ]
        return self._read_held[environment_id]

    @cached_property
    def _referring(self) -> list[_Referring]:
        return [_referring(component) for component in self._components]

    def _users(self, wanted: frozenset[Reference], environment_id: int) -> Iterator[Named]:
        """The components, events and features that refer to one of these in an environment."""
        for each in self._referring:
            if each.component.kind == "feature":
                if wanted & each.own:
                    yield named_feature(each.component.tag)
            elif environment_id not in each.connections:
                continue  # nothing of it runs there
            elif wanted & each.own or wanted & each.connections[environment_id]:
                yield _named(each.component)
            else:
                yield from (_named(each.component, tag) for tag, within in each.events.items() if wanted & within)


def _referring(component: Component) -> _Referring:
    if component.kind == "feature":
        return _Referring(component=component, own=references_anywhere(component.settings))
    connections = list(component.connections.all())
    for connection in connections:
        connection.component = component
    return _Referring(
        component=component,
        own=_references(component),
        connections={connection.environment_id: _references(connection) for connection in connections},
        events={event.tag: references_anywhere(event.settings) for event in component.events.all()},
    )


def _named(component: Component, event: str | None = None) -> Named:
    kind = kinds.get(component.kind)
    return Named(
        namespaces=kind.namespaces, target=kind.target, tag=component.tag, event_fields=kind.event_fields, event=event
    )


def _connection(component: Component, environment_id: int) -> Connection | None:
    return next((row for row in component.connections.all() if row.environment_id == environment_id), None)


def _references(row: Component | Connection) -> frozenset[Reference]:
    """Those in what is shown of a row, and in what is sealed."""
    try:
        sealed = open_sealed(row)
    except Unreadable:
        sealed = {}  # no run gets as far as to use it
    kind = (row if isinstance(row, Component) else row.component).kind
    held = _OF_AN_APP if kind == "app" else frozenset()
    return references_anywhere([sealed, {name: row.settings[name] for name in row.settings.keys() - held}])


def _values(app: Component, environment_id: int) -> Iterator[tuple[str, str, Any]]:
    """(kind, key, value) of the variables and constants that an app has in an environment."""
    if app.kind != "app":
        return
    declared = app.settings.get("variables", {})
    variables = {key: each["default"] for key, each in declared.items() if "default" in each}
    if (connection := _connection(app, environment_id)) is not None:
        variables |= connection.settings.get("variables", {})
    for key, value in variables.items():
        yield "Variable", key, value
    for key, each in app.settings.get("constants", {}).items():
        yield "Constant", key, each["value"]


def _refuse(parts: list[Part], path: str) -> None:
    count = sum(map(uses, parts))
    tags = sorted({tag for part in parts for tag in definitions(part)})
    if not count and not tags:
        return
    who = [_counted(count)] if count else []
    who += [_listed(tags)] if tags else []
    needing = f"{' and '.join(who)} {'needs' if count + len(tags) == 1 else 'need'}"
    ways_out = ["cancel what is not to run any more"] if count else []
    ways_out += (
        ["change or delete the definition" if len(tags) == 1 else "change or delete the definitions"] if tags else []
    )
    detail = f"{needing} {parts[0]}: {', '.join(ways_out)}, or remove it all the same with force=true"
    raise _in_use(detail, count, path, tags)


def _counted(jobs: int) -> str:
    return "an unfinished job" if jobs == 1 else f"{jobs} unfinished jobs"


def _listed(tags: list[str]) -> str:
    shown = ", ".join(map(repr, tags[:MOST_NAMED]))
    more = f" and {len(tags) - MOST_NAMED} more" if len(tags) > MOST_NAMED else ""
    return f"definition {shown}" if len(tags) == 1 else f"definitions {shown}{more}"


def _in_use(detail: str, count: int, path: str, tags: Sequence[str] = ()) -> Conflict:
    errors = [FieldError(path, "in_use", detail)] if path else []
    named = {"definitions": list(tags)} if tags else {}
    return Conflict(detail, code="in_use", errors=errors, extra={"jobs": count, **named})
