"""Does an input fit its action? Asked at dispatch, so that no run fails of it later.

Owns the texts about fields. What holds an expression is checked for the rest of it, and again in
the worker, when its value is known. Never queries.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import chain, islice
from typing import Any

from jsonschema.exceptions import ValidationError

from core import http
from core.errors import FieldError, Invalid
from core.fields import nearest
from executors.catalog.actions import ActionTarget
from executors.catalog.values import must_know
from executors.exchange.bodies import is_scalar, wrong_body
from executors.exchange.placing import Placed, place
from executors.expressions import check_expressions, is_expression, plain
from executors.own_headers import IDEMPOTENCY_KEY, IN_A_RECURRING_INPUT, IN_AN_INPUT, OF_THE_RUN

MOST_PROBLEMS = 20


def check_input(action: ActionTarget, input: Mapping[str, Any], *, recurring: bool) -> None:
    """Raise Invalid with what is wrong (at most 20 fields), and NotFound for a reference to nothing."""
    placed, errors = place(input, action)
    if errors:
        raise _invalid(errors)
    broken, references = check_expressions(input, "input")
    if broken:
        raise _invalid(broken)
    must_know(action.values, references, action.environment_id)
    wrong = chain(_wrong_names(placed, recurring), wrong_fields(action, placed))
    if errors := list(islice(wrong, MOST_PROBLEMS)):
        raise _invalid(errors)


def wrong_fields(action: ActionTarget, placed: Placed) -> Iterator[FieldError]:
    """What of a placed input does not fit the action."""
    yield from _wrong_scalars(placed)
    yield from _wrong_path(action, placed)
    for error in wrong_body(placed.body, action.request_type):
        yield FieldError(
            placed.field("body", *error.field.split(".")) if error.field else placed.field("body"),
            error.code,
            error.detail,
        )
    if action.body is not None and not is_expression(placed.body):
        for broken in action.body.iter_errors({} if placed.body is None else placed.body):
            yield from _told(broken, placed)


def _invalid(errors: list[FieldError]) -> Invalid:
    return Invalid.fields(errors[:MOST_PROBLEMS])


def _wrong_scalars(placed: Placed) -> Iterator[FieldError]:
    for where, values in (("query", placed.query), ("params", placed.params), ("headers", placed.headers)):
        if values is None:
            continue
        if not isinstance(values, dict):
            yield FieldError(f"input.{where}", "invalid", "must be an object")
            continue
        for name, value in values.items():
            if where == "query" and isinstance(value, list) and all(map(is_scalar, value)):
                continue
            if not is_scalar(value):
                what = "text, a number or true/false" + (", or a list of these" if where == "query" else "")
                yield FieldError(placed.field(where, name), "invalid", f"must be {what}")
            elif where == "headers":
                try:
                    http.check_headers({name: "" if is_expression(value) else plain(value)})
                except http.InvalidRequest as error:
                    yield FieldError(placed.field(where, name), "invalid", str(error))


def _wrong_names(placed: Placed, recurring: bool) -> Iterator[FieldError]:
    """Headers that are not the input's to say, or that it says twice: their names are the same in any case."""
    if not isinstance(placed.headers, dict):
        return
    seen: dict[str, str] = {}
    for name in placed.headers:
        lowered = name.lower()
        if lowered in seen:
            twice = f"is given twice: also as {placed.field('headers', seen[lowered])}"
            yield FieldError(placed.field("headers", name), "duplicate", twice)
        seen[lowered] = name
        if lowered in OF_THE_RUN:
            yield FieldError(placed.field("headers", name), "invalid", IN_AN_INPUT)
        elif recurring and lowered == IDEMPOTENCY_KEY:
            yield FieldError(placed.field("headers", name), "invalid", IN_A_RECURRING_INPUT)


def _wrong_path(action: ActionTarget, placed: Placed) -> Iterator[FieldError]:
    """A `:param` is given in `params`, or, as the documents' own example does, in the body."""
    params = placed.params if isinstance(placed.params, dict) else {}
    fields = placed.body if isinstance(placed.body, dict) else {}
    for name in action.path_parameters:
        value = params.get(name, fields.get(name))
        if value is None:
            detail = f"is required: it is part of the path (:{name})"
            yield FieldError(placed.field("params", name), "required", detail)
        elif not is_scalar(value) or plain(value) in ("", ".", ".."):
            detail = "must be text or a number, and not empty, '.' or '..'"
            yield FieldError(placed.field("params", name), "invalid", detail)
    for name in params.keys() - set(action.path_parameters):
        yield FieldError(placed.field("params", name), "unknown_field", f"the path of {action.event!r} has no :{name}")


def _told(error: ValidationError, placed: Placed) -> Iterator[FieldError]:
    """What a schema did not like, at the field that it is about."""
    if is_expression(error.instance):
        return  # known in the worker
    path = [str(step) for step in error.absolute_path]
    code = f"schema_{error.validator}"
    wanted: Any = error.validator_value
    if error.validator == "required" and isinstance(wanted, list):
        # One error for each missing field; its text begins with the field.
        missing = next((name for name in wanted if error.message.startswith(f"{name!r} is")), None)
        if missing is not None:
            yield FieldError(placed.field("body", *path, missing), code, "is required")
            return
    if error.validator == "additionalProperties" and wanted is False and isinstance(error.schema, dict):
        known = list(error.schema.get("properties", {}))
        instance: Any = error.instance
        for name in instance:
            if name not in known:
                meant = nearest(name, known)
                detail = "there is no such field" + (f": did you mean {meant!r}?" if meant else "")
                yield FieldError(placed.field("body", *path, name[:100]), code, detail)
        return
    yield FieldError(placed.field("body", *path), code, error.message[:300])
