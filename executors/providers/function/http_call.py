"""A function behind HTTP: its URL, how one logs in there, and the input, made one request.

Owns what `auth` adds to a request. Everything else is made as for an app's action: `executors.exchange`.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from core import clock, http
from core.errors import ApiError, FieldError, Invalid
from core.fields import reject_unknown
from executors.base import VALIDATION_ERROR, AttemptFailed, Call, longest_first, redacted
from executors.catalog.actions import DEFAULT_RESPONSE_BYTES, ActionTarget, OpenedAction
from executors.catalog.components import Found, Opened
from executors.catalog.resolve import PATH_PARAMETER
from executors.catalog.sealed import secret_forms
from executors.exchange import checking
from executors.exchange.answers import failed_answer, failed_exchange, result_of
from executors.exchange.placing import Placed, place
from executors.exchange.requests import build_request, check_request
from executors.expressions import parse

CHECK_SECONDS = 10.0
FIELDS = frozenset({"payload", "body", "query", "params", "headers"})


@dataclass(frozen=True, kw_only=True, slots=True)
class _Function(ActionTarget):
    """A function in the place of an action: the same parts, told by its own name."""

    def __str__(self) -> str:
        return f"{self.method} of function {self.event!r}"


def check_input(found: Found, input: Mapping[str, Any], *, recurring: bool) -> None:
    """Raise Invalid with what of an input does not fit a request to the function, NotFound for a reference."""
    reject_unknown(input, FIELDS, "input")
    if input.get("payload") is not None and input.get("body") is not None:
        raise Invalid.fields([FieldError("input.payload", "duplicate", "is given twice: also as input.body")])
    try:
        checking.check_input(_target(found, found.connection, opened=False), _as_request(input), recurring=recurring)
    except ApiError as error:
        told = [FieldError(_as_written(each.field, input), each.code, each.detail) for each in error.errors]
        if isinstance(error, Invalid):
            raise Invalid.fields(told) from None
        raise type(error)(error.detail, code=error.code, errors=told) from None


async def run(call: Call, opened: Opened, input: dict[str, Any]) -> Mapping[str, Any]:
    """Call the function once. Raises AttemptFailed."""
    action = _action(opened)
    timeout = call.timeout if action.timeout is None else min(call.timeout, action.timeout)

    def redact(text: str) -> str:
        return redacted(text, action.secrets)

    try:
        placed = _placed(action, opened, _as_request(input))
        response = await http.send(build_request(action, call, placed, timeout=timeout))
    except http.HttpError as error:
        failed = failed_exchange(error, redact=redact)
        raise AttemptFailed(failed.code, failed.message, retryable=failed.retryable) from None
    if not 200 <= response.status < 300:
        failed = failed_answer(str(action.target), response, now=clock.machine_now(), redact=redact)
        raise AttemptFailed(
            failed.code, failed.message, retryable=failed.retryable, retry_after=failed.retry_after
        )  # fmt: skip
    return result_of(response, action.secrets)


async def check(opened: Opened) -> str:
    """Whether anybody answers at the URL: asked with OPTIONS, which runs nothing. Raises AttemptFailed."""
    action = _action(opened)
    request = check_request(action, timeout=CHECK_SECONDS, authorization=None)
    asked = http.HttpRequest(
        method="OPTIONS", url=request.url, headers=request.headers, timeout=CHECK_SECONDS, max_response_bytes=1,
        truncate=True,
    )  # fmt: skip
    try:
        response = await http.send(asked)
    except http.HttpError as error:
        failed = failed_exchange(error, redact=lambda text: redacted(text, action.secrets))
        raise AttemptFailed(failed.code, failed.message, retryable=failed.retryable) from None
    if response.status in {401, 403} or response.status >= 500:
        failed = failed_answer("OPTIONS", response, now=clock.machine_now())
        raise AttemptFailed(failed.code, f"reached, but it answered {response.status}")
    return f"reached: it answered {response.status} to OPTIONS, and the function was not run"


def _placed(action: OpenedAction, opened: Opened, input: dict[str, Any]) -> Placed:
    """The resolved input in its places, with what logs in. Raises http.InvalidRequest, AttemptFailed."""
    placed, errors = place(input, action.target)
    wrong = errors[0] if errors else next(checking.wrong_fields(action.target, placed), None)
    if wrong is not None:
        raise http.InvalidRequest(f"{wrong.field}: {wrong.detail}")
    body = placed.body
    if fields := opened.connection.get("auth", {}).get("body"):
        if body is not None and not isinstance(body, dict):
            raise AttemptFailed(VALIDATION_ERROR, "auth adds fields to the body, and the input's body is no object")
        body = {**(body or {}), **fields}
    return Placed(query=placed.query, params=placed.params, headers=placed.headers, body=body, written=placed.written)


def _action(opened: Opened) -> OpenedAction:
    connection = opened.connection
    auth = connection.get("auth", {})
    headers = {name.lower(): value for name, value in connection.get("headers", {}).items()}
    headers |= {name.lower(): value for name, value in auth.get("headers", {}).items()}
    hidden = opened.secrets
    match auth:
        case {"type": "bearer", "token": token}:
            headers["authorization"] = f"Bearer {token}"
        case {"type": "basic", "username": username, "password": password}:
            pair = base64.b64encode(f"{username}:{password}".encode()).decode()
            headers["authorization"] = f"Basic {pair}"
            hidden = longest_first(hidden, secret_forms([pair]))
    timeout = connection.get("timeout")
    return OpenedAction(
        target=_target(opened.found, connection, opened=True),
        url=connection["url"],
        headers=headers,
        query=tuple({**connection.get("query", {}), **auth.get("query", {})}.items()),
        success=None,
        timeout=timeout / 1000 if timeout is not None else None,
        key_per_attempt=connection.get("idempotency") == "attempt",
        max_response_bytes=connection.get("max_response_bytes", DEFAULT_RESPONSE_BYTES),
        truncate=connection.get("large_response") == "truncate",
        token=None,
        secrets=hidden,
    )


def _target(found: Found, connection: Mapping[str, Any], *, opened: bool) -> _Function:
    plainly = str if opened else _plainly
    auth = connection.get("auth", {})
    query = {**connection.get("query", {}), **auth.get("query", {})}
    return _Function(
        app="",
        event=found.tag,
        method=connection.get("method") or found.settings.get("method", "POST"),
        request_type=connection.get("request_type", "json"),
        path_parameters=tuple(dict.fromkeys(PATH_PARAMETER.findall(plainly(connection["url"])))),
        url=plainly(connection["url"]),
        query=tuple((name, plainly(value)) for name, value in query.items()),
        query_names=frozenset(),
        header_names=frozenset(),
        schema=None,
        body=None,
        environment_id=found.environment_id,
        values=found.values,
    )


def _plainly(text: str) -> str:
    """A text of the catalog without its references."""
    return "".join(part for part in parse(text) if isinstance(part, str)) if "$" in text else text


def _as_request(input: Mapping[str, Any]) -> dict[str, Any]:
    """The input with its `payload`, as the documents call it, where a request has its body."""
    if input.get("payload") is None:
        return {name: value for name, value in input.items() if name != "payload"}
    return {"body" if name == "payload" else name: value for name, value in input.items() if name != "body"}


def _as_written(field: str, input: Mapping[str, Any]) -> str:
    """The path of a field as the caller wrote it."""
    if input.get("payload") is not None and (field == "input.body" or field.startswith("input.body.")):
        return f"input.payload{field.removeprefix('input.body')}"
    return field
