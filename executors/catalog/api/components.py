"""Components over HTTP, one at a time: each call is a small catalog document, checked and stored as such.

Owns the shape of answers, alike for every kind (`executors.catalog.kinds`). What may be written, and who
writes it, is `executors.catalog.editing`'s; secrets go in and never come out.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict
from functools import wraps
from typing import Any, ClassVar

from django.db import transaction
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from core.errors import Conflict, Invalid, NotFound
from core.fields import nearest, parameters
from core.openapi import ref
from core.tenancy import scopes
from core.tenancy.auth import principal_of
from core.tenancy.models import Environment, Product
from core.tenancy.parsing import body_of
from core.tenancy.visibility import visible_environments, visible_product
from executors.catalog import document, editing, kinds
from executors.catalog.api.writing import (
    CHANGED,
    ETAG,
    FORCE,
    IF_MATCH,
    READ_WRITE,
    force_of,
    readable,
    store,
    unchanged,
    writable,
)
from executors.catalog.check import check_connection
from executors.catalog.etags import etag_of
from executors.catalog.kinds import Kind
from executors.catalog.models import Component, SavedEvent
from executors.catalog.reading import unqualified

OBJECT = {"type": "object", "additionalProperties": True}
_CHECK = {
    "type": "object",
    "required": ["ok", "detail", "code", "status", "duration_ms"],
    "properties": {
        "ok": {"type": "boolean"},
        "detail": {"type": "string"},
        "code": {"type": ["string", "null"]},
        "status": {"type": ["integer", "null"]},
        "duration_ms": {"type": "integer"},
    },
}


class OfAKind(APIView):
    """What the views of one kind share. A subclass is made for each kind (`executors.catalog.api.urls`)."""

    required_scope: Any = READ_WRITE
    kind: ClassVar[Kind] = kinds.APP

    def found(self, product: Product, tag: str) -> Component:
        """The component. Raises NotFound."""
        listed = product.components.filter(kind=self.kind.name)
        component = listed.filter(tag=tag).first() if "\x00" not in tag else None
        if component is None:
            meant = nearest(tag, list(listed.values_list("tag", flat=True)[:500]))
            detail = f"no {self.kind.name} {tag[:120]!r} in product {product.tag!r}"
            raise NotFound(detail + (f": did you mean {meant!r}?" if meant else ""), code=f"{self.kind.name}_not_found")
        return component

    def exported(self, request: Request, product: Product, tag: str | None = None) -> list[dict[str, Any]]:
        """Those of the kind, or the one of that tag, as far as the key sees them."""
        environments = principal_of(request).environment_ids
        return document.components(product, self.kind, tag=tag, environment_ids=environments)

    def shown(self, request: Request, product: Product, tag: str) -> dict[str, Any]:
        (entry,) = self.exported(request, product, self.found(product, tag).tag)
        return entry

    def answer(self, request: Request, product: Product, tag: str, status: int = 200) -> Response:
        """The component as it is stored, with its ETag."""
        # The ETag first: where somebody writes in between, it is the older one, and a write by it is refused.
        etag = etag_of(self.found(product, tag))
        return Response(self.shown(request, product, tag), status=status, headers={"ETag": etag})

    def store(
        self, request: Request, product: Product, entry: Mapping[str, Any], prefix: str = "", *, force: bool = False
    ) -> None:
        plural = self.kind.plural
        store(request, product, {plural: [entry]}, f"{plural}.0" + (f".{prefix}" if prefix else ""), force=force)

    def unchanged(self, request: Request, component: Component) -> None:
        """Raise Changed where the caller read another one than is there. Inside the transaction that writes."""
        unchanged(request, lambda: etag_of(component))


class ComponentsView(OfAKind):
    """The components of a kind."""

    def get(self, request: Request, product: str) -> Response:
        """Every one with its connections and events, secrets as `{"set": true}`."""
        return Response({self.kind.plural: self.exported(request, readable(request, product))})

    @transaction.atomic
    def post(self, request: Request, product: str) -> Response:
        """A new one, written as in the catalog document; 409 where there is one of its tag."""
        product_row, entry = writable(request, product, lock=True), body_of(request)
        tag = entry.get("tag")
        listed = product_row.components.filter(kind=self.kind.name)
        if isinstance(tag, str) and listed.filter(tag=tag.replace("\x00", "")).exists():
            detail = f"product {product_row.tag!r} has the {self.kind.name} {tag[:120]!r} already: change it with PATCH"
            raise Conflict(detail, code="exists")
        self.store(request, product_row, entry)
        return self.answer(request, product_row, str(tag), status=201)


class ComponentView(OfAKind):
    """One component."""

    def get(self, request: Request, product: str, tag: str) -> Response:
        return self.answer(request, readable(request, product), tag)

    @transaction.atomic
    def patch(self, request: Request, product: str, tag: str) -> Response:
        """Change the fields that are given; `null` takes one away. Connections and events that are not named stay."""
        found, force = writable(request, product, lock=True), force_of(request)
        given = body_of(request, parameters={"force"})
        if given.get("tag", tag) != tag:
            raise Invalid.field("tag", f"cannot be changed: make a new {self.kind.name}")
        component = self.found(found, tag)
        self.unchanged(request, component)
        entry = {**editing.component_entry(component), **given}
        self.store(request, found, {name: value for name, value in entry.items() if value is not None}, force=force)
        return self.answer(request, found, tag)

    @transaction.atomic
    def delete(self, request: Request, product: str, tag: str) -> Response:
        """Remove it with its connections and events; 409 where unfinished jobs need it, which fail with `force`."""
        found, force = writable(request, product, lock=True), force_of(request)
        component = self.found(found, tag)
        self.unchanged(request, component)
        editing.remove_part(component, actor=principal_of(request).name, force=force)
        return Response(status=204)


class ConnectionView(OfAKind):
    """How a component is reached in one environment."""

    @transaction.atomic
    def put(self, request: Request, product: str, tag: str, env: str) -> Response:
        """Address, credentials (write-only) and what else holds in this environment, as a whole."""
        found, force = writable(request, product, lock=True), force_of(request)
        component = self.found(found, tag)
        self.unchanged(request, component)
        if not found.environments.filter(slug=env.replace("\x00", "")).exists():
            raise NotFound(f"product {found.tag!r} has no environment {env[:60]!r}", code="env_not_found")
        entry = {**editing.component_entry(component), "envs": {env: body_of(request, parameters={"force"})}}
        self.store(request, found, entry, f"envs.{env}", force=force)
        return Response(self.shown(request, found, tag)["envs"][env], headers={"ETag": etag_of(component)})

    @transaction.atomic
    def delete(self, request: Request, product: str, tag: str, env: str) -> Response:
        """Remove the connection; 409 where unfinished jobs need it, which fail with `force`."""
        found, force = writable(request, product, lock=True), force_of(request)
        component = self.found(found, tag)
        self.unchanged(request, component)
        env = env.replace("\x00", "")
        if not component.connections.filter(environment__slug=env).exists():
            detail = f"{self.kind.name} {tag!r} has no connection in environment {env[:60]!r}"
            raise NotFound(detail, code="connection_not_found")
        editing.remove_part(component, actor=principal_of(request).name, env=env, force=force)
        return Response(status=204)


class OfAnEvent(OfAKind):
    """What the views of events share."""

    def written(self, request: Request, product: str, tag: str) -> tuple[Product, Component, dict[str, Any]]:
        """The product, held, its component, and the event that was sent, its tag as it is stored."""
        found = writable(request, product, lock=True)
        component = self.found(found, tag)
        return found, component, unqualified(body_of(request), component.tag)

    def stored_event(
        self, request: Request, product: Product, component: Component, event: dict[str, Any], status: int = 200
    ) -> Response:
        """Store the event, and answer it as it reads then, with the ETag of its component."""
        self.store(request, product, {**editing.component_entry(component), "events": [event]}, "events.0")
        return self.event_answer(component.events.get(tag=event["tag"]), etag_of(component), status)

    def event_answer(self, event: SavedEvent, etag: str, status: int = 200) -> Response:
        return Response(editing.event_entry(event), status=status, headers={"ETag": etag})


class EventsView(OfAnEvent):
    """The events of a component: actions, messages, templates, topics."""

    def get(self, request: Request, product: str, tag: str) -> Response:
        found = readable(request, product)
        etag = etag_of(self.found(found, tag))
        return Response({"events": self.shown(request, found, tag)["events"]}, headers={"ETag": etag})

    @transaction.atomic
    def post(self, request: Request, product: str, tag: str) -> Response:
        """A new event, written as in the catalog document; 409 where there is one of its tag."""
        found, component, event = self.written(request, product, tag)
        name = event.get("tag")
        self.unchanged(request, component)
        if isinstance(name, str) and component.events.filter(tag=name.replace("\x00", "")).exists():
            detail = f"{self.kind.name} {tag!r} has an event {name[:120]!r} already: change it with PUT"
            raise Conflict(detail, code="exists")
        return self.stored_event(request, found, component, event, status=201)


class EventView(OfAnEvent):
    """One event of a component."""

    def get(self, request: Request, product: str, tag: str, event: str) -> Response:
        found = readable(request, product)
        component = self.found(found, tag)
        etag = etag_of(component)
        saved = component.events.filter(tag=event.replace("\x00", "")).first()
        if saved is None:
            raise NotFound(f"{self.kind.name} {tag!r} has no event {event[:120]!r}", code="event_not_found")
        return self.event_answer(saved, etag)

    @transaction.atomic
    def put(self, request: Request, product: str, tag: str, event: str) -> Response:
        """The event as a whole: a new one, or in place of the one that is there. `tag` may be left out."""
        found, component, given = self.written(request, product, tag)
        self.unchanged(request, component)
        if given.get("tag", event) != event:
            raise Invalid.field("tag", "is another than in the address: make a new event")
        return self.stored_event(request, found, component, {**given, "tag": event})

    @transaction.atomic
    def delete(self, request: Request, product: str, tag: str, event: str) -> Response:
        """Remove the event; 409 where unfinished jobs need it, which fail with `force`."""
        found, force = writable(request, product, lock=True), force_of(request)
        component = self.found(found, tag)
        self.unchanged(request, component)
        event = event.replace("\x00", "")
        if not component.events.filter(tag=event).exists():
            raise NotFound(f"{self.kind.name} {tag!r} has no event {event[:120]!r}", code="event_not_found")
        editing.remove_part(component, actor=principal_of(request).name, event=event, force=force)
        return Response(status=204)


class CheckView(OfAKind):
    """Whether a component can be reached."""

    required_scope = scopes.CATALOG_WRITE  # it connects with the component's credentials

    def get(self, request: Request, product: str, tag: str) -> Response:
        """Tries the connection for real, at most 10 s, and says in a sentence what came of it."""
        principal = principal_of(request)
        slug = parameters(request.query_params, {"env"}).get("env", "").replace("\x00", "")
        found = visible_product(principal, product)
        component = self.found(found, tag)
        if not slug:
            raise Invalid.field("env", "is required: the environment's slug", code="required")
        environment: Environment | None = visible_environments(principal).filter(product=found, slug=slug).first()
        if environment is None:
            raise NotFound(f"product {found.tag!r} has no environment {slug[:60]!r}", code="env_not_found")
        return Response(asdict(check_connection(component, environment)))


_PROBLEMS = {409: ref("Problem"), **CHANGED}
_BODY: dict[str, Any] = {"request": {"application/json": OBJECT}}
# (view, method) → the name of the operation, its summary, what else the schema says. {} is the kind's name.
OPERATIONS: dict[type[OfAKind], dict[str, tuple[str, str, dict[str, Any]]]] = {
    ComponentsView: {
        "get": ("{plural}_list", "List {plural}", {"responses": {200: OBJECT, 409: ref("Problem")}}),
        "post": (
            "{plural}_create",
            "Create a {name}",
            {**_BODY, "parameters": [ETAG], "responses": {201: OBJECT, 409: ref("Problem")}},
        ),
    },
    ComponentView: {
        "get": (
            "{plural}_get",
            "Get a {name}",
            {"parameters": [ETAG], "responses": {200: OBJECT, 409: ref("Problem")}},
        ),
        "patch": (
            "{plural}_update",
            "Change a {name}",
            {**_BODY, "parameters": [FORCE, IF_MATCH, ETAG], "responses": {200: OBJECT, **_PROBLEMS}},
        ),
        "delete": (
            "{plural}_delete",
            "Delete a {name}",
            {"request": None, "parameters": [FORCE, IF_MATCH], "responses": {204: None, **_PROBLEMS}},
        ),
    },
    ConnectionView: {
        "put": (
            "{plural}_connect",
            "Connect a {name} in an environment",
            {**_BODY, "parameters": [FORCE, IF_MATCH, ETAG], "responses": {200: OBJECT, **_PROBLEMS}},
        ),
        "delete": (
            "{plural}_disconnect",
            "Disconnect a {name} in an environment",
            {"request": None, "parameters": [FORCE, IF_MATCH], "responses": {204: None, **_PROBLEMS}},
        ),
    },
    EventsView: {
        "get": (
            "{name}_events_list",
            "List the events of a {name}",
            {"parameters": [ETAG], "responses": {200: OBJECT, 409: ref("Problem")}},
        ),
        "post": (
            "{name}_events_create",
            "Create an event of a {name}",
            {**_BODY, "parameters": [IF_MATCH, ETAG], "responses": {201: OBJECT, **_PROBLEMS}},
        ),
    },
    EventView: {
        "get": (
            "{name}_events_get",
            "Get an event of a {name}",
            {"parameters": [ETAG], "responses": {200: OBJECT, 409: ref("Problem")}},
        ),
        "put": (
            "{name}_events_store",
            "Store an event of a {name}",
            {**_BODY, "parameters": [IF_MATCH, ETAG], "responses": {200: OBJECT, **_PROBLEMS}},
        ),
        "delete": (
            "{name}_events_delete",
            "Delete an event of a {name}",
            {"request": None, "parameters": [FORCE, IF_MATCH], "responses": {204: None, **_PROBLEMS}},
        ),
    },
    CheckView: {
        "get": (
            "{plural}_check",
            "Check the connection of a {name}",
            {
                "parameters": [OpenApiParameter("env", str, required=True, description="the environment's slug")],
                "responses": {200: _CHECK, 409: ref("Problem")},
            },
        ),
    },
}


def _own(method: Callable[..., Response]) -> Callable[..., Response]:
    """The method again: what describes it is kept on it, and each kind describes it in its own words."""

    @wraps(method)
    def same(*args: Any, **kwargs: Any) -> Response:
        return method(*args, **kwargs)

    return same


def of_kind(view: type[OfAKind], kind: Kind) -> type[OfAKind]:
    """The view for one kind, each of its operations described under a name of its own."""
    members: dict[str, Any] = {"kind": kind, "__doc__": view.__doc__, "__module__": view.__module__}
    for method, (operation_id, summary, schema) in OPERATIONS[view].items():
        names = {"plural": kind.plural, "name": kind.name}
        described = extend_schema(
            operation_id=operation_id.format(**names), summary=summary.format(**names), tags=["catalog"], **schema
        )
        members[method] = described(_own(getattr(view, method)))
    return type(f"{kind.name.title()}{view.__name__}", (view,), members)
