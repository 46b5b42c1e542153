"""The operations of a storage: their names, what each takes, and what is wrong with an input. Pure.

The same rules hold for a saved event's template, for an input at dispatch, in which an `Unknown` may become
anything, and for the values of an attempt.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from core import http
from core.errors import FieldError
from core.fields import dotted, not_one_of, suggestion, unknown_fields
from executors import templates
from executors.expressions import Unknown
from executors.providers.storage.names import guessed_type, wrong_name, wrong_prefix
from executors.providers.storage.store import PAGE

LONGEST_SIGNED_SECONDS = 7 * 86_400  # what S3 and Google accept
_MIME_TYPE = re.compile(r"[A-Za-z0-9!#$&^_.+\-]{1,100}/[A-Za-z0-9!#$&^_.+\-]{1,100}(; ?[\x20-\x7e]{1,100})?")
_TEXT, _BASE64 = "text", "base64"
_ENCODINGS = {"base64": _BASE64, "text": _TEXT, "utf8": _TEXT, "utf-8": _TEXT}
_ACTIONS = {"read": False, "get": False, "write": True, "put": True}


@dataclass(frozen=True, kw_only=True)
class Parameter:
    """`wrong` says why a value is none, or None. `aliases` are other spellings."""

    wrong: Callable[[Any], str | None]
    required: bool = False
    aliases: tuple[str, ...] = ()


def _text(check: Callable[[str], str | None]) -> Callable[[Any], str | None]:
    return lambda value: check(value) if isinstance(value, str) else "must be text"


def _word(choices: Mapping[str, Any]) -> Callable[[Any], str | None]:
    return _text(lambda word: None if word.lower() in choices else not_one_of(word, sorted(choices)))


def _whole(low: int, high: int) -> Callable[[Any], str | None]:
    def wrong(value: Any) -> str | None:
        if isinstance(value, int) and not isinstance(value, bool) and low <= value <= high:
            return None
        return f"must be a whole number between {low} and {high}"

    return wrong


def _wrong_url(url: str) -> str | None:
    try:
        http.check_url(url)
    except http.InvalidRequest as error:
        return str(error)
    return None


def _wrong_headers(value: Any) -> str | None:
    if not isinstance(value, dict) or not all(isinstance(text, str) for text in value.values()):
        return "must be an object of texts"
    try:
        http.check_headers({name: "" if isinstance(text, Unknown) else text for name, text in value.items()})
    except http.InvalidRequest as error:
        return str(error)
    return None


def _wrong_buffer(value: Any) -> str | None:
    try:
        _bytes_of_buffer(value)
    except ValueError:
        return 'must be base64 text, or what a Buffer is in JSON: {"type": "Buffer", "data": [bytes]}'
    return None


def is_mime_type(text: str) -> bool:
    return _MIME_TYPE.fullmatch(text) is not None


def _wrong_mime_type(text: str) -> str | None:
    return None if is_mime_type(text) else f"{text[:60]!r} is no MIME type, such as application/pdf"


_FILE = Parameter(wrong=_text(wrong_name), required=True, aliases=("file_name",))
_PREFIX = Parameter(wrong=_text(wrong_prefix))
_TYPE = Parameter(wrong=_text(_wrong_mime_type), aliases=("mime_type", "contentType", "content_type"))

OPERATIONS: Mapping[str, Mapping[str, Parameter]] = {
    "upload": {
        "fileName": _FILE,
        "buffer": Parameter(wrong=_wrong_buffer),
        "content": Parameter(wrong=lambda value: None),
        "encoding": Parameter(wrong=_word(_ENCODINGS)),
        "url": Parameter(wrong=_text(_wrong_url)),
        "headers": Parameter(wrong=_wrong_headers),
        "mimeType": _TYPE,
    },
    "download": {"fileName": _FILE, "encoding": Parameter(wrong=_word(_ENCODINGS))},
    "remove": {"fileName": _FILE},
    "listFiles": {
        "prefix": _PREFIX,
        "limit": Parameter(wrong=_whole(1, PAGE)),
        "continuationToken": Parameter(
            wrong=_text(lambda text: None if 0 < len(text) <= 4096 and "\x00" not in text else "is not a token"),
            aliases=("nextToken", "continuation_token", "next_token"),
        ),
    },
    "getSignedUrl": {
        "fileName": _FILE,
        "expiresIn": Parameter(wrong=_whole(1, LONGEST_SIGNED_SECONDS), aliases=("expires_in",)),
        "action": Parameter(wrong=_word(_ACTIONS), aliases=("method",)),
        "mimeType": _TYPE,
    },
    "stats": {"prefix": _PREFIX},
}
_SOURCES = ("buffer", "content", "url")
_FOLDED = {name.lower(): name for name in OPERATIONS}


def canonical(name: str) -> str:
    """The operation that a name means in any case, with _ or - in it or not; another name as it is."""
    return _FOLDED.get(name.lower().replace("_", "").replace("-", ""), name)


def problems(
    operation: str, given: Mapping[str, Any], path: str, *, type: str | None = None, partly: bool = False
) -> Iterator[FieldError]:
    """What is wrong with the values of an operation on a storage of that type. `partly`: more of them may come."""
    parameters = OPERATIONS[operation]
    if operation == "getSignedUrl" and type == "local":
        yield FieldError(path, "invalid", "a local folder has no signed URLs: those need a cloud's storage")
    known = _spellings(parameters)
    yield from unknown_fields({name: each for name, each in given.items() if name not in known}, list(parameters), path)
    present = set()
    for name, parameter in parameters.items():
        spelled = [word for word in (name, *parameter.aliases) if given.get(word) is not None]
        if len(spelled) > 1:
            yield FieldError(dotted(path, spelled[1]), "invalid", f"is the same as {spelled[0]!r}: give one of them")
        if not spelled:
            if parameter.required and not partly:
                yield FieldError(dotted(path, name), "required", "is required")
            continue
        present.add(name)
        value = given[spelled[0]]
        if not _is_unknown(value) and (told := parameter.wrong(value)) is not None:
            yield FieldError(dotted(path, spelled[0]), "invalid", told)
    if operation == "upload":
        yield from _wrong_together(given, present, path, partly)


def _wrong_together(given: Mapping[str, Any], present: set[str], path: str, partly: bool) -> Iterator[FieldError]:
    sources = [name for name in _SOURCES if name in present]
    if len(sources) > 1:
        yield FieldError(dotted(path, sources[1]), "invalid", f"give {sources[0]!r} or this, not both")
    if not sources and not partly:
        yield FieldError(
            dotted(path, "content"),
            "required",
            "what is to be stored: buffer (base64), content (text or JSON), or url (fetched from there)",
        )
    for name, of in (("encoding", "content"), ("headers", "url")):
        if name in present and of not in present and not partly:
            yield FieldError(dotted(path, name), "invalid", f"goes with {of!r} only")
    content, encoding = given.get("content"), given.get("encoding")
    if _is_unknown(content) or not isinstance(encoding, str) or _ENCODINGS.get(encoding.lower()) != _BASE64:
        return
    if content is not None and (not isinstance(content, str) or _wrong_buffer(content) is not None):
        yield FieldError(dotted(path, "content"), "invalid", "is not base64, as its encoding says")


def values_of(operation: str, given: Mapping[str, Any]) -> dict[str, Any]:
    """The values under their first spelling, without those that are null. Of an input that is right."""
    return {
        name: given[word]
        for name, parameter in OPERATIONS[operation].items()
        for word in (name, *parameter.aliases)
        if given.get(word) is not None
    }


def completed(
    operation: str, template: Mapping[str, Any], given: Mapping[str, Any], path: str
) -> tuple[dict[str, Any], list[FieldError]]:
    """A saved event with the input of one dispatch: its template filled, and what the template leaves open."""
    names = list(dict.fromkeys(templates.names_in(template)))
    errors = [
        FieldError(dotted(path, name), "required", f"is required: the saved event has {{{{{name}}}}}")
        for name in names
        if name not in given
    ]
    fixed = values_of(operation, template)
    open_ones = {name: each for name, each in OPERATIONS[operation].items() if name not in fixed}
    known = {*names, *_spellings(open_ones)}
    for name in given:
        if name in known:
            continue
        if name in _spellings(OPERATIONS[operation]):
            errors.append(FieldError(dotted(path, name), "invalid", "is set by the saved event"))
        else:
            told = f"there is no such field: {suggestion(name, [*names, *open_ones])}"
            errors.append(FieldError(dotted(path, name[:100]), "unknown_field", told))
    if errors:
        return {}, errors
    try:
        values = templates.filled(template, given.__getitem__, written=_part_of_text)
    except _NotText as error:
        told = "must be text, a number or true/false: it is a part of a text in the saved event"
        return {}, [FieldError(dotted(path, error.name), "invalid", told)]
    return {**{name: value for name, value in given.items() if name not in names}, **values}, []


class _NotText(Exception):
    """An object or a list was given for a placeholder that is a part of a text."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.name = name


