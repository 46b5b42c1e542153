"""Session configurations over HTTP, and the sessions themselves: start, verify, revoke.

A token goes out once, to who started it; data goes out only to who holds the token and may read the catalog.
"""

from __future__ import annotations

from typing import Any

from django.db import transaction
from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from core.errors import Invalid
from core.fields import reject_unknown
from core.openapi import ANY_OBJECT, FLAG, TEXT, TIME, Schema, list_of, nullable, obj, one_of, ref
from core.tenancy import scopes
from core.tenancy.auth import principal_of
from core.tenancy.models import Product
from core.tenancy.parsing import body_of
from core.tenancy.visibility import Place, find_place, visible_environments, visible_product
from core.times import to_ms
from executors.catalog.api import declared
from executors.catalog.api.declared import PROBLEMS
from executors.catalog.api.writing import ETAG, FORCE, IF_MATCH, READ_WRITE, readable
from executors.catalog.declarations import LONGEST_DESCRIPTION, PERIOD_ALIASES, PERIODS, SESSIONS
from executors.catalog.models import SessionConfig
from executors.sessions import lifecycle, tokens
from executors.sessions.counting import Refused

_EXPIRY: Schema = {"type": "integer", "minimum": 1}
_SELECTOR: Schema = {"type": "string", "description": "what in its data says whose a session is: `$Session{id}`"}
_SAMPLE: Schema = {**ANY_OBJECT, "description": "a sample of a session's data"}
_OF_ALL: dict[str, Schema] = {"name": TEXT, "description": {"type": "string", "maxLength": LONGEST_DESCRIPTION}}
_CONFIG = obj(
    {"tag": TEXT, "name": TEXT, "selector": _SELECTOR, "expiry": _EXPIRY, "period": one_of(*PERIODS)},
    {"description": TEXT, "schema": _SAMPLE},
)
_PERIOD = one_of(*PERIODS, *PERIOD_ALIASES)
_NEW = obj(
    {"tag": TEXT, "selector": _SELECTOR, "expiry": _EXPIRY, "period": _PERIOD},
    {name: nullable(schema) for name, schema in {**_OF_ALL, "schema": _SAMPLE}.items()},
)
_CHANGES = obj({}, {**_NEW["properties"]})
_ENV: Schema = {**TEXT, "description": "may be left out where the key allows just one"}
_START = obj({"data": {**ANY_OBJECT, "description": "what `$Session{…}` stands for"}}, {"env": _ENV})
_STARTED = obj({"token": TEXT, "session_id": TEXT, "expires_at": TIME})
_VERIFY = obj({"token": TEXT})
_VERIFIED = obj(
    {"valid": FLAG},
    {"data": ANY_OBJECT, "session_id": TEXT, "expires_at": TIME, "detail": {**TEXT, "description": "why it is not"}},
)
_REVOKE = obj(
    {},
    {
        "token": TEXT,
        "session_id": TEXT,
        "identifier": {"type": ["string", "number"], "description": "what the selector finds: all of its sessions"},
        "env": {**_ENV, "description": "with session_id and identifier; may be left out where the key allows just one"},
    },
)
_REVOKED = obj({"revoked": FLAG}, {"session_id": TEXT})


class SessionsView(APIView):
    """The session configurations of a product."""

    required_scope = READ_WRITE

    @extend_schema(
        operation_id="sessions_list",
        summary="List session configurations",
        tags=["catalog"],
        responses={200: obj({"sessions": list_of(_CONFIG)})},
    )
    def get(self, request: Request, product: str) -> Response:
        return Response(declared.listed(request, product, SESSIONS))

    @extend_schema(
        operation_id="sessions_create",
        summary="Create a session configuration",
        tags=["catalog"],
        request={"application/json": _NEW},
        parameters=[ETAG],
        responses={201: _CONFIG, 409: ref("Problem")},
    )
    def post(self, request: Request, product: str) -> Response:
        """A new one, written as in the catalog document; 409 where there is one of its tag."""
        return declared.answer(declared.create(request, product, SESSIONS), status=201)


class SessionView(APIView):
    """One session configuration."""

    required_scope = READ_WRITE

    @extend_schema(
        operation_id="sessions_get",
        summary="Get a session configuration",
        tags=["catalog"],
        parameters=[ETAG],
        responses={200: _CONFIG},
    )
    def get(self, request: Request, product: str, tag: str) -> Response:
        return declared.answer(declared.one(readable(request, product), SESSIONS, tag))

    @extend_schema(
        operation_id="sessions_update",
        summary="Change a session configuration",
        tags=["catalog"],
        request={"application/json": _CHANGES},
        parameters=[IF_MATCH, ETAG],
        responses={200: _CONFIG, **PROBLEMS},
    )
    def patch(self, request: Request, product: str, tag: str) -> Response:
        """Change the fields that are given; `null` takes one away. Sessions that were started keep their expiry."""
        with transaction.atomic():
            return declared.answer(declared.change(request, product, SESSIONS, tag))

    @extend_schema(
        operation_id="sessions_delete",
        summary="Delete a session configuration",
        tags=["catalog"],
        request=None,
        parameters=[FORCE, IF_MATCH],
        responses={204: None, **PROBLEMS},
    )
    def delete(self, request: Request, product: str, tag: str) -> Response:
        """Remove it, which ends its sessions; 409 where unfinished jobs have one, which fail with `force`."""
        with transaction.atomic():
            declared.remove(request, product, SESSIONS, tag)
        return Response(status=204)


