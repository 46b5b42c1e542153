"""An app of the catalog document: where it is, how one logs in there, and its actions.

Pure, as `executors.catalog.schema` is.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, Final

from jsonschema import Draft202012Validator
from jsonschema.exceptions import SchemaError

from core.http import InvalidRequest, check_headers, check_url
from executors.catalog.auth_schema import read_auth
from executors.catalog.entries import ComponentEntry, ConnectionEntry, EventEntry, Secrets
from executors.catalog.reading import SLUG, Problems, Reader, unqualified
from executors.catalog.variable_schema import check_values, read_constants, read_declarations, read_values
from executors.expressions import ExpressionError, plain, references_in
from executors.own_headers import EVERY_CALL, IN_THE_CATALOG

METHODS: Final = frozenset({"GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS"})
REQUEST_TYPES: Final = frozenset({"json", "urlencoded", "formdata", "xml", "soap", "html", "text"})
MAX_TIMEOUT_MS: Final = 86_400_000
MAX_RESPONSE_BYTES: Final = 10 * 1024 * 1024

_CALL = {"headers", "query", "timeout", "request_type", "idempotency", "max_response_bytes", "large_response"}
_APP = frozenset(
    {"tag", "name", "app_name", "description", "envs", "events", "actions", "auth", "variables", "constants", *_CALL}
)
_ENV = frozenset({"base_url", "auth", "variables", *_CALL})
_EVENT = frozenset({"tag", "name", "description", "method", "resource", "body", "success", *_CALL})
_CREDENTIAL_HEADER = re.compile(
    r"authorization|proxy-authorization|cookie|(.*-)?(api-?key|token|secret|password)", re.IGNORECASE
)
_ADDRESS = re.compile(r"[A-Za-z][A-Za-z0-9+.\-]*://|//")  # of another host, as a browser would read it
_A_REFERENCE = re.compile(r"\$[A-Z][A-Za-z]*(?:\{[^}]*\})+")
# Keywords by which a schema could make its check run for ever, or fetch something.
_REFUSED_KEYWORDS = frozenset({"$ref", "$dynamicRef", "$recursiveRef", "pattern", "patternProperties"})
_HOLD_SCHEMAS = frozenset({"properties", "dependentSchemas", "$defs", "definitions"})
_HOLD_DATA = frozenset({"enum", "const", "default", "example", "examples", "required", "dependentRequired"})


def read_app(data: Any, path: str, problems: Problems) -> ComponentEntry | None:
    """The app written at `path`, or None where it has no usable tag."""
    reader = Reader(data, path, problems, _APP)
    tag = reader.named("tag")
    settings, secrets = _read_shared(reader)
    if (description := reader.text("description", limit=2000)) is not None:
        settings["description"] = description
    if constants := read_constants(reader):
        settings["constants"] = constants
    declared = read_declarations(reader)
    if declared:
        settings["variables"] = declared
    connections = []
    for slug, at, entry in reader.by_slug("envs"):
        if not SLUG.fullmatch(slug):
            problems.add(at, f"{slug[:60]!r} is not the slug of an environment")
        connections.append(read_connection(slug, entry, at, problems))
        check_values(declared, connections[-1].settings.get("variables", {}), at, problems)
    written = [(at, unqualified(entry, tag)) for at, entry in reader.items("events", "actions")]
    events = [event for at, entry in written if (event := read_event(entry, at, problems))]
    seen: set[str] = set()
    for event in events:
        if event.tag in seen:
            problems.add(reader.at("events"), f"{event.tag!r} is named twice", "duplicate")
        seen.add(event.tag)
    if tag is None:
        return None
    return ComponentEntry(
        tag=tag,
        name=reader.text("name", "app_name"),
        settings=settings,
        secrets=secrets,
        connections=tuple(connections),
        events=tuple(events),
        path=path,
    )


def read_connection(slug: str, data: Any, path: str, problems: Problems) -> ConnectionEntry:
    """How the app is reached in the environment `slug`."""
    reader = Reader(data, path, problems, _ENV)
    settings, secrets = _read_shared(reader)
    if variables := read_values(reader):
        settings["variables"] = variables
    base_url = reader.text("base_url", limit=2000)
    if base_url is None:
        if reader.data.get("base_url") is None:
            reader.problem("base_url", "is required", "required")
    elif _references(base_url, reader, "base_url"):
        try:
            checked = check_url(_A_REFERENCE.sub("x", base_url))
        except InvalidRequest as error:
            reader.problem("base_url", str(error))
        else:
            if "?" in checked or "#" in base_url:
                reader.problem("base_url", "must not hold a query or fragment: use query, or auth of type query")
        settings["base_url"] = base_url
    return ConnectionEntry(env=slug, settings=settings, secrets=secrets, path=path)


def read_event(data: Any, path: str, problems: Problems) -> EventEntry | None:
    """An action of the app."""
    reader = Reader(data, path, problems, _EVENT)
    tag = reader.named("tag")
    settings: dict[str, Any] = {"method": reader.choice("method", METHODS, fold=str.upper) or "GET"}
    resource = reader.text("resource", limit=2000)
    if resource is None:
        if reader.data.get("resource") is None:
            reader.problem("resource", "is required: the path of the action, such as /users/:userId", "required")
    elif _ADDRESS.match(resource):
        reader.problem(
            "resource", "must be a path, such as /users/:userId: the host is in base_url of each environment"
        )
    else:
        settings["resource"] = resource if resource.startswith("/") else f"/{resource}"
        try:
            check_url("http://host" + settings["resource"])
        except InvalidRequest as error:
            reader.problem("resource", str(error))
    for name in ("name", "description"):
        if (text := reader.text(name, limit=2000)) is not None:
            settings[name] = text
    _read_call(reader, settings)
    if (body := reader.value("body", dict)) is not None:
        settings["body"] = read_json_schema(body, reader, "body")
    if (success := reader.value("success", list)) is not None:
        if not success or not all(type(code) is int and 200 <= code <= 599 for code in success):
            reader.problem("success", "must be a list of status codes between 200 and 599")
        settings["success"] = success
    return EventEntry(tag=tag, settings=settings) if tag is not None else None


def _read_shared(reader: Reader) -> tuple[dict[str, Any], Secrets]:
    """What an app and each of its environments may both say; the environment's word counts."""
    settings: dict[str, Any] = {}
    _read_call(reader, settings)
    secrets: Secrets = {}
    if reader.data.get("auth") is not None:
        settings["auth"], secrets = read_auth(reader.data["auth"], reader.at("auth"), reader.problems)
    return settings, secrets


