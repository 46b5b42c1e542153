"""The `actions` namespace: an event of an app is an HTTP call.

Checks an input at dispatch against the action it is for; in the worker builds the request,
sends it once, and says how it ended. Never retries, never follows a redirect.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import islice
from typing import Any, TypeGuard
from urllib.parse import quote, urlencode

from core import clock, http, strictjson
from core.errors import FieldError, Invalid
from core.fields import reject_unknown
from core.times import to_ms
from executors.base import Call, Done, Outcome
from executors.catalog.app_schema import plain
from executors.catalog.resolve import PATH_PARAMETER, ActionTarget, OpenedAction, find_action, open_action
from executors.expressions import refuse_expressions
from executors.namespaces.answers import failed_answer, failed_exchange, plain_text, readable

RESULT_BYTES = 256 * 1024  # of an answer's body that are kept with the run
LONGEST_URL = 16 * 1024
_INPUT = frozenset({"query", "params", "body", "headers"})
_TOLD_HEADERS = ("content-type", "location", "etag", "last-modified", "retry-after", "x-request-id")
_MOST_PROBLEMS = 20
_CONTENT_TYPES = {
    "json": "application/json",
    "urlencoded": "application/x-www-form-urlencoded",
    "xml": "application/xml",
    "html": "text/html; charset=utf-8",
    "text": "text/plain; charset=utf-8",
}


class ActionsExecutor:
    """Runs `{"app": …, "event": …}`; `action` is another name for `event`."""

    isolated = False

    def check(
        self, *, product_id: int, environment_id: int, target: Mapping[str, Any], input: Mapping[str, Any]
    ) -> None:
        app, event = _names(target)
        action = find_action(product_id=product_id, environment_id=environment_id, app=app, event=event)
        check_input(action, input)

    def resolve(self, *, product_id: int, environment_id: int, target: Mapping[str, Any]) -> OpenedAction:
        app, event = _names(target)
        return open_action(product_id=product_id, environment_id=environment_id, app=app, event=event)

    async def execute(self, call: Call) -> Outcome:
        action: OpenedAction = call.resolved
        timeout = min(call.timeout, action.timeout) if action.timeout is not None else call.timeout
        try:
            request = build_request(action, call, timeout=timeout)
            response = await http.send(request)
        except http.HttpError as error:
            return failed_exchange(error, redact=action.redact)
        if not _succeeded(action, response.status):
            where = f"{action.method} of event {action.event!r} of app {action.app!r}"
            return failed_answer(where, response, now=clock.machine_now(), redact=action.redact)
        return Done(_result(action, response))


def check_input(action: ActionTarget, input: Mapping[str, Any]) -> None:
    """Raise Invalid where the input does not fit the action: at dispatch, so that no run fails of it later."""
    reject_unknown(input, _INPUT, "input")
    refuse_expressions(input, "input")
    errors = [*_wrong_scalars(input), *_wrong_path(action, input), *_wrong_body(action, input)]
    if errors:
        raise Invalid(f"{errors[0].field}: {errors[0].detail}", errors=errors[:_MOST_PROBLEMS])


def build_request(action: OpenedAction, call: Call, *, timeout: float) -> http.HttpRequest:
    """The request of one attempt. Raises http.InvalidRequest."""
    given = call.input
    headers = {
        "idempotency-key": f"{call.run_key}:{call.attempt}" if action.key_per_attempt else call.run_key,
        "x-job-id": call.job_id,
        "x-attempt": str(call.attempt),
        "x-scheduled-for": str(to_ms(call.scheduled_at)),
    }
    body = given.get("body")
    if body is not None:
        headers["content-type"] = _CONTENT_TYPES[action.request_type]
    headers.update(action.headers)
    headers.update({name.lower(): plain(value) for name, value in (given.get("headers") or {}).items()})

    params = given.get("params") or {}
    fields = body if isinstance(body, dict) else {}

    def segment(name: str) -> str:
        value = params.get(name, fields.get(name))
        if not _is_scalar(value):
            raise http.InvalidRequest(f"the path parameter :{name} has no value")
        return quote(plain(value), safe="")

    url = PATH_PARAMETER.sub(lambda match: segment(match.group(1)), action.url)
    query = [*action.query, *_pairs(given.get("query") or {})]
    if query:
        url += ("&" if "?" in url else "?") + urlencode(query, quote_via=quote)
    if len(url) > LONGEST_URL:
        raise http.InvalidRequest(f"the URL is longer than {LONGEST_URL} characters")
    return http.HttpRequest(
        method=action.method,
        url=url,
        headers=headers,
        body=None if body is None else _encoded(body, action.request_type),
        timeout=timeout,
        max_response_bytes=RESULT_BYTES,
        truncate=True,
    )


def _names(target: Mapping[str, Any]) -> tuple[str, str]:
    app, event = target.get("app"), target.get("event", target.get("action"))
    errors = [
        FieldError(name, "required" if value is None else "invalid", "is required: the tag, as text")
        for name, value in (("app", app), ("event", event))
        if not isinstance(value, str) or not value
    ]
    if errors or not isinstance(app, str) or not isinstance(event, str):
        raise Invalid(f"{errors[0].field}: {errors[0].detail}", errors=errors)
    return app, event


def _wrong_scalars(input: Mapping[str, Any]) -> Iterator[FieldError]:
    for place in ("query", "params", "headers"):
        values = input.get(place)
        if values is None:
            continue
        if not isinstance(values, dict):
            yield FieldError(f"input.{place}", "invalid", "must be an object")
            continue
        for name, value in values.items():
            at = f"input.{place}.{name}"
            if place == "query" and isinstance(value, list) and all(_is_scalar(member) for member in value):
                continue
            if not _is_scalar(value):
                what = (
                    "text, a number, true/false or a list of these"
                    if place == "query"
                    else "text, a number or true/false"
                )
                yield FieldError(at, "invalid", f"must be {what}")
            elif place == "headers":
                try:
                    http.check_headers({name: plain(value)})
                except http.InvalidRequest as error:
                    yield FieldError(at, "invalid", str(error))


def _wrong_path(action: ActionTarget, input: Mapping[str, Any]) -> Iterator[FieldError]:
    """A `:param` is given in `params`, or, as the documents' own example does, in the body."""
    params = input.get("params")
    params = params if isinstance(params, dict) else {}
    body = input.get("body")
    fields = body if isinstance(body, dict) else {}
    for name in action.path_parameters:
        value = params.get(name, fields.get(name))
        if value is None:
            yield FieldError(f"input.params.{name}", "required", f"is required: it is part of the path (:{name})")
        elif not _is_scalar(value) or plain(value) in ("", ".", ".."):
            yield FieldError(f"input.params.{name}", "invalid", "must be text or a number, and not empty, '.' or '..'")
    for name in params.keys() - set(action.path_parameters):
        yield FieldError(f"input.params.{name}", "unknown_field", f"the path of {action.event!r} has no :{name}")


