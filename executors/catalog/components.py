"""From a target's tag to a component of the catalog: found at dispatch, and, in the worker, opened.

What is missing is told here, with the way out. At dispatch nothing secret is opened (`find`); the worker opens
(`open_one`). Answers are immutable, and may be kept for a few seconds.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from core.errors import FieldError, NotFound
from core.fields import nearest
from core.shortcache import ShortCache
from core.tenancy.models import Environment
from executors.base import redacted, redacted_message
from executors.catalog import kinds
from executors.catalog.entries import with_values
from executors.catalog.kinds import Kind
from executors.catalog.models import Component, Connection, SavedEvent
from executors.catalog.sealed import open_sealed, secret_forms
from executors.catalog.shapes import opened_texts, texts_in
from executors.catalog.values import Values, must_know, values_of
from executors.expressions import open_references, references_in

KEPT_SECONDS = 1.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Found:
    """A component as its catalog declares it, and one event of it where the target names one. Nothing is secret."""

    kind: Kind
    tag: str
    type: str  # "postgresql", "rabbitmq"; "" for a kind without types
    product_id: int
    environment_id: int
    settings: Mapping[str, Any]  # of the component
    connection: Mapping[str, Any]  # of its environment, references as written, without what is sealed
    event: str = ""
    event_settings: Mapping[str, Any] = field(default_factory=dict)
    values: Values = field(repr=False)

    def __str__(self) -> str:
        return (
            f"event {self.event!r} of {self.kind.name} {self.tag!r}" if self.event else f"{self.kind.name} {self.tag!r}"
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class Opened:
    """A component as the worker uses it, secrets opened. Its repr shows none."""

    found: Found
    connection: Mapping[str, Any] = field(repr=False)
    secrets: tuple[str, ...] = field(repr=False)  # that no result and no error may show, in every form
    key: str = ""  # the same for the same connection: what a pool of clients is kept by

    @property
    def type(self) -> str:
        return self.found.type

    def redact(self, text: str) -> str:
        """The text without the secrets that were opened for this component."""
        return redacted(text, self.secrets)

    def redact_message(self, text: str) -> str:
        """The same of an error's text, which may have been cut off."""
        return redacted_message(text, self.secrets)


def find(kind: str, *, product_id: int, environment_id: int, tag: str, event: str | None = None) -> Found:
    """What an input is checked against. Raises NotFound: the component, its connection, the event, a secret."""
    key = (kind, product_id, environment_id, tag, event)
    return _found.get(key, lambda: _find(*key))


def open_one(kind: str, *, product_id: int, environment_id: int, tag: str, event: str | None = None) -> Opened:
    """What is connected to. Raises NotFound, as `find`, and Unreadable."""
    component, connection, saved = rows(kind, product_id, environment_id, tag, event)
    return opened(component, connection, saved, environment_id)


def opened(
    component: Component, connection: Connection | None, saved: SavedEvent | None, environment_id: int
) -> Opened:
    """A component in one environment, secrets opened. Raises NotFound for a secret, and Unreadable."""
    values = values_of(component.product_id, environment_id)
    if connection is None:  # its texts belong to its runs: nothing is opened for all of them
        found = _as_found(component, None, saved, environment_id, values)
        return Opened(found=found, connection=component.settings, secrets=(), key=f"{component.pk}:{environment_id}")
    written = with_values(component.settings, open_sealed(component))
    written |= with_values(connection.settings, open_sealed(connection))
    texts = texts_in(written)
    must_know(
        values,
        ((component.kind, reference) for text in texts for reference in references_in(text)),
        environment_id,
    )
    settings = opened_texts(written, lambda text: open_references(text, values))
    keys = {key for text in texts for reference in references_in(text) for key in values.secrets_behind(reference)}
    sealed = [*open_sealed(component).values(), *open_sealed(connection).values()]
    hidden = [values.secret(key) for key in keys]
    hidden += [open_references(value, values) for value in sealed]
    digest = hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()
    return Opened(
        found=_as_found(component, connection, saved, environment_id, values),
        connection=settings,
        secrets=secret_forms([*hidden, *_passwords(hidden)]),
        key=f"{component.pk}:{environment_id}:{digest}",
    )


