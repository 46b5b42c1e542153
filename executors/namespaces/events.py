"""The `events` namespace: a message is published to a topic of a broker, which confirms it before the run is done.

Checks an input at dispatch against the topic and what its broker can carry. Knows no driver:
`executors.providers.broker` publishes.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from core.errors import FieldError
from core.fields import unknown_fields
from core.http import InvalidRequest, check_headers
from executors.base import TIMEOUT, VALIDATION_ERROR, AttemptFailed, Call
from executors.catalog import shapes
from executors.catalog.components import Found, Opened
from executors.catalog.reading import Problems
from executors.catalog.resolve import validator_of
from executors.exchange.bodies import is_scalar
from executors.exchange.checking import told
from executors.expressions import Unknown, plain
from executors.namespaces.component import ComponentExecutor
from executors.own_headers import EVERY_CALL, IN_AN_INPUT
from executors.providers.broker.kind import (
    OPTIONS,
    carries_headers,
    carries_keys,
    wrong_headers,
    wrong_name,
)
from executors.providers.broker.message import JSON, Message, encoded, headers_of_the_run, in_envelope
from executors.providers.broker.publishing import publish

_FIELDS = ("message", "headers", "key", "options")
_LONGEST_KEY = 2048


class EventsExecutor(ComponentExecutor):
    """Runs `{"broker": …, "event": …}`; `topic` is another name for `event`."""

    kind = "broker"

    def wrong_input(self, found: Found, target: Mapping[str, Any], input: Mapping[str, Any]) -> Iterable[FieldError]:
        yield from unknown_fields(input, _FIELDS, "input")
        yield from _wrong_message(found, input.get("message"))
        yield from _wrong_headers(found, input.get("headers"))
        yield from _wrong_key(found, input.get("key"))
        yield from _wrong_options(found, input.get("options"))
        wrong = wrong_name(found.type, _name_of(found))
        if wrong is not None and "$" not in wrong:
            yield FieldError("event", "invalid", wrong)

    async def run(self, call: Call, opened: Opened, input: dict[str, Any]) -> Mapping[str, Any]:
        errors = list(self.wrong_input(opened.found, call.target, input))
        if errors:
            raise AttemptFailed(VALIDATION_ERROR, "; ".join(f"{error.field} {error.detail}" for error in errors[:5]))
        message = _message(call, opened, input)
        try:
            async with asyncio.timeout(call.timeout):
                where = await publish(opened, message)
        except TimeoutError:
            raise AttemptFailed(
                TIMEOUT,
                f"{opened.found}: no confirmation within {call.timeout:.3g} s; the message may have arrived all the same",
                retryable=True,
            ) from None
        return {"success": True, "process_id": call.run_key, **where}


def _message(call: Call, opened: Opened, input: Mapping[str, Any]) -> Message:
    found = opened.found
    topic = found.event_settings
    value = input["message"]
    body, content_type = encoded(value)
    key = input.get("key", topic.get("key"))
    headers = {**topic.get("headers", {}), **{name: plain(text) for name, text in (input.get("headers") or {}).items()}}
    headers = {**_folded(headers), **headers_of_the_run(call)}
    if topic.get("envelope"):
        body, content_type = in_envelope(value, id=call.run_key, headers=headers, key=_text(key)), JSON
    return Message(
        to=_name_of(found),
        tag=found.event,
        env=call.env,
        body=body,
        content_type=content_type,
        headers=headers,
        key=_text(key),
        id=call.run_key,
        options={**_options_of(found, topic), **_options_of(found, input.get("options") or {})},
        topic=topic,
        seconds=call.timeout,
    )


def _folded(headers: Mapping[str, str]) -> dict[str, str]:
    """Of names that differ in case only, the last; each as it was written."""
    last = {name.lower(): name for name in headers}
    return {name: headers[name] for name in last.values()}


def _text(key: Any) -> str | None:
    return None if key is None else plain(key)


def _name_of(found: Found) -> str:
    return str(found.event_settings.get("topic") or found.event)


def _wrong_message(found: Found, message: Any) -> Iterator[FieldError]:
    if message is None:
        yield FieldError("input.message", "required", "is required: an object, or text")
    elif not isinstance(message, (dict, str)):
        yield FieldError("input.message", "invalid", "must be an object, or text")
    elif (schema := found.event_settings.get("schema")) is not None and not isinstance(message, Unknown):

        def field(*path: object) -> str:
            return ".".join(["input.message", *(str(step) for step in path)])

        for error in validator_of(schema).iter_errors(message):
            yield from told(error, message, field)


def _wrong_headers(found: Found, headers: Any) -> Iterator[FieldError]:
    topic = found.event_settings
    given = headers if isinstance(headers, dict) else {}
    if isinstance(headers, Unknown):
        return
    if headers is not None and not isinstance(headers, dict):
        yield FieldError("input.headers", "invalid", "must be an object of texts")
    for name, value in given.items():
        at = f"input.headers.{name[:100]}"
        if name.lower() in EVERY_CALL:
            yield FieldError(at, "invalid", IN_AN_INPUT)
        elif not is_scalar(value):
            yield FieldError(at, "invalid", "must be text, a number or true/false")
        else:
            try:
                check_headers({name: "" if isinstance(value, Unknown) else plain(value)})
            except InvalidRequest as error:
                yield FieldError(at, "invalid", str(error))
    every = {**topic.get("headers", {}), **given}
    if given and not carries_headers(found.type, found.connection, topic):
        yield FieldError("input.headers", "invalid", _no_place(found, "headers"))
    elif (wrong := wrong_headers(found.type, every)) is not None:
        yield FieldError("input.headers", "invalid", wrong)


def _wrong_key(found: Found, key: Any) -> Iterator[FieldError]:
    if key is None:
        return
    if not is_scalar(key):
        yield FieldError("input.key", "invalid", "must be text or a number")
    elif not 0 < len(plain(key)) <= _LONGEST_KEY:
        yield FieldError("input.key", "invalid", f"must have 1 to {_LONGEST_KEY} characters")
    elif not carries_keys(found.type, found.connection, found.event_settings):
        yield FieldError("input.key", "invalid", _no_place(found, "keys"))


def _no_place(found: Found, what: str) -> str:
    way_out = ": set `envelope: true` on the topic, and they go into the message" if found.type != "nats" else ""
    return f"have no place there: {found.kind.name} {found.tag!r} ({found.type}) carries no {what} beside a message{way_out}"


def _wrong_options(found: Found, options: Any) -> Iterator[FieldError]:
    if options is None or isinstance(options, Unknown):
        return
    problems = Problems()
    # A value that only a run knows may fit; one that is known must.
    known = (
        {name: value for name, value in options.items() if not isinstance(value, Unknown)}
        if isinstance(options, dict)
        else options
    )
    shapes.read(OPTIONS[found.type], known, "input.options", problems)
    yield from problems.errors


def _options_of(found: Found, given: Mapping[str, Any]) -> dict[str, Any]:
    shape = OPTIONS[found.type]
    names = {word for name, each in shape.items() for word in (name, *each.aliases)}
    return shapes.read(shape, {name: value for name, value in given.items() if name in names}, "", Problems()).settings
