"""Apps and secrets over HTTP, one at a time: each call is a small catalog document, checked and stored as such.

Owns the paths and the shape of answers. What may be written, and who writes it, is
`executors.catalog.editing`'s; secrets go in and never come out.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from core.errors import Conflict, FieldError, Invalid, NotFound
from core.fields import nearest, parameters
from core.openapi import ref
from core.tenancy import scopes
from core.tenancy.auth import principal_of
from core.tenancy.models import Environment, Product
from core.tenancy.parsing import body_of
from core.tenancy.visibility import visible_environments, visible_product
from executors.catalog import document, editing
from executors.catalog.api.views import check_may_write, flag
from executors.catalog.check import check_connection
from executors.catalog.models import Component

_OBJECT = {"type": "object", "additionalProperties": True}
_FORCE = OpenApiParameter("force", bool, description="also where unfinished jobs need it")
_READ_WRITE = {
    "GET": scopes.CATALOG_READ,
    "POST": scopes.CATALOG_WRITE,
    "PUT": scopes.CATALOG_WRITE,
    "PATCH": scopes.CATALOG_WRITE,
    "DELETE": scopes.CATALOG_WRITE,
}
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


class AppsView(APIView):
    """The apps of a product."""

    required_scope = _READ_WRITE

    @extend_schema(
        operation_id="apps_list", summary="List apps", tags=["catalog"], responses={200: _OBJECT, 409: ref("Problem")}
    )
    def get(self, request: Request, product: str) -> Response:
        """Every app with its connections and events, secrets as `{"set": true}`."""
        return Response({"apps": _apps(request, visible_product(principal_of(request), product))})

    @extend_schema(
        operation_id="apps_create",
        summary="Create an app",
        tags=["catalog"],
        request={"application/json": _OBJECT},
        responses={201: _OBJECT, 409: ref("Problem")},
    )
    def post(self, request: Request, product: str) -> Response:
        """A new app, written as in the catalog document; 409 where there is one of its tag."""
        found, entry = _writable(request, product), body_of(request)
        tag = entry.get("tag")
        if isinstance(tag, str) and found.components.filter(kind="app", tag=tag.replace("\x00", "")).exists():
            raise Conflict(
                f"product {found.tag!r} has an app {tag[:120]!r} already: change it with PATCH", code="exists"
            )
        _store(request, found, {"apps": [entry]}, "apps.0")
        return Response(_app(request, found, str(tag)), status=201)


class AppView(APIView):
    """One app."""

    required_scope = _READ_WRITE

    @extend_schema(
        operation_id="apps_get", summary="Get an app", tags=["catalog"], responses={200: _OBJECT, 409: ref("Problem")}
    )
    def get(self, request: Request, product: str, tag: str) -> Response:
        return Response(_app(request, visible_product(principal_of(request), product), tag))

    @extend_schema(
        operation_id="apps_update",
        summary="Change an app",
        tags=["catalog"],
        request={"application/json": _OBJECT},
        responses={200: _OBJECT, 409: ref("Problem")},
    )
    def patch(self, request: Request, product: str, tag: str) -> Response:
        """Change the fields that are given; `null` takes one away. Connections and events that are not named stay."""
        found = _writable(request, product)
        given = body_of(request)
        if given.get("tag", tag) != tag:
            raise Invalid.field("tag", "cannot be changed: make a new app")
        entry = {**editing.app_entry(_component(found, tag)), **given}
        _store(
            request, found, {"apps": [{name: value for name, value in entry.items() if value is not None}]}, "apps.0"
        )
        return Response(_app(request, found, tag))

    @extend_schema(
        operation_id="apps_delete",
        summary="Delete an app",
        tags=["catalog"],
        request=None,
        parameters=[_FORCE],
        responses={204: None, 409: ref("Problem")},
    )
    def delete(self, request: Request, product: str, tag: str) -> Response:
        """Remove the app, its connections and its events; 409 where unfinished jobs need it, which fail with `force`."""
        found, force = _writable(request, product), _force(request)
        editing.remove_part(found, actor=principal_of(request).name, app=_component(found, tag).tag, force=force)
        return Response(status=204)


class ConnectionView(APIView):
    """How an app is reached in one environment."""

    required_scope = _READ_WRITE

    @extend_schema(
        operation_id="apps_connect",
        summary="Connect an app in an environment",
        tags=["catalog"],
        request={"application/json": _OBJECT},
        responses={200: _OBJECT, 409: ref("Problem")},
    )
    def put(self, request: Request, product: str, tag: str, env: str) -> Response:
        """Base URL, credentials (write-only) and what else holds in this environment, as a whole."""
        found = _writable(request, product)
        entry = editing.app_entry(_component(found, tag))
        if not found.environments.filter(slug=env.replace("\x00", "")).exists():
            raise NotFound(f"product {found.tag!r} has no environment {env[:60]!r}", code="env_not_found")
        _store(request, found, {"apps": [{**entry, "envs": {env: body_of(request)}}]}, f"apps.0.envs.{env}")
        return Response(_app(request, found, tag)["envs"][env])

    @extend_schema(
        operation_id="apps_disconnect",
        summary="Disconnect an app in an environment",
        tags=["catalog"],
        request=None,
        parameters=[_FORCE],
        responses={204: None, 409: ref("Problem")},
    )
    def delete(self, request: Request, product: str, tag: str, env: str) -> Response:
        """Remove the connection; 409 where unfinished jobs need it, which fail with `force`."""
        found, force = _writable(request, product), _force(request)
        if env not in _app(request, found, tag)["envs"]:
            raise NotFound(f"app {tag!r} has no connection in environment {env[:60]!r}", code="connection_not_found")
        editing.remove_part(found, actor=principal_of(request).name, app=tag, env=env, force=force)
        return Response(status=204)


class EventsView(APIView):
    """The events (actions) of an app."""

    required_scope = _READ_WRITE

    @extend_schema(
        operation_id="app_events_list",
        summary="List the events of an app",
        tags=["catalog"],
        responses={200: _OBJECT, 409: ref("Problem")},
    )
    def get(self, request: Request, product: str, tag: str) -> Response:
        found = visible_product(principal_of(request), product)
        return Response({"events": _app(request, found, tag)["events"]})

    @extend_schema(
        operation_id="app_events_create",
        summary="Create an event",
        tags=["catalog"],
        request={"application/json": _OBJECT},
        responses={201: _OBJECT, 409: ref("Problem")},
    )
    def post(self, request: Request, product: str, tag: str) -> Response:
        """A new event, written as in the catalog document; 409 where the app has one of its tag."""
        found, event = _writable(request, product), body_of(request)
        component, name = _component(found, tag), event.get("tag")
        if isinstance(name, str) and component.events.filter(tag=name.replace("\x00", "")).exists():
            raise Conflict(f"app {tag!r} has an event {name[:120]!r} already: change it with PUT", code="exists")
        return Response(_stored_event(request, found, component, event), status=201)


class EventView(APIView):
    """One event of an app."""

    required_scope = _READ_WRITE

    @extend_schema(
        operation_id="app_events_store",
        summary="Store an event",
        tags=["catalog"],
        request={"application/json": _OBJECT},
        responses={200: _OBJECT, 409: ref("Problem")},
    )
    def put(self, request: Request, product: str, tag: str, event: str) -> Response:
        """The event as a whole: a new one, or in place of the one that is there. `tag` may be left out."""
        found, given = _writable(request, product), body_of(request)
        component = _component(found, tag)
        if given.get("tag", event) != event:
            raise Invalid.field("tag", "is another than in the address: make a new event")
        return Response(_stored_event(request, found, component, {**given, "tag": event}))

    @extend_schema(
        operation_id="app_events_delete",
        summary="Delete an event",
        tags=["catalog"],
        request=None,
        parameters=[_FORCE],
        responses={204: None, 409: ref("Problem")},
    )
    def delete(self, request: Request, product: str, tag: str, event: str) -> Response:
        """Remove the event; 409 where unfinished jobs need it, which fail with `force`."""
        found, force = _writable(request, product), _force(request)
        if not _component(found, tag).events.filter(tag=event.replace("\x00", "")).exists():
            raise NotFound(f"app {tag!r} has no event {event[:120]!r}", code="event_not_found")
        editing.remove_part(found, actor=principal_of(request).name, app=tag, event=event, force=force)
        return Response(status=204)


class CheckView(APIView):
    """Whether an app can be reached."""

    required_scope = scopes.CATALOG_WRITE  # it sends a request with the app's credentials

    @extend_schema(
        operation_id="apps_check",
        summary="Check the connection of an app",
        tags=["catalog"],
        parameters=[OpenApiParameter("env", str, required=True, description="the environment's slug")],
        responses={200: _CHECK, 409: ref("Problem")},
    )
    def get(self, request: Request, product: str, tag: str) -> Response:
        """One GET to the base URL with the app's headers and login; says what failed."""
        principal = principal_of(request)
        slug = parameters(request.query_params, {"env"}).get("env", "").replace("\x00", "")
        found = visible_product(principal, product)
        component = _component(found, tag)
        if not slug:
            raise Invalid.field("env", "is required: the environment's slug", code="required")
        environment: Environment | None = visible_environments(principal).filter(product=found, slug=slug).first()
        if environment is None:
            raise NotFound(f"product {found.tag!r} has no environment {slug[:60]!r}", code="env_not_found")
        return Response(asdict(check_connection(component, environment)))