def forget_components() -> None:
    """Ask the database again, in this process: after a catalog changed."""
    _found.forget()


def rows(
    kind: str, product_id: int, environment_id: int, tag: str, event: str | None
) -> tuple[Component, Connection | None, SavedEvent | None]:
    """The rows that a target names. Raises NotFound with the way out."""
    known = kinds.get(kind)
    listed = Component.objects.filter(product_id=product_id, kind=kind)
    component = listed.filter(tag=tag).first() if "\x00" not in tag else None
    if component is None:
        names = _names(environment_id)
        detail = f"no {kind} {tag[:120]!r} in product {names[0]!r}"
        raise _missing(known.target, kind, detail, listed.values_list("tag", flat=True), names, tag)
    saved = None
    if event is not None:
        event = event.removeprefix(f"{component.tag}:")
        saved = component.events.filter(tag=event).first() if "\x00" not in event else None
        if saved is None:
            names = _names(environment_id)
            detail = f"{kind} {component.tag!r} of product {names[0]!r} has no event {event[:120]!r}"
            raise _missing("event", "event", detail, component.events.values_list("tag", flat=True), names, event)
        saved.component = component
    connection = None
    if known.connected:
        connection = component.connections.filter(environment_id=environment_id).first()
        if connection is None:
            detail = unconnected(component, *_names(environment_id))
            raise NotFound(detail, code="connection_not_found", errors=[FieldError(known.target, "not_found", detail)])
        connection.component = component
    return component, connection, saved


def _find(kind: str, product_id: int, environment_id: int, tag: str, event: str | None) -> Found:
    component, connection, saved = rows(kind, product_id, environment_id, tag, event)
    values = values_of(product_id, environment_id)
    # What is sealed stays closed here: references in it are told by the worker, and by a check of the connection.
    texts = texts_in(component.settings) + texts_in(connection.settings) if connection is not None else []
    field_of = kinds.get(kind).target
    must_know(values, ((field_of, reference) for text in texts for reference in references_in(text)), environment_id)
    return _as_found(component, connection, saved, environment_id, values)


def _as_found(
    component: Component,
    connection: Connection | None,
    saved: SavedEvent | None,
    environment_id: int,
    values: Values,
) -> Found:
    settings = connection.settings if connection is not None else {}
    return Found(
        kind=kinds.get(component.kind),
        tag=component.tag,
        type=settings.get("type") or component.settings.get("type") or _default_type(component.kind),
        product_id=component.product_id,
        environment_id=environment_id,
        settings=component.settings,
        connection=settings,
        event=saved.tag if saved is not None else "",
        event_settings=saved.settings if saved is not None else {},
        values=values,
    )


def _default_type(kind: str) -> str:
    return str(getattr(kinds.get(kind), "default_type", ""))


def _passwords(texts: list[str]) -> list[str]:
    """The passwords in URLs that are secret as a whole: an error may show one without the other."""
    found = []
    for text in texts:
        login, at, _ = text.partition("://")[2].rpartition("@")
        if at and ":" in login:
            found.append(login.partition(":")[2])
    return found


def _missing(place: str, what: str, detail: str, tags: Any, names: tuple[str, str], given: str) -> NotFound:
    meant = nearest(given, list(tags[:500]))
    detail += f": did you mean {meant!r}?" if meant else f": add it with PUT /v1/products/{names[0]}/catalog"
    return NotFound(detail, code=f"{what}_not_found", errors=[FieldError(place, "not_found", detail)])


def unconnected(component: Component, product: str, env: str) -> str:
    """That it has no connection in that environment, and the way out."""
    return (
        f"environment {env!r} of product {product!r} has no connection for {component.kind} {component.tag!r}: "
        f"PUT /v1/products/{product}/{kinds.get(component.kind).plural}/{component.tag}/envs/{env}"
    )


def _names(environment_id: int) -> tuple[str, str]:
    """Product and environment as a caller knows them."""
    row = Environment.objects.filter(pk=environment_id).values_list("product__tag", "slug").first()
    return (str(row[0]), str(row[1])) if row else ("?", "?")


_found: ShortCache[tuple[str, int, int, str, str | None], Found] = ShortCache(seconds=KEPT_SECONDS)
