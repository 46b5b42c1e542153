"""Endpoints made, changed, removed; their secrets given anew. One at a time (`webhooks.listening`)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from django.conf import settings
from django.db.models import QuerySet

from core.clock import database_now
from core.errors import Conflict, Invalid
from core.tenancy import audit
from core.tenancy.auth import Principal
from webhooks import listening, secrets, signing
from webhooks.models import Endpoint
from webhooks.operations import fields, removal
from webhooks.operations.fields import Given, Scope
from webhooks.queries import find_endpoint
from webhooks.states import ALL_EVENTS

_PLAIN = ("url", "events", "env", "namespaces", "labels", "description")
_WRITTEN = (*_PLAIN, "environment_ids", "secret", "old_secret", "old_secret_until", "updated_at")
# What settling writes too: untouched by a change that leaves its URL and whether it is on.
_HEALTH = (
    "enabled", "disabled_at", "disabled_reason", "failing_since", "consecutive_failures", "rest_until", "rests",
)  # fmt: skip


@dataclass(frozen=True, kw_only=True, slots=True)
class Shown:
    """An endpoint, and its secret where this is the one answer that shows it."""

    endpoint: Endpoint
    secret: str | None = None
    made: bool = False


def create(principal: Principal, body: Mapping[str, Any]) -> Shown:
    """Make one. Raises Invalid, NotFound, Conflict (`too_many_webhooks`)."""
    given = fields.read(body, fields.NEW, required=("url", "events"))
    scope = fields.scope_of(principal, body.get("product"), given.env)
    with listening.changing():
        return _make(principal, given, scope)


def set_by_url(principal: Principal, body: Mapping[str, Any]) -> Shown:
    """The documents' `setWebhook`: the endpoint of that URL, product and environment is made, or changed to this.

    What is left out is as it was; another secret than it has replaces that one. One that the system had disabled is
    told again: who sets it says that the address is right. Raises as `create` and `change`.
    """
    given = fields.read(body, fields.OF_SET, required=("url",))
    scope = fields.scope_of(principal, body.get("product"), given.env)
    with listening.changing():
        there = _of_scope(scope).exclude(disabled_reason=removal.REASON)
        same = there.filter(url=given.url, env=given.env or "").order_by("pk")
        found = next((each for each in same if each.environment_ids == scope.environment_ids), None)
        if found is None:
            return _make(principal, given, scope)
        return _change(principal, found, replace(given, enabled=True) if found.disabled_reason else given)


def change(principal: Principal, id: str, body: Mapping[str, Any]) -> Shown:
    """Change what the body names. A secret replaces the one before, which signs too for a day.

    Raises Invalid, NotFound, Conflict (`too_many_rotations`).
    """
    given = fields.read(body, fields.CHANGES)
    if given == Given():
        raise Invalid(f"give one of {', '.join(fields.CHANGES)}", code="nothing_to_change")
    with listening.changing():
        endpoint = find_endpoint(principal, id)
        if given.env not in {None, endpoint.env} and endpoint.product is not None:
            scope = fields.scope_of(principal, endpoint.product.tag, given.env)
            endpoint.environment_ids = scope.environment_ids
        return _change(principal, endpoint, given)


def delete(principal: Principal, id: str) -> None:
    """It is told nothing more; its deliveries are gone with it. Raises NotFound."""
    removal.remove(find_endpoint(principal, id), actor=principal.name)


def rotate(principal: Principal, id: str, secret: str | None) -> Shown:
    """Another secret (given, canonical, or made): the one before signs too for a day. The one it has changes nothing.

    Raises NotFound, Conflict (`too_many_rotations`).
    """
    with listening.changing():
        endpoint = find_endpoint(principal, id)
        fresh = secret or signing.new_secret()
        if _replace(endpoint, fresh):
            endpoint.updated_at = database_now()
            endpoint.save(update_fields=["secret", "old_secret", "old_secret_until", "updated_at"])
            audit.record(principal.name, "webhook.secret_rotated", _named(endpoint))
    return Shown(endpoint=endpoint, secret=fresh)


def _make(principal: Principal, given: Given, scope: Scope) -> Shown:
    most = settings.WEBHOOKS_PER_PRODUCT
    if _of_scope(scope).count() >= most:
        who = f"product {scope.product.tag!r} has" if scope.product is not None else "all products together have"
        detail = f"{who} {most} webhooks already, the most there may be: delete one, or change one that is there"
        raise Conflict(detail, code="too_many_webhooks")
    now = database_now()
    secret = given.secret or signing.new_secret()
    enabled = given.enabled is not False
    endpoint = Endpoint(
        url=given.url or "",
        events=given.events or [ALL_EVENTS],
        product=scope.product,
        environment_ids=scope.environment_ids,
        env=given.env or "",
        namespaces=given.namespaces or [],
        labels=given.labels or {},
        description=given.description or "",
        enabled=enabled,
        disabled_at=None if enabled else now,
        actor=principal.name,
        created_at=now,
        updated_at=now,
    )
    secrets.set_secret(endpoint, secret)
    endpoint.save(force_insert=True)
    audit.record(principal.name, "webhook.made", _named(endpoint), {"events": endpoint.events})
    return Shown(endpoint=endpoint, secret=secret, made=True)


def _change(principal: Principal, endpoint: Endpoint, given: Given) -> Shown:
    now = database_now()
    changed = [name for name in _PLAIN if getattr(given, name) not in (None, getattr(endpoint, name))]
    for name in changed:
        setattr(endpoint, name, getattr(given, name))
    if given.secret is not None and _replace(endpoint, given.secret):
        changed.append("secret")
    turned_off = given.enabled is False and bool(endpoint.disabled_reason)  # by a person now: it stays off
    if turned_off or given.enabled not in (None, endpoint.enabled):
        changed.append("enabled")
        _enable(endpoint, bool(given.enabled))
    if "url" in changed:
        _forget_failures(endpoint)
    endpoint.updated_at = now
    endpoint.save(update_fields=[*_WRITTEN, *(_HEALTH if {"enabled", "url"} & {*changed} else ())])
    if changed:
        audit.record(principal.name, "webhook.changed", _named(endpoint), {"fields": sorted(changed)})
    return Shown(endpoint=endpoint)


def _replace(endpoint: Endpoint, canonical: str) -> bool:
    """Whether it was another secret than the endpoint has. Raises Conflict."""
    try:
        return secrets.replace_secret(endpoint, canonical, now=database_now())
    except secrets.TooManySecrets as error:
        raise Conflict(f"the secret was replaced too often in a day: {error}", code="too_many_rotations") from None


def _enable(endpoint: Endpoint, enabled: bool) -> None:
    """Turn it on, with all it failed at forgotten; or off: what waits is then given up (`webhooks.disabling`)."""
    now = database_now()
    endpoint.enabled = enabled
    endpoint.disabled_at = None if enabled else now
    endpoint.disabled_reason = ""
    if enabled:
        _forget_failures(endpoint)


def _forget_failures(endpoint: Endpoint) -> None:
    """What another address failed at, or was mended since, says nothing of the next attempt."""
    endpoint.failing_since, endpoint.consecutive_failures = None, 0
    endpoint.rest_until, endpoint.rests = None, 0


def _of_scope(scope: Scope) -> QuerySet[Endpoint]:
    return Endpoint.objects.filter(product=scope.product)


def _named(endpoint: Endpoint) -> str:
    """As the audit trail tells it; never with the query, which may hold a token."""
    return f"{endpoint} {endpoint.url.partition('?')[0]}"
