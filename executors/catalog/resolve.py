"""From a target's names to what is needed to check it, and, in the worker, to run it.

Owns the reading side of the catalog: what is missing is told here, with the way out. At dispatch
nothing secret is opened (`find_action`); the worker opens (`open_action`). Answers are immutable,
and may be kept for a few seconds.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Mapping
from functools import partial
from typing import Any

from jsonschema import Draft202012Validator
from referencing import Registry

from core.shortcache import ShortCache
from executors.catalog.actions import DEFAULT_RESPONSE_BYTES, ActionTarget, OpenedAction, TokenRequest
from executors.catalog.auth_schema import OAUTH2
from executors.catalog.components import forget_components, rows
from executors.catalog.formats import FORMATS
from executors.catalog.models import Component, Connection, SavedEvent
from executors.catalog.sealed import open_sealed, secret_forms
from executors.catalog.values import Values, forget_values, must_know, values_of
from executors.expressions import open_references, parse, references_in

TARGETS_KEPT_SECONDS = 1.0
PATH_PARAMETER = re.compile(r"(?<=[/.,\-]):([A-Za-z_][A-Za-z0-9_]*)")


def find_action(*, product_id: int, environment_id: int, app: str, event: str) -> ActionTarget:
    """What an input is checked against. Raises NotFound: the app, its connection, the action, a secret."""
    key = (product_id, environment_id, app, event)
    return _targets.get(key, lambda: _find_action(*key))


def open_action(*, product_id: int, environment_id: int, app: str, event: str) -> OpenedAction:
    """What is sent. Raises NotFound, as `find_action`, and Unreadable."""
    component, connection, saved = _rows(product_id, environment_id, app, event)
    return open_call(component, connection, saved, values_of(product_id, environment_id))


def open_call(component: Component, connection: Connection, saved: SavedEvent, values: Values) -> OpenedAction:
    """The action that a saved (or made up) event of a component is in one environment, secrets opened."""
    layers = [component.settings, connection.settings, saved.settings]
    auth = auth_of(component, connection)
    texts = _texts(connection, layers, auth)
    must_know(
        values, (("app", reference) for text in texts for reference in references_in(text)), connection.environment_id
    )
    opened = partial(open_references, scope=values)
    headers: dict[str, str] = {}
    query: dict[str, str] = {}
    for layer in layers:
        headers |= {name.lower(): opened(value) for name, value in layer.get("headers", {}).items()}
        query |= {name: opened(value) for name, value in layer.get("query", {}).items()}
    keys = {key for text in texts for reference in references_in(text) for key in values.secrets_behind(reference)}
    hidden = [values.secret(key) for key in keys]
    token = None
    match auth:
        case {"type": "bearer"}:
            hidden.append(opened(auth["token"]))
            headers["authorization"] = f"Bearer {hidden[-1]}"
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
        case {"type": kind} if kind == OAUTH2:
            token = _token_request(connection, {name: opened(value) for name, value in auth.items()})
            hidden.append(token.client_secret)
    success = saved.settings.get("success")
    timeout = _latest(layers, "timeout", None)
    return OpenedAction(
        target=_target(component, connection, saved, values),
        url=opened(connection.settings["base_url"]).rstrip("/") + saved.settings["resource"],
        headers=headers,
        query=tuple(query.items()),
        success=frozenset(success) if success else None,
        timeout=timeout / 1000 if timeout is not None else None,
        key_per_attempt=_latest(layers, "idempotency", "run") == "attempt",
        max_response_bytes=_latest(layers, "max_response_bytes", DEFAULT_RESPONSE_BYTES),
        truncate=_latest(layers, "large_response", "fail") == "truncate",
        token=token,
        secrets=secret_forms(hidden),
        auth={name: opened(value) for name, value in auth.items()},
    )


def auth_of(component: Component, connection: Connection) -> dict[str, str]:
    """How to log in, references as they were written: as the environment says, else as the app does."""
    row: Component | Connection = connection if connection.settings.get("auth") else component
    auth: dict[str, str] = dict(row.settings.get("auth", {}))
    for path, value in open_sealed(row).items():
        group, _, name = path.partition(".")
        if group == "auth":
            auth[name] = value
    return auth


def forget_targets() -> None:
    """Ask the database again, in this process: after a catalog changed."""
    _targets.forget()
    forget_components()
    forget_values()


def _find_action(product_id: int, environment_id: int, app: str, event: str) -> ActionTarget:
    component, connection, saved = _rows(product_id, environment_id, app, event)
    values = values_of(product_id, environment_id)
    layers = [component.settings, connection.settings, saved.settings]
    # What is sealed stays closed here: references in it are told by the worker, and by a check of the connection.
    auth = connection.settings.get("auth") or component.settings.get("auth", {})
    texts = _texts(connection, layers, auth)
    must_know(values, (("app", reference) for text in texts for reference in references_in(text)), environment_id)
    return _target(component, connection, saved, values)


def _target(component: Component, connection: Connection, saved: SavedEvent, values: Values) -> ActionTarget:
    layers = [component.settings, connection.settings, saved.settings]
    schema = saved.settings.get("body")
    return ActionTarget(
        app=component.tag,
        event=saved.tag,
        method=saved.settings["method"],
        request_type=_latest(layers, "request_type", "json"),
        path_parameters=tuple(dict.fromkeys(PATH_PARAMETER.findall(saved.settings["resource"]))),
        url=_plainly(connection.settings["base_url"]).rstrip("/") + saved.settings["resource"],
        query=tuple(
            {name: _plainly(text) for layer in layers for name, text in layer.get("query", {}).items()}.items()
        ),
        query_names=frozenset(saved.settings.get("query", {})),
        header_names=frozenset(name.lower() for name in saved.settings.get("headers", {})),
        schema=schema,
        body=validator_of(schema) if schema is not None else None,
        environment_id=connection.environment_id,
        values=values,
    )


def validator_of(schema: Mapping[str, Any]) -> Draft202012Validator:
    """What checks values by a schema of the catalog."""
    return Draft202012Validator(schema, registry=Registry(), format_checker=FORMATS)  # the empty one fetches nothing


def _plainly(text: str) -> str:
    """A text of the catalog without its references."""
    return "".join(part for part in parse(text) if isinstance(part, str)) if "$" in text else text


def _texts(connection: Connection, layers: list[Any], auth: Mapping[str, str]) -> list[str]:
    """Everything of an action in which references may stand."""
    texts = [connection.settings["base_url"], *auth.values()]
    for layer in layers:
        texts += [*layer.get("headers", {}).values(), *layer.get("query", {}).values()]
    return texts


def _token_request(connection: Connection, auth: Mapping[str, str]) -> TokenRequest:
    return TokenRequest(
        connection=connection.place,
        url=auth["token_url"],
        client_id=auth["client_id"],
        client_secret=auth["client_secret"],
        scope=auth.get("scope"),
        audience=auth.get("audience"),
        in_body=auth.get("client_auth") == "body",
    )


def _rows(product_id: int, environment_id: int, app: str, event: str) -> tuple[Component, Connection, SavedEvent]:
    component, connection, saved = rows("app", product_id, environment_id, app, event)
    assert connection is not None  # an app is reached in another way in each environment
    assert saved is not None  # an event was named
    return component, connection, saved


def _latest(layers: list[Any], name: str, default: Any) -> Any:
    """The word of the narrowest layer that says anything."""
    for layer in reversed(layers):
        if name in layer:
            return layer[name]
    return default


_targets: ShortCache[tuple[int, int, str, str], ActionTarget] = ShortCache(seconds=TARGETS_KEPT_SECONDS)
