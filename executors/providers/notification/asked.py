"""The input of a notification: what is wrong with it, and what it asks of each channel.

Owns the spellings of an input, older ones included. Pure. At dispatch an `Unknown` may still become anything; in the
worker there is none left, and what is wrong then fails the run.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from core.errors import FieldError
from core.fields import unknown_fields
from core.http import InvalidRequest, check_headers
from executors.catalog.formats import is_email
from executors.catalog.resolve import PATH_PARAMETER
from executors.expressions import Unknown
from executors.own_headers import EVERY_CALL, IN_THE_CATALOG
from executors.providers.notification.channels import CALLBACK, CHANNELS, EMAIL, PUSH, SMS, Channel, settings_of

MOST_RECIPIENTS = 200  # of one channel in one run; each is recorded with the run
_LONGEST_TOKEN = 4096
_IGNORED = frozenset({"slug"})  # of the older form; the target names the message now
_NUMBER = re.compile(r"\+?[0-9][0-9 ()./\-]{1,30}")
_NOT_DIALLED = re.compile(r"[ ()./\-]")


@dataclass(frozen=True, slots=True)
class Asked:
    """What an input asks of one channel. `recipients` is [""] for one that has none to name."""

    channel: Channel
    recipients: tuple[str, ...]
    parts: Mapping[str, Mapping[str, Any]]
    skipped: str = ""  # why it is not sent on this one


def wrong(input: Mapping[str, Any], event: Mapping[str, Any], connection: Mapping[str, Any]) -> Iterator[FieldError]:
    """What is wrong with an input for a message in an environment; fields are under `input`."""
    known = {*_IGNORED, *(channel.part for channel in CHANNELS)}
    yield from unknown_fields(input, known, "input")
    for channel in CHANNELS:
        said = input.get(channel.part)
        if said is None or isinstance(said, Unknown):
            continue
        at = f"input.{channel.part}"
        if channel.part not in event:
            has = ", ".join(each.part for each in CHANNELS if each.part in event)
            yield FieldError(at, "invalid", f"the message has no {channel.part}: it has {has}")
        elif not connection.get(channel.block):
            yield FieldError(at, "invalid", f"its environment has no {channel.block}: add it to its connection")
        elif not isinstance(said, Mapping):
            yield FieldError(at, "invalid", "must be an object")
        else:
            yield from _wrong_channel(channel, said, at)
    yield from _wrong_path(input, event, connection)
    if not any(isinstance(each, Unknown) for each in input.values()) and not any(
        not each.skipped for each in _asked(input, event, connection)
    ):
        here = [channel for channel in CHANNELS if channel.part in event and connection.get(channel.block)]
        if here == [CALLBACK]:
            yield from _wrong_path({CALLBACK.part: {}, **input}, event, connection)
            return
        fields = " or ".join(".".join((channel.part, *channel.recipients[:1])) for channel in here)
        lacks = "names nobody to send to: its environment has no channel of the message"
        yield FieldError("input", "required", f"names nobody to send to: give {fields}" if here else lacks)


def asked(input: Mapping[str, Any], event: Mapping[str, Any], connection: Mapping[str, Any]) -> list[Asked]:
    """What a checked input asks, for each channel of the message, in the order of a result."""
    return list(_asked(input, event, connection))


def _asked(input: Mapping[str, Any], event: Mapping[str, Any], connection: Mapping[str, Any]) -> Iterator[Asked]:
    for channel in CHANNELS:
        if channel.part not in event:
            continue
        said = input.get(channel.part)
        said = said if isinstance(said, Mapping) else {}
        parts = {part: said[name] for name, part in channel.parts.items() if isinstance(said.get(name), Mapping)}
        recipients = _recipients(channel, said)
        skipped = ""
        if settings_of(channel, connection) is None:
            skipped = f"the environment has no {channel.block}"
        elif not recipients:
            skipped = f"the input names no {channel.part}.{channel.recipients[0]}"
        elif channel is CALLBACK and CALLBACK.part not in input and (lacking := _unfilled(event, connection, {})):
            skipped = f"the input names no {CALLBACK.part}.params.{lacking[0]}, which its URL holds"
        yield Asked(channel, recipients, parts, skipped)


def _recipients(channel: Channel, said: Mapping[str, Any]) -> tuple[str, ...]:
    """Each once, in the order given; numbers as they are dialled."""
    if not channel.recipients:
        return ("",)
    given: Any = next((said[name] for name in channel.recipients if said.get(name) is not None), [])
    listed = [given] if isinstance(given, str) else given if isinstance(given, list) else []
    texts = [each for each in listed if isinstance(each, str) and each]
    if channel is SMS:
        texts = [each if isinstance(each, Unknown) else _NOT_DIALLED.sub("", each) for each in texts]
    return tuple(dict.fromkeys(texts))


def _wrong_channel(channel: Channel, said: Mapping[str, Any], at: str) -> Iterator[FieldError]:
    yield from unknown_fields(said, {*channel.recipients, *channel.parts}, at)
    given = [name for name in channel.recipients if said.get(name) is not None]
    if len(given) > 1:
        yield FieldError(f"{at}.{given[1]}", "duplicate", f"is another spelling of {given[0]}: give one of them")
    for name in given:
        yield from _wrong_recipients(channel, said[name], f"{at}.{name}")
    filling: dict[str, str] = {}
    for name, part in channel.parts.items():
        value = said.get(name)
        if value is None or isinstance(value, Unknown):
            continue
        if part in filling:
            yield FieldError(f"{at}.{name}", "duplicate", f"is another spelling of {filling[part]}: give one of them")
        filling[part] = name
        if not isinstance(value, Mapping):
            told = f"must be an object: the values of the placeholders in the message's {part}"
            yield FieldError(f"{at}.{name}", "invalid", told)
        elif channel is CALLBACK and name == "headers":
            yield from _wrong_headers(value, f"{at}.{name}")


def _wrong_recipients(channel: Channel, value: Any, at: str) -> Iterator[FieldError]:
    if isinstance(value, Unknown):
        return
    listed = [value] if isinstance(value, str) else value
    if not isinstance(listed, list):
        yield FieldError(at, "invalid", "must be a list of texts")
        return
    if len(listed) > MOST_RECIPIENTS:
        told = f"names {len(listed)}; at most {MOST_RECIPIENTS} are taken in one job: use one job for each so many"
        yield FieldError(at, "invalid", told)
        return
    for position, each in enumerate(listed):
        if (problem := _wrong_recipient(channel, each)) is not None:
            yield FieldError(f"{at}.{position}" if isinstance(value, list) else at, "invalid", problem)


def _wrong_recipient(channel: Channel, each: Any) -> str | None:
    if isinstance(each, Unknown):
        return None
    if not isinstance(each, str):
        return "must be text"
    if channel is EMAIL and not is_email(each):
        return f"{each[:120]!r} is not an e-mail address, such as a@example.com"
    if channel is SMS and not _NUMBER.fullmatch(each):
        return f"{each[:60]!r} is not a telephone number, such as +15550001111"
    if channel is PUSH and (not each or len(each) > _LONGEST_TOKEN or any(letter.isspace() for letter in each)):
        return f"is not a device token: 1 to {_LONGEST_TOKEN} characters without a space"
    return None


def _wrong_headers(headers: Mapping[str, Any], at: str) -> Iterator[FieldError]:
    for name in headers:
        if str(name).lower() in EVERY_CALL:
            yield FieldError(f"{at}.{name}", "invalid", IN_THE_CATALOG)
        try:
            check_headers({name: ""})
        except InvalidRequest as error:
            yield FieldError(f"{at}.{name}"[:200], "invalid", str(error))


def _wrong_path(
    input: Mapping[str, Any], event: Mapping[str, Any], connection: Mapping[str, Any]
) -> Iterator[FieldError]:
    """The `:params` of a callback's URL that nothing gives a value. Not where the input says nothing of a callback:
    it is skipped then, as a channel without recipients is."""
    said = input.get(CALLBACK.part)
    if not connection.get(CALLBACK.block) or CALLBACK.part not in event or not isinstance(said, Mapping):
        return
    given = said.get("params")
    if isinstance(given, Unknown):
        return
    for name in _unfilled(event, connection, given if isinstance(given, Mapping) else {}):
        at = f"input.{CALLBACK.part}.params.{name}"
        yield FieldError(at, "required", f"is required: the callback's URL holds :{name}")


def _unfilled(event: Mapping[str, Any], connection: Mapping[str, Any], given: Mapping[str, Any]) -> list[str]:
    """The `:params` of the callback's URL without a value, each once."""
    settings = connection.get(CALLBACK.block, {})
    known = {*settings.get("auth", {}).get("params", {}), *event[CALLBACK.part].get("params", {}), *given}
    return [name for name in dict.fromkeys(PATH_PARAMETER.findall(str(settings.get("url", "")))) if name not in known]