class StartView(APIView):
    """New sessions."""

    required_scope = scopes.CATALOG_WRITE

    @extend_schema(
        operation_id="sessions_start",
        summary="Start a session",
        tags=["catalog"],
        request={"application/json": _START},
        responses={201: _STARTED},
    )
    def post(self, request: Request, product: str, tag: str) -> Response:
        """The token, `tag:jwt`, is told here and never again. What it holds is sealed: its bearer cannot read it."""
        found, config, body = _asked(request, product, tag, {"env", "data"})
        if body.get("data") is None:
            raise Invalid.field("data", "is required: what `$Session{…}` is to stand for", code="required")
        place = _place(request, found, body)
        with transaction.atomic():
            held, token = lifecycle.start(config, place, body["data"], actor=principal_of(request).name)
        answer = {"token": token, "session_id": held.session_id, "expires_at": to_ms(held.expires_at)}
        return Response(answer, status=201, headers={"Cache-Control": "no-store"})


class VerifyView(APIView):
    """Whether a session counts."""

    required_scope = scopes.CATALOG_READ

    @extend_schema(
        operation_id="sessions_verify",
        summary="Verify a session",
        tags=["catalog"],
        request={"application/json": _VERIFY},
        responses={200: _VERIFIED},
    )
    def post(self, request: Request, product: str, tag: str) -> Response:
        """What the session of a token holds, or why it counts no more."""
        found, config, body = _asked(request, product, tag, {"token"})
        text = _text(body, "token")
        try:
            held = lifecycle.verified(config, _place_of_token(request, found, text), text)
        except Refused as error:
            return Response({"valid": False, "detail": f"the session {error}"})
        answer = {
            "valid": True, "data": held.data, "session_id": held.session_id, "expires_at": to_ms(held.expires_at)
        }  # fmt: skip
        return Response(answer, headers={"Cache-Control": "no-store"})


class RevokeView(APIView):
    """The end of sessions before their time."""

    required_scope = scopes.CATALOG_WRITE

    @extend_schema(
        operation_id="sessions_revoke",
        summary="Revoke sessions",
        tags=["catalog"],
        request={"application/json": _REVOKE},
        responses={200: _REVOKED},
    )
    def post(self, request: Request, product: str, tag: str) -> Response:
        """One session, by its token or its id; or all that were started for an identifier until now."""
        found, config, body = _asked(request, product, tag, {"token", "session_id", "identifier", "env"})
        named = [name for name in ("token", "session_id", "identifier") if body.get(name) is not None]
        if len(named) != 1:
            raise Invalid.field("token", "give exactly one of token, session_id and identifier")
        with transaction.atomic():
            return Response({"revoked": True, **self._revoke(request, found, config, body)})

    def _revoke(
        self, request: Request, product: Product, config: SessionConfig, body: dict[str, Any]
    ) -> dict[str, str]:
        """What is told of it. Raises Invalid, NotFound."""
        actor = principal_of(request).name
        if body.get("token") is not None:
            text = _text(body, "token")
            try:
                place = _place_of_token(request, product, text)
                return {"session_id": lifecycle.revoke_token(config, place, text, actor=actor).session_id}
            except Refused as error:
                raise Invalid.field("token", f"the session {error}", code="session_invalid") from None
        place = _place(request, product, body)
        if body.get("session_id") is not None:
            session_id = _session_id(body)
            lifecycle.revoke(config, place, session_id=session_id, actor=actor)
            return {"session_id": session_id}
        identifier = lifecycle.identifier_text(body["identifier"])
        if not identifier:
            told = f"must be text or a number, at most {lifecycle.LONGEST_IDENTIFIER} characters"
            raise Invalid.field("identifier", told)
        lifecycle.revoke(config, place, identifier=identifier, actor=actor)
        return {}


def _asked(request: Request, product: str, tag: str, known: set[str]) -> tuple[Product, SessionConfig, dict[str, Any]]:
    """The product, which configuration, and the body. Raises Invalid, NotFound."""
    found = visible_product(principal_of(request), product)
    body = body_of(request)
    reject_unknown(body, known)
    return found, lifecycle.find(found.pk, found.tag, tag), body


def _place(request: Request, product: Product, body: dict[str, Any]) -> Place:
    """The environment that the body names. Raises Invalid, NotFound."""
    env = body.get("env")
    if env is not None and not isinstance(env, str):
        raise Invalid.field("env", "must be text: the environment's slug")
    return find_place(principal_of(request), product.tag, env)


def _place_of_token(request: Request, product: Product, text: str) -> Place:
    """The environment that a token says it is for, if this key sees it; whether it is so is verified after.

    Raises Refused.
    """
    slug = tokens.audience(text.rpartition(":")[2])
    seen = visible_environments(principal_of(request)).filter(product=product, slug=slug)
    environment = seen.first() if "\x00" not in slug else None
    if environment is None:
        raise Refused(f"is of no environment of product {product.tag!r}, at least not of one that this key sees")
    return Place(
        product_id=product.pk, product=product.tag, environment_id=environment.pk, env=environment.slug
    )  # fmt: skip


def _text(body: dict[str, Any], name: str) -> str:
    value = body.get(name)
    if not isinstance(value, str) or not value:
        code = "required" if value is None else "invalid"
        raise Invalid.field(name, "is required: as `start` returned it, text", code=code)
    return value


def _session_id(body: dict[str, Any]) -> str:
    value = _text(body, "session_id")
    if len(value) > 40 or not value.startswith("ses_"):
        raise Invalid.field("session_id", "is no id of a session: `start` returns it, ses_…")
    return value