def _read_call(reader: Reader, settings: dict[str, Any]) -> None:
    """Headers, query, timeout, request type and idempotency, wherever they are given."""
    if (timeout := reader.number("timeout", low=1, high=MAX_TIMEOUT_MS)) is not None:
        settings["timeout"] = timeout
    if (known := reader.choice("request_type", REQUEST_TYPES, fold=str.lower)) is not None:
        settings["request_type"] = known
    if (limit := reader.number("max_response_bytes", low=1, high=MAX_RESPONSE_BYTES)) is not None:
        settings["max_response_bytes"] = limit
    if (large := reader.choice("large_response", ("fail", "truncate"))) is not None:
        settings["large_response"] = large
    if (idempotency := reader.choice("idempotency", ("run", "attempt"))) is not None:
        settings["idempotency"] = idempotency
    for name in ("headers", "query"):
        values = reader.value(name, dict)
        if values is None:
            continue
        settings[name] = texts = {}
        seen: set[str] = set()
        for key, value in values.items():
            at = f"{name}.{key}"
            if name == "headers" and key.lower() in seen:
                reader.problem(at, "is named twice: the names of headers are the same in any case", "duplicate")
            seen.add(key.lower())
            if isinstance(value, (dict, list)) or value is None:
                reader.problem(at, "must be text, a number or true/false")
                continue
            texts[key] = plain(value)
            _references(texts[key], reader, at)
            if name == "headers":
                _check_header(key, texts[key], reader, at)


def _check_header(name: str, value: str, reader: Reader, at: str) -> None:
    try:
        check_headers({name: value})
    except InvalidRequest as error:
        reader.problem(at, str(error))
    if name.lower() in EVERY_CALL:
        reader.problem(at, IN_THE_CATALOG)
    if _CREDENTIAL_HEADER.fullmatch(name) and not _refers(value):
        reader.problem(
            at,
            "looks like a credential, and headers are shown again: write $Secret{KEY}, or use auth",
            "secret_in_clear",
        )


def _refers(text: str) -> bool:
    """Whether a text refers to anything; where that cannot be understood, it has been told."""
    try:
        return bool(references_in(text))
    except ExpressionError:
        return True


def _references(text: str, reader: Reader, name: str) -> bool:
    """Whether what the text refers to can be understood."""
    try:
        references_in(text)
    except ExpressionError as error:
        reader.problem(name, str(error), error.code)
        return False
    return True


def read_json_schema(schema: dict[str, Any], reader: Reader, name: str) -> dict[str, Any]:
    """The JSON Schema in the field `name`, told of where it is none, or may not be checked in bounded time."""
    for at, keyword in _refused(schema, name):
        reader.problem(at, f"the keyword {keyword!r} is not supported in such a schema", "not_supported")
    try:
        Draft202012Validator.check_schema(schema)
    except SchemaError as error:
        at = ".".join([name, *(str(part) for part in error.absolute_path)])
        reader.problem(at, f"is not JSON Schema: {error.message[:200]}")
    return schema


def _refused(schema: Any, path: str) -> Iterator[tuple[str, str]]:
    """Where a schema uses a keyword that it may not, skipping what is data in it."""
    if isinstance(schema, list):
        for position, member in enumerate(schema):
            yield from _refused(member, f"{path}.{position}")
    if not isinstance(schema, dict):
        return
    for keyword, value in schema.items():
        at = f"{path}.{keyword}"
        if keyword in _REFUSED_KEYWORDS:
            yield at, keyword
        elif keyword in _HOLD_SCHEMAS and isinstance(value, dict):
            for name, inner in value.items():
                yield from _refused(inner, f"{at}.{name}")
        elif keyword not in _HOLD_DATA:
            yield from _refused(value, at)
