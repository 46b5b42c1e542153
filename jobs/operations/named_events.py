"""From an event as the older calls name it to a namespace and a target: `component:event`, or the bare event.

A bare event must be in one component only. A function or a feature is an event by itself: its tag is the
name. Reads the catalog of a product; whether the event is reached in an environment, `dispatch` looks.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import Any, NamedTuple

from core.errors import FieldError, Invalid, NotFound
from core.fields import nearest
from core.tenancy.models import Product
from executors.catalog import kinds
from executors.catalog.models import Component, SavedEvent
from executors.providers.storage.operations import OPERATIONS, canonical
from jobs.operations.event_types import EVENT_TYPES, OF_KIND, EventType

MOST_NAMED = 8  # in a sentence
MOST_LOOKED_THROUGH = 200  # for the name that was probably meant


class NamedEvent(NamedTuple):
    """An event of a catalog. `event` is "" of what is one by itself."""

    type: EventType
    component: str
    event: str

    @classmethod
    def of(cls, type: EventType, target: Mapping[str, str]) -> NamedEvent:
        """The event that a target names."""
        kind = kinds.get(type.kind)
        return cls(type, target[kind.target], next((target[name] for name in kind.event_fields if name in target), ""))

    @property
    def target(self) -> dict[str, str]:
        """What a dispatch of its namespace takes."""
        kind = kinds.get(self.type.kind)
        named = {kind.target: self.component}
        return {**named, kind.event_fields[0]: self.event} if self.event else named

    def __str__(self) -> str:
        return f"{self.component}:{self.event}" if self.event else self.component


def find_event(
    product: Product,
    text: str,
    *,
    types: Collection[EventType] = tuple(EVENT_TYPES.values()),
    component: str | None = None,
    field: str,
) -> NamedEvent:
    """The one event that `text` names, of one of the types, in that component if one is given.

    Raises NotFound, and Invalid where several are meant; `field` is where the caller named it.
    """
    first, colon, event = text.partition(":")
    if not colon:
        found = list(_found(product, types, component, text))
    elif component in {None, first}:
        found = list(_found(product, types, first, event))
    else:
        detail = f"{text[:120]!r} names another component than {component[:120]!r}: leave one out"
        raise Invalid.field(field, detail)
    if not found:
        raise _missing(product, text, types, component, field)
    if len(found) > 1:
        raise _several(text, found, field)
    return found[0]


def _found(product: Product, types: Collection[EventType], component: str | None, event: str) -> Iterator[NamedEvent]:
    """All that the name stands for. A storage's operations are events of each storage."""
    of_kinds = {each.kind for each in types}
    saved = SavedEvent.objects.filter(component__product=product, component__kind__in=of_kinds, tag=event)
    components = Component.objects.filter(product=product)
    if component is not None:
        saved = saved.filter(component__tag=component)
        components = components.filter(tag=component)
    for kind, tag in saved.order_by("component__kind", "component__tag").values_list(
        "component__kind", "component__tag"
    ):
        yield NamedEvent(OF_KIND[kind], tag, event)
    if component is None:
        whole = [kind for kind in sorted(of_kinds) if not kinds.get(kind).has_events]
        for kind in components.filter(kind__in=whole, tag=event).order_by("kind").values_list("kind", flat=True):
            yield NamedEvent(OF_KIND[kind], event, "")
    if "storage" in of_kinds and canonical(event) in OPERATIONS:
        operated = components.filter(kind="storage").exclude(events__tag=event)
        for tag in operated.order_by("tag").values_list("tag", flat=True):
            yield NamedEvent(OF_KIND["storage"], tag, event)


def _missing(product: Product, text: str, types: Collection[EventType], component: str | None, field: str) -> NotFound:
    of_kinds = {each.kind for each in types}
    saved = SavedEvent.objects.filter(component__product=product, component__kind__in=of_kinds)
    pairs = saved.order_by("pk").values_list("component__tag", "tag")[:MOST_LOOKED_THROUGH]
    asked = text if component is None or ":" in text else f"{component}:{text}"
    names = [f"{tag}:{event}" for tag, event in pairs] if ":" in asked else [event for _, event in pairs]
    whole = [kind for kind in of_kinds if not kinds.get(kind).has_events]
    names += Component.objects.filter(product=product, kind__in=whole).values_list("tag", flat=True)[
        :MOST_LOOKED_THROUGH
    ]
    meant = nearest(asked, names)
    of_type = f" of type {next(iter(types)).name}" if len(types) == 1 else ""
    within = f" in {component[:120]!r}" if component is not None else ""
    detail = f"product {product.tag!r} has no event {text[:120]!r}{of_type}{within}: " + (
        f"did you mean {meant!r}?" if meant else "add it to the catalog, or name it as component:event"
    )
    return NotFound(detail, code="event_not_found", errors=[FieldError(field, "not_found", detail)])


def _several(text: str, found: list[NamedEvent], field: str) -> Invalid:
    told = ", ".join(f"{each} ({each.type.name})" for each in found[:MOST_NAMED])
    alike = len({str(each) for each in found}) < len(found)
    way_out = "make a definition, which says the type" if alike else "name one as component:event"
    return Invalid.field(field, f"{text[:120]!r} is more than one event: {told}: {way_out}", code="ambiguous")


def in_message(named: NamedEvent, input: Any) -> NamedEvent:
    """The same notification with the message that the input's `slug` names (S1's example)."""
    slug = input.get("slug") if isinstance(input, dict) and named.type.namespace == "notifications" else None
    return named._replace(event=slug) if isinstance(slug, str) and slug else named
