"""Does an input fit its action? Asked at dispatch, so that no run fails of it later.

Owns the texts about fields. Expressions are put in as far as they are known: what refers to a value
of the environment is checked for the rest of it, and again in the worker. Never queries.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from datetime import datetime
from functools import partial
from itertools import islice
from typing import Any

from jsonschema.exceptions import ValidationError

from core import clock, http
from core.errors import FieldError, Invalid
from core.fields import nearest
from core.times import later
from executors.catalog.actions import ActionTarget
from executors.catalog.values import must_know
from executors.exchange.bodies import is_scalar, wrong_body
from executors.exchange.placing import Placed, place
from executors.exchange.resolving import known
from executors.exchange.urls import LONGEST_URL, url_of
from executors.expressions import LAST_RUN, Unknown, check_expressions, never_computable, plain
from executors.own_headers import IDEMPOTENCY_KEY, IN_A_RECURRING_INPUT, IN_AN_INPUT, OF_THE_RUN

MOST_PROBLEMS = 20
# Keywords whose verdict on an object or list does not rest on the values in it.
_BY_SHAPE = frozenset({
    "additionalProperties", "dependentRequired", "maxItems", "maxProperties", "minItems", "minProperties", "required",
    "type",
})  # fmt: skip
_OF_A_CONDITION = frozenset({"then", "else"})
_ENCODED = 12  # characters that one may become in a URL: four bytes, %XX each


def check_input(action: ActionTarget, input: Mapping[str, Any], *, recurring: bool) -> None:
    """Raise Invalid with what is wrong (at most 20 fields), and NotFound for a reference to nothing."""
    placed, errors = place(input, action)
    if errors:
        raise _invalid(errors)
    expressions = check_expressions(input, "input")
    if expressions.errors:
        raise _invalid(expressions.errors)
    must_know(action.values, expressions.references, action.environment_id)
    if expressions.found:
        now = clock.machine_now()
        errors = never_computable(input, "input", now=now) or _wrong_at_any_time(action, placed, now)
    else:
        errors = _wrong(action, placed)
    if placed.headers:
        errors += _wrong_names(placed, recurring)
    if errors:
        raise _invalid(errors)


def _wrong(action: ActionTarget, placed: Placed) -> list[FieldError]:
    return list(islice(wrong_fields(action, placed), MOST_PROBLEMS)) or list(_long_url(action, placed))


def _wrong_at_any_time(action: ActionTarget, placed: Placed, now: datetime) -> list[FieldError]:
    """What does not fit by what is known of the expressions, now and at the end of the time for runs."""
    wrong = _wrong(action, known(placed, action.schema, now=now))
    if not wrong or not _wrong(action, known(placed, action.schema, now=later(now, LAST_RUN))):
        return []
    return wrong


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
    if action.body is not None and not isinstance(placed.body, Unknown):
        for broken in action.body.iter_errors({} if placed.body is None else placed.body):
            yield from told(broken, placed.body, partial(placed.field, "body"))


def _invalid(errors: list[FieldError]) -> Invalid:
    return Invalid.fields(errors[:MOST_PROBLEMS])


def _wrong_scalars(placed: Placed) -> Iterator[FieldError]:
    for where, values in (("query", placed.query), ("params", placed.params), ("headers", placed.headers)):
        if values is None or isinstance(values, Unknown):
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
                    http.check_headers({name: "" if isinstance(value, Unknown) else plain(value)})
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
            if isinstance(placed.params, Unknown) or isinstance(placed.body, Unknown):
                continue  # it may become an object that has it
            detail = f"is required: it is part of the path (:{name})"
            yield FieldError(placed.field("params", name), "required", detail)
        elif not is_scalar(value) or plain(value) in ("", ".", ".."):
            detail = "must be text or a number, and not empty, '.' or '..'"
            yield FieldError(placed.field("params", name), "invalid", detail)
    for name in params.keys() - set(action.path_parameters):
        yield FieldError(placed.field("params", name), "unknown_field", f"the path of {action.event!r} has no :{name}")


def _long_url(action: ActionTarget, placed: Placed) -> Iterator[FieldError]:
    """A URL that is too long by what is known of it."""
    if not (action.path_parameters or placed.query or action.query):
        return
    params, fields, query = (
        value if isinstance(value, dict) else {} for value in (placed.params, placed.body, placed.query)
    )
    path = {name: params.get(name, fields.get(name, Unknown())) for name in action.path_parameters}
    # Nearly every URL is short whatever its encoding adds; a parameter may stand in a path more than once.
    at_most = len(repr(action.query)) + len(repr(query)) + action.url.count(":") * len(repr(path))
    if len(action.url) + _ENCODED * at_most <= LONGEST_URL:
        return
    shortest = Placed(
        params={name: "x" if isinstance(value, Unknown) else value for name, value in path.items()},
        query={name: "" if isinstance(value, Unknown) else value for name, value in query.items()},
    )
    try:
        url_of(action.url, path_parameters=action.path_parameters, query=action.query, placed=shortest)
    except http.InvalidRequest as error:
        lengths = [(len(str(value)), placed.field("query", name)) for name, value in query.items()]
        lengths += [
            (len(str(value)), placed.field("params" if name in params else "body", name))
            for name, value in path.items()
        ]
        yield FieldError(max(lengths, default=(0, "input"))[1], "invalid", str(error))


def _is_open(error: ValidationError, whole: Any) -> bool:
    """Whether the error rests on what is unknown yet: in its own value, or in what an `if` asked about."""
    if isinstance(error.instance, Unknown):
        return True
    if not _OF_A_CONDITION.isdisjoint(error.absolute_schema_path) and _has_unknown(whole):
        return True
    return error.validator not in _BY_SHAPE and _has_unknown(error.instance)


def _has_unknown(value: Any) -> bool:
    if isinstance(value, dict):
        return any(map(_has_unknown, value.values()))
    if isinstance(value, list):
        return any(map(_has_unknown, value))
    return isinstance(value, Unknown)


def told(error: ValidationError, whole: Any, field: Callable[..., str]) -> Iterator[FieldError]:
    """What a schema did not like, at the field that it is about; nothing of what only the worker can know.

    `whole` is what was checked, and `field` says how a path in it is told.
    """
    if _is_open(error, whole):
        return
    path = [str(step) for step in error.absolute_path]
    code = f"schema_{error.validator}"
    wanted: Any = error.validator_value
    if error.validator == "required" and isinstance(wanted, list):
        # One error for each missing field; its text begins with the field.
        missing = next((name for name in wanted if error.message.startswith(f"{name!r} is")), None)
        if missing is not None:
            yield FieldError(field(*path, missing), code, "is required")
            return
    if error.validator == "additionalProperties" and wanted is False and isinstance(error.schema, dict):
        known = list(error.schema.get("properties", {}))
        instance: Any = error.instance
        for name in instance:
            if name not in known:
                meant = nearest(name, known)
                detail = "there is no such field" + (f": did you mean {meant!r}?" if meant else "")
                yield FieldError(field(*path, name[:100]), code, detail)
        return
    yield FieldError(field(*path), code, error.message[:300])