def _wrong_body(action: ActionTarget, input: Mapping[str, Any]) -> Iterator[FieldError]:
    body = input.get("body")
    if body is not None and action.request_type == "urlencoded":
        if not isinstance(body, dict) or not all(
            _is_scalar(value) or (isinstance(value, list) and all(map(_is_scalar, value))) for value in body.values()
        ):
            yield FieldError(
                "input.body", "invalid", "must be an object of text, numbers and lists of these: it is sent as a form"
            )
            return
    if body is not None and action.request_type in ("xml", "html", "text") and not isinstance(body, str):
        yield FieldError("input.body", "invalid", f"must be text: it is sent as {action.request_type}")
        return
    if action.body is None:
        return
    for error in islice(action.body.iter_errors({} if body is None else body), _MOST_PROBLEMS):
        at = ".".join(["input.body", *(str(part) for part in error.absolute_path)])
        yield FieldError(at, f"schema_{error.validator}", error.message[:300])


def _is_scalar(value: Any) -> TypeGuard[str | float | bool]:
    return isinstance(value, (str, int, float))


def _pairs(query: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for name, value in query.items():
        for member in value if isinstance(value, list) else [value]:
            yield name, plain(member)


def _encoded(body: Any, request_type: str) -> bytes:
    if request_type == "json":
        return strictjson.dumps(body)
    if request_type == "urlencoded":
        return urlencode(list(_pairs(body))).encode()
    return str(body).encode()


def _succeeded(action: OpenedAction, status: int) -> bool:
    return 200 <= status < 300 if action.success is None else status in action.success


def _result(action: OpenedAction, response: http.HttpResponse) -> dict[str, Any]:
    text = action.redact(plain_text(response.body))
    result: dict[str, Any] = {
        "status": response.status,
        "headers": {name: action.redact(response.headers[name]) for name in _TOLD_HEADERS if name in response.headers},
        "body": readable(text, truncated=response.truncated) if text else None,
    }
    if response.truncated:
        result["truncated"] = True
    return result
