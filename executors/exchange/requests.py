"""The request of one attempt: an action, opened, with what its input says.

Owns the order in which headers and query are overlaid: what the catalog says, what the input says;
and over both what every call carries (`executors.own_headers`). Pure, but for the clock that `$Now()` needs.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from core import http
from core.times import to_ms
from executors.base import Call, redacted
from executors.catalog.actions import OpenedAction
from executors.catalog.sealed import secret_forms
from executors.exchange.bodies import content_type, encoded
from executors.exchange.checking import wrong_fields
from executors.exchange.placing import Placed, place
from executors.exchange.resolving import literally, resolved
from executors.exchange.urls import url_of
from executors.expressions import ExpressionError, has_expressions, plain
from executors.inputs import Watched, scope_of


@dataclass(slots=True)
class Prepared:
    """What an input says for this attempt, its expressions resolved, and the secrets that are in it."""

    placed: Placed
    secrets: tuple[str, ...] = ()


def prepare(action: OpenedAction, call: Call, *, clock: Callable[[], datetime]) -> Prepared:
    """The input in its places. Raises http.InvalidRequest for what only a run can know to be wrong."""
    target = action.target
    placed, errors = place(call.input, target)
    if errors:
        raise http.InvalidRequest(f"{errors[0].field}: {errors[0].detail}")
    if not call.literal and not has_expressions(call.input):
        return Prepared(placed)
    watched = Watched(target.values)
    try:
        if call.literal:
            placed = literally(placed, target.schema)
        else:
            placed = resolved(placed, target.schema, scope_of(call, watched), now=clock())
    except ExpressionError as error:
        at = placed.field(*map(str, error.path))
        detail = redacted(f"{at}: {error}", secret_forms(watched.opened))
        raise http.InvalidRequest(f"the input cannot be resolved: {detail}") from None
    secrets = call.secrets + secret_forms(watched.opened)
    wrong = next(wrong_fields(target, placed), None)
    if wrong is not None:
        raise http.InvalidRequest(redacted(f"{wrong.field}: {wrong.detail}", secrets))
    return Prepared(placed, secrets)


def build_request(
    action: OpenedAction, call: Call, placed: Placed, *, timeout: float, authorization: str | None = None
) -> http.HttpRequest:
    """The request of one attempt. Raises http.InvalidRequest."""
    target = action.target
    headers: dict[str, str] = {}
    body = None
    if placed.body is not None:
        headers["content-type"] = content_type(target.request_type, call.run_key)
        try:
            body = encoded(placed.body, target.request_type, call.run_key)
        except ValueError as error:
            raise http.InvalidRequest(f"the body cannot be sent as {target.request_type}: {error}") from None
    headers.update(action.headers)
    if authorization is not None:
        headers["authorization"] = authorization
    headers["idempotency-key"] = f"{call.run_key}:{call.attempt}" if action.key_per_attempt else call.run_key
    if placed.headers:
        headers.update({name.lower(): plain(value) for name, value in placed.headers.items()})
    headers["x-job-id"] = call.job_id
    headers["x-attempt"] = str(call.attempt)
    headers["x-scheduled-for"] = str(to_ms(call.scheduled_at))
    return http.HttpRequest(
        method=target.method,
        url=url_of(action.url, path_parameters=target.path_parameters, query=action.query, placed=placed),
        headers=headers,
        body=body,
        timeout=timeout,
        max_response_bytes=action.max_response_bytes,
        truncate=action.truncate,
    )


def check_request(action: OpenedAction, *, timeout: float, authorization: str | None) -> http.HttpRequest:
    """The request that only finds out whether anybody answers: to the base URL, nothing of the answer kept."""
    headers = dict(action.headers)
    if authorization is not None:
        headers["authorization"] = authorization
    return http.HttpRequest(
        method=action.target.method,
        url=url_of(action.url, path_parameters=(), query=action.query, placed=Placed()),
        headers=headers,
        timeout=timeout,
        max_response_bytes=1,
        truncate=True,
    )
