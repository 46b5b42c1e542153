"""From a target's names to what is needed to check it, and, in the worker, to run it.

Owns the reading side of the catalog: what is missing is told here, with the way out. At dispatch
nothing secret is opened (`find_action`); the worker opens (`open_action`). Answers are immutable,
and may be kept for a few seconds.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any
from urllib.parse import quote

from django.db.models import Q
from jsonschema import Draft202012Validator
from referencing import Registry

from core import crypto
from core.errors import ApiError, Conflict, FieldError, NotFound
from core.fields import nearest
from core.shortcache import ShortCache
from core.tenancy.models import Environment
from executors.catalog.models import Component, Connection, SavedEvent, Secret
from executors.expressions import open_secrets, secret_keys

TARGETS_KEPT_SECONDS = 1.0
PATH_PARAMETER = re.compile(r"(?<=[/.,\-]):([A-Za-z_][A-Za-z0-9_]*)")
_SHORTEST_REDACTED = 4  # characters; a shorter secret is in every text by chance


class Unreadable(Conflict):
    """A sealed value of the catalog does not open with the keys of this installation."""

    title = "A stored secret cannot be read"


@dataclass(frozen=True, kw_only=True, slots=True)
class ActionTarget:
    """An action as dispatch needs it: enough to check an input, and nothing secret."""

    app: str
    event: str
    method: str
    request_type: str
    path_parameters: tuple[str, ...]
    body: Draft202012Validator | None


@dataclass(frozen=True, kw_only=True, slots=True)
class OpenedAction:
    """An action as the worker sends it, secrets opened. Its repr shows none."""

    app: str
    event: str
    method: str
    request_type: str
    url: str = field(repr=False)  # base URL and resource, with `:param`s
    headers: Mapping[str, str] = field(repr=False)
    query: tuple[tuple[str, str], ...] = field(repr=False)
    success: frozenset[int] | None  # None: any 2xx
    timeout: float | None  # seconds
    key_per_attempt: bool  # the Idempotency-Key changes with each attempt
    secrets: tuple[str, ...] = field(repr=False)  # values that no result and no error may show

    def redact(self, text: str) -> str:
        """The text without the secrets that were opened for this action."""
        for secret in self.secrets:
            if secret in text:
                text = text.replace(secret, "***")
        return text


def find_action(*, product_id: int, environment_id: int, app: str, event: str) -> ActionTarget:
    """What an input is checked against. Raises NotFound: the app, its connection, the action, a secret."""
    key = (product_id, environment_id, app, event)
    return _targets.get(key, lambda: _find_action(*key))


def open_action(*, product_id: int, environment_id: int, app: str, event: str) -> OpenedAction:
    """What is sent. Raises NotFound, as `find_action`, and Unreadable."""
    component, connection, saved = _rows(product_id, environment_id, app, event)
    layers = [component.settings, connection.settings, saved.settings]
    auth = _auth(component, connection)
    texts = [connection.settings["base_url"], *auth.values()]
    for layer in layers:
        texts += [*layer.get("headers", {}).values(), *layer.get("query", {}).values()]
    values = _secret_values(product_id, environment_id, {key for text in texts for key in secret_keys(text)})
    opened = partial(open_secrets, secret=values.__getitem__)

    headers: dict[str, str] = {}
    query: dict[str, str] = {}
    for layer in layers:
        for name, value in layer.get("headers", {}).items():
            headers[name.lower()] = opened(value)
        query.update({name: opened(value) for name, value in layer.get("query", {}).items()})
    hidden = list(values.values())
    match auth:
        case {"type": "bearer"}:
            token = opened(auth["token"])
            hidden.append(token)
            headers["authorization"] = f"Bearer {token}"
        case {"type": "basic"}:
            password = opened(auth["password"])
            pair = base64.b64encode(f"{opened(auth['username'])}:{password}".encode()).decode()
            hidden += [password, pair]
            headers["authorization"] = f"Basic {pair}"
        case {"type": "header"}:
            headers[auth["name"].lower()] = value = opened(auth["value"])
            hidden.append(value)
        case {"type": "query"}:
            query[auth["name"]] = value = opened(auth["value"])
            hidden.append(value)
    success = saved.settings.get("success")
    timeouts = [layer["timeout"] for layer in layers if "timeout" in layer]
    return OpenedAction(
        app=component.tag,
        event=saved.tag,
        method=saved.settings["method"],
        request_type=_latest(layers, "request_type", "json"),
        url=opened(connection.settings["base_url"]).rstrip("/") + saved.settings["resource"],
        headers=headers,
        query=tuple(query.items()),
        success=frozenset(success) if success else None,
        timeout=timeouts[-1] / 1000 if timeouts else None,
        key_per_attempt=_latest(layers, "idempotency", "run") == "attempt",
        secrets=_forms(hidden),
    )


def open_sealed(row: Component | Connection) -> dict[str, str]:
    """The secrets of a row by path (`auth.token`). Raises Unreadable."""
    if not row.secrets:
        return {}
    try:
        opened: dict[str, str] = json.loads(crypto.unseal(row.secrets, row.place))
    except crypto.CannotOpen as error:
        raise Unreadable(
            f"the secrets of {row} cannot be read: {error}. Set them again", code="secret_unreadable"
        ) from None
    return opened


def forget_targets() -> None:
    """Ask the database again, in this process: after a catalog changed."""
    _targets.forget()


def _find_action(product_id: int, environment_id: int, app: str, event: str) -> ActionTarget:
    component, connection, saved = _rows(product_id, environment_id, app, event)
    layers = [component.settings, connection.settings, saved.settings]
    auth = connection.settings.get("auth") or component.settings.get("auth", {})
    texts = [connection.settings["base_url"], *auth.values()]
    for layer in layers:
        texts += [*layer.get("headers", {}).values(), *layer.get("query", {}).values()]
    keys = {key for text in texts for key in secret_keys(text)}
    if keys:
        _known_secrets(product_id, environment_id, keys)
    body = saved.settings.get("body")
    return ActionTarget(
        app=component.tag,
        event=saved.tag,
        method=saved.settings["method"],
        request_type=_latest(layers, "request_type", "json"),
        path_parameters=tuple(dict.fromkeys(PATH_PARAMETER.findall(saved.settings["resource"]))),
        body=Draft202012Validator(body, registry=Registry()) if body is not None else None,  # it fetches nothing
    )


def _rows(product_id: int, environment_id: int, app: str, event: str) -> tuple[Component, Connection, SavedEvent]:
    apps = Component.objects.filter(product_id=product_id, kind="app")
    component = apps.filter(tag=app).first() if "\x00" not in app else None
    if component is None:
        names = _names(environment_id)
        raise _missing(
            "app", f"product {names[0]!r} has no app {app[:120]!r}", apps.values_list("tag", flat=True), names, app
        )
    event = event.removeprefix(f"{component.tag}:")
    saved = component.events.filter(tag=event).first() if "\x00" not in event else None
    if saved is None:
        names = _names(environment_id)
        detail = f"app {component.tag!r} of product {names[0]!r} has no event {event[:120]!r}"
        raise _missing("event", detail, component.events.values_list("tag", flat=True), names, event)
    connection = component.connections.filter(environment_id=environment_id).first()
    if connection is None:
        product, env = _names(environment_id)
        detail = (
            f"environment {env!r} of product {product!r} has no connection for app {component.tag!r}: "
            f"PUT /v1/products/{product}/catalog"
        )
        raise NotFound(detail, code="connection_not_found", errors=[FieldError("app", "not_found", detail)])
    connection.component = saved.component = component
    return component, connection, saved


def _missing(what: str, detail: str, tags: Any, names: tuple[str, str], given: str) -> ApiError:
    meant = nearest(given, list(tags[:500]))
    detail += f": did you mean {meant!r}?" if meant else f": add it with PUT /v1/products/{names[0]}/catalog"
    return NotFound(detail, code=f"{what}_not_found", errors=[FieldError(what, "not_found", detail)])


def _auth(component: Component, connection: Connection) -> dict[str, str]:
    """How to log in: as the environment says, else as the app does."""
    row: Component | Connection = connection if connection.settings.get("auth") else component
    auth: dict[str, str] = dict(row.settings.get("auth", {}))
    for path, value in open_sealed(row).items():
        group, _, name = path.partition(".")
        if group == "auth":
            auth[name] = value
    return auth


def _known_secrets(product_id: int, environment_id: int, keys: set[str]) -> list[Secret]:
    """The secrets of these keys that hold here, those of the environment last. Raises NotFound for a missing one."""
    here = Q(environment_id=environment_id) | Q(environment_id__isnull=True)
    found = sorted(
        Secret.objects.filter(here, product_id=product_id, key__in=keys), key=lambda secret: secret.environment_id or 0
    )
    missing = sorted(keys - {secret.key for secret in found})
    if missing:
        product, env = _names(environment_id)
        detail = (
            f"the secret {missing[0]!r} has no value in environment {env!r} of product {product!r}: "
            f"set it with PUT /v1/products/{product}/catalog"
        )
        raise NotFound(detail, code="secret_not_found", errors=[FieldError("app", "secret_not_found", detail)])
    return found


def _secret_values(product_id: int, environment_id: int, keys: set[str]) -> dict[str, str]:
    if not keys:
        return {}
    try:
        return {
            secret.key: crypto.unseal(secret.value, secret.place)
            for secret in _known_secrets(product_id, environment_id, keys)
        }
    except crypto.CannotOpen as error:
        raise Unreadable(f"a secret cannot be read: {error}. Set it again", code="secret_unreadable") from None


def _names(environment_id: int) -> tuple[str, str]:
    """Product and environment as a caller knows them."""
    row = Environment.objects.filter(pk=environment_id).values_list("product__tag", "slug").first()
    return (str(row[0]), str(row[1])) if row else ("?", "?")


def _latest(layers: list[Any], name: str, default: str) -> str:
    """The word of the narrowest layer that says anything."""
    for layer in reversed(layers):
        if name in layer:
            return str(layer[name])
    return default


def _forms(values: list[str]) -> tuple[str, ...]:
    """The secrets as they may appear in a text, longest first: plain, in JSON, percent-encoded."""
    forms: set[str] = set()
    for value in values:
        forms |= {value, json.dumps(value)[1:-1], json.dumps(value, ensure_ascii=False)[1:-1], quote(value, safe="")}
    return tuple(sorted((form for form in forms if len(form) >= _SHORTEST_REDACTED), key=len, reverse=True))


_targets: ShortCache[tuple[int, int, str, str], ActionTarget] = ShortCache(seconds=TARGETS_KEPT_SECONDS)
