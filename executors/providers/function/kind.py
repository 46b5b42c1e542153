"""What a catalog says of functions: HTTP, AWS Lambda, and tasks of a team's own Celery app. Imports no driver."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any, Final

from core.http import InvalidRequest, check_headers, check_url
from executors.catalog.app_schema import MAX_RESPONSE_BYTES, MAX_TIMEOUT_MS, REQUEST_TYPES
from executors.catalog.kinds import ShapedKind
from executors.catalog.reading import Reader
from executors.catalog.shapes import Anything, Flag, Inner, Pairs, Shape, Text, Texts, Whole, texts_in
from executors.expressions import ExpressionError, references_in
from executors.own_headers import EVERY_CALL, IN_THE_CATALOG
from executors.providers.function import celery_urls
from executors.reach.paths import wrong_path

METHODS: Final = ("DELETE", "GET", "HEAD", "PATCH", "POST", "PUT")
LONGEST_KEPT_SECONDS: Final = 10 * 365 * 86_400
_TASK: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_\-]*(?:[.:][A-Za-z0-9_\-]+)*")
_QUEUE: Final = re.compile(r"[A-Za-z0-9_.:\-]{1,200}")
_REGION: Final = re.compile(r"[a-z]{2}(?:-[a-z]+)+-[0-9]{1,2}")
_FUNCTION: Final = re.compile(r"[A-Za-z0-9_:\-]{1,170}")
_QUALIFIER: Final = re.compile(r"[A-Za-z0-9_$\-]{1,128}")
_OF_AUTH: Final[Mapping[str, tuple[str, ...]]] = {"bearer": ("token",), "basic": ("username", "password")}


def _wrong_url(text: str) -> str | None:
    try:
        check_url(text)
    except InvalidRequest as error:
        return str(error)
    return None


def _wrong_by(read: Callable[[str], celery_urls.Address]) -> Callable[[str], str | None]:
    def wrong(text: str) -> str | None:
        try:
            address = read(text)
        except celery_urls.WrongUrl as error:
            return str(error)
        return wrong_path(address.name) if address.system == "sqlite" else None

    return wrong


_AUTH: Shape = {
    "type": Text(choices=("basic", "bearer"), fold=str.lower),
    "token": Text(secret=True),
    "username": Text(aliases=("user",)),
    "password": Text(secret=True, aliases=("pass",)),
    "headers": Pairs(),
    "query": Pairs(),
    "body": Anything(types=(dict,), told="an object"),
}
_HTTP: Shape = {
    "url": Text(required=True, check=_wrong_url),
    "method": Text(choices=METHODS, fold=str.upper),
    "auth": Inner(shape=_AUTH),
    "headers": Pairs(),
    "query": Pairs(),
    "request_type": Text(choices=tuple(sorted(REQUEST_TYPES)), fold=str.lower),
    "timeout": Whole(low=1, high=MAX_TIMEOUT_MS),
    "max_response_bytes": Whole(low=1, high=MAX_RESPONSE_BYTES),
    "large_response": Text(choices=("fail", "truncate")),
    "idempotency": Text(choices=("run", "attempt")),
}
_LAMBDA: Shape = {
    "region": Text(required=True, pattern=_REGION),
    "function_name": Text(required=True, pattern=_FUNCTION, aliases=("function",)),
    "access_key_id": Text(required=True, secret=True, aliases=("access_key",)),
    "secret_access_key": Text(required=True, secret=True, aliases=("secret_key",)),
    "session_token": Text(secret=True),
    "endpoint_url": Text(check=_wrong_url),
    "qualifier": Text(pattern=_QUALIFIER),
    "invocation_type": Text(choices=("Event", "RequestResponse")),
    "timeout": Whole(low=1, high=MAX_TIMEOUT_MS),
    "max_response_bytes": Whole(low=1, high=MAX_RESPONSE_BYTES),
}
_CELERY: Shape = {
    "broker_url": Text(required=True, secret=True, aliases=("broker",), check=_wrong_by(celery_urls.broker)),
    "result_backend": Text(secret=True, aliases=("backend",), check=_wrong_by(celery_urls.backend)),
    "queue": Text(pattern=_QUEUE),
    "serializer": Text(choices=("json",)),
    "result_expires": Whole(low=1, high=LONGEST_KEPT_SECONDS),
    "terminate": Flag(),
}
_OF_ONE_TYPE: Final = {"tasks": "celery", "method": "http"}


def _refine_component(settings: Mapping[str, Any], reader: Reader) -> None:
    type = settings.get("type")
    for name, owner in _OF_ONE_TYPE.items():
        if name in settings and type not in {None, owner}:
            reader.problem(name, f"belongs to a function of type {owner}, and this one is of type {type}")
    if type == "celery" and not settings.get("tasks"):
        reader.problem("tasks", "is required: the names of the tasks that a job may run", "required")
    for name in ("sample", "sample_response"):
        for text in texts_in(settings.get(name)):
            try:
                references_in(text)
            except ExpressionError as error:
                reader.problem(name, str(error), error.code)
                break


def _refine_connection(component: Mapping[str, Any], settings: Mapping[str, Any], reader: Reader) -> None:
    type = settings.get("type") or component.get("type") or KIND.default_type
    if type == "celery" and not component.get("type") and not component.get("tasks"):
        reader.problem("type", "is celery: its function needs `tasks`, the names that a job may run", "required")
    if type != "http":
        return
    for name in ("headers", "auth.headers"):
        group, _, inner = name.rpartition(".")
        headers = (settings.get(group, {}) if group else settings).get(inner, {})
        _check_headers(headers, name, reader)
    _check_auth(settings.get("auth", {}), reader)


def _check_headers(headers: Mapping[str, str], at: str, reader: Reader) -> None:
    for name, value in headers.items():
        try:
            check_headers({name: value})
        except InvalidRequest as error:
            reader.problem(f"{at}.{name}", str(error))
        if name.lower() in EVERY_CALL:
            reader.problem(f"{at}.{name}", IN_THE_CATALOG)


def _check_auth(auth: Mapping[str, Any], reader: Reader) -> None:
    """What logs in is never written where it is shown again: there it is a reference to a secret."""
    given = reader.data.get("auth")
    given = given if isinstance(given, dict) else {}
    aliases = {"user": "username", "pass": "password"}
    named = {str(aliases.get(name, name)) for name, value in given.items() if value is not None}
    wanted = _OF_AUTH.get(auth.get("type", ""), ())
    for name in wanted:
        if name not in named:
            reader.problem(f"auth.{name}", f"is required for auth of type {auth['type']}", "required")
    for name in sorted(named & {"token", "username", "password"} - {*wanted}):
        fit = next(type for type, fields in _OF_AUTH.items() if name in fields)
        reader.problem(f"auth.{name}", f"belongs to auth of type {fit}: say `type: {fit}`")
    for group in ("headers", "query", "body"):
        for name, value in auth.get(group, {}).items():
            try:
                refers = isinstance(value, str) and bool(references_in(value))
            except ExpressionError as error:
                if group == "body":  # the others were told of as they were read
                    reader.problem(f"auth.{group}.{name}", str(error), error.code)
                continue
            if not refers:
                told = "logs in, and is shown again: write $Secret{KEY}, or put it outside of auth"
                reader.problem(f"auth.{group}.{name}", told, "secret_in_clear")


KIND = ShapedKind(
    name="function",
    plural="functions",
    namespaces=("functions",),
    target="function",
    event_fields=(),  # a function is called as a whole
    component={
        "method": Text(choices=METHODS, fold=str.upper),
        "tasks": Texts(pattern=_TASK),
        "sample": Anything(types=(dict,), told="an object"),
        "sample_response": Anything(aliases=("sampleResponse",)),
    },
    connections={"http": _HTTP, "lambda": _LAMBDA, "celery": _CELERY},
    default_type="http",
    drivers={"lambda": ("botocore", "aws")},
    check="executors.providers.function.check.check",
    refine_component=_refine_component,
    refine_connection=_refine_connection,
)