class SecretsView(APIView):
    """The secrets of a product: which are set, never what they are."""

    required_scope = _READ_WRITE

    @extend_schema(
        operation_id="secrets_list",
        summary="List secrets",
        tags=["catalog"],
        responses={200: _OBJECT, 409: ref("Problem")},
    )
    def get(self, request: Request, product: str) -> Response:
        principal = principal_of(request)
        found = visible_product(principal, product)
        return Response({"secrets": document.export(found, environment_ids=principal.environment_ids)["secrets"]})

    @extend_schema(
        operation_id="secrets_store",
        summary="Store a secret",
        tags=["catalog"],
        request={"application/json": _OBJECT},
        responses={200: _OBJECT, 409: ref("Problem")},
    )
    def post(self, request: Request, product: str) -> Response:
        """`{key, value}` for all environments, `{key, envs: {slug: value}}` for some; others of the key stay."""
        found, entry = _writable(request, product), body_of(request)
        _store(request, found, {"secrets": [entry]}, "secrets.0")
        stored = document.export(found)["secrets"]
        return Response(next(shown for shown in stored if shown["key"] == entry["key"]))


class SecretView(APIView):
    """One secret."""

    required_scope = _READ_WRITE

    @extend_schema(
        operation_id="secrets_delete",
        summary="Delete a secret",
        tags=["catalog"],
        request=None,
        parameters=[OpenApiParameter("env", str, description="only the value for this environment")],
        responses={204: None, 409: ref("Problem")},
    )
    def delete(self, request: Request, product: str, secret: str) -> Response:
        """Remove a secret's value for one environment (`env`), or the one for all."""
        found = _writable(request, product)
        env = parameters(request.query_params, {"env"}).get("env")
        secrets = {shown["key"]: shown for shown in document.export(found)["secrets"]}
        held = secrets.get(secret, {})
        if (env is None and "value" not in held) or (env is not None and env not in held.get("envs", {})):
            where = "for all environments" if env is None else f"in environment {env[:60]!r}"
            raise NotFound(f"the secret {secret[:120]!r} has no value {where}", code="secret_not_found")
        editing.remove_secret(found, secret, env, actor=principal_of(request).name)
        return Response(status=204)