def _part_of_text(name: str, value: Any) -> str:
    if value is None or isinstance(value, (dict, list)):
        raise _NotText(name)
    return templates.as_text(value)


def body_of(values: Mapping[str, Any]) -> tuple[bytes, str]:
    """What an upload that is not fetched stores, and its MIME type."""
    guessed = values.get("mimeType") or guessed_type(str(values["fileName"]))
    if "buffer" in values:
        return _bytes_of_buffer(values["buffer"]), guessed or "application/octet-stream"
    content = values["content"]
    if not isinstance(content, str):
        return json.dumps(content, ensure_ascii=False).encode(), guessed or "application/json"
    if _ENCODINGS.get(str(values.get("encoding", "")).lower()) == _BASE64:
        return _bytes_of_buffer(content), guessed or "application/octet-stream"
    return content.encode(), guessed or "text/plain; charset=utf-8"


def as_text(values: Mapping[str, Any]) -> bool:
    """Whether a download is wanted as text."""
    return _ENCODINGS.get(str(values.get("encoding", "")).lower()) == _TEXT


def writes(values: Mapping[str, Any]) -> bool:
    """Whether a signed URL is for writing."""
    return _ACTIONS[str(values.get("action", "read")).lower()]


def _bytes_of_buffer(value: Any) -> bytes:
    """Raises ValueError."""
    if isinstance(value, str):
        try:
            return base64.b64decode("".join(value.split()), validate=True)
        except (binascii.Error, ValueError):
            raise ValueError("no base64") from None
    if not isinstance(value, dict) or value.get("type") != "Buffer" or not isinstance(value.get("data"), list):
        raise ValueError("no buffer")
    if not all(type(each) is int for each in value["data"]):
        raise ValueError("no bytes")
    return bytes(value["data"])


def _spellings(parameters: Mapping[str, Parameter]) -> set[str]:
    return {word for name, parameter in parameters.items() for word in (name, *parameter.aliases)}


def _is_unknown(value: Any) -> bool:
    """Whether any of it may become something else."""
    if isinstance(value, dict):
        return any(_is_unknown(member) for member in value.values())
    if isinstance(value, list):
        return any(_is_unknown(member) for member in value)
    return isinstance(value, Unknown)