def _writable(request: Request, tag: str) -> Product:
    """The product, if this key may write its catalog. Raises NotFound, Forbidden."""
    principal = principal_of(request)
    found = visible_product(principal, tag)
    check_may_write(principal, found.tag)
    return found


def _force(request: Request) -> bool:
    return flag(parameters(request.query_params, {"force"}), "force")


def _component(product: Product, tag: str) -> Component:
    component = product.components.filter(kind="app", tag=tag).first() if "\x00" not in tag else None
    if component is None:
        tags = product.components.filter(kind="app").values_list("tag", flat=True)
        meant = nearest(tag, list(tags[:500]))
        detail = f"product {product.tag!r} has no app {tag[:120]!r}" + (f": did you mean {meant!r}?" if meant else "")
        raise NotFound(detail, code="app_not_found")
    return component


def _apps(request: Request, product: Product) -> list[dict[str, Any]]:
    listed: list[dict[str, Any]] = document.export(product, environment_ids=principal_of(request).environment_ids)[
        "apps"
    ]
    return listed


def _app(request: Request, product: Product, tag: str) -> dict[str, Any]:
    _component(product, tag)
    return next(entry for entry in _apps(request, product) if entry["tag"] == tag)


def _stored_event(request: Request, product: Product, component: Component, event: dict[str, Any]) -> dict[str, Any]:
    """Store the event, and answer it as it reads then."""
    entry = editing.app_entry(component)
    _store(request, product, {"apps": [{**entry, "events": [event]}]}, "apps.0.events.0")
    return editing.event_entry(component.events.get(tag=event["tag"]))


def _store(request: Request, product: Product, part: Mapping[str, Any], prefix: str) -> None:
    """Store it; problems are told at the fields of the body that was sent."""
    try:
        editing.store_part(product.tag, part, actor=principal_of(request).name)
    except Invalid as error:
        problems = [
            FieldError(problem.field.removeprefix(f"{prefix}.").removeprefix(prefix), problem.code, problem.detail)
            for problem in error.errors
        ]
        detail = f"{problems[0].field}: {problems[0].detail}".removeprefix(": ") if problems else error.detail
        raise Invalid(detail, errors=problems) from None
