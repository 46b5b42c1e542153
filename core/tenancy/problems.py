"""Errors as RFC 9457 `application/problem+json`: one shape, whoever raised.

Owns the translation of the framework's, Django's and the database's exceptions. Never shows a
traceback, and never lets one of ours become a page of HTML under /v1.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from http import HTTPStatus
from typing import Any

from django.core.exceptions import PermissionDenied, RequestDataTooBig, SuspiciousOperation
from django.db import InterfaceError, OperationalError
from django.http import Http404, HttpRequest, HttpResponse
from rest_framework import exceptions as framework
from rest_framework.response import Response

from core import strictjson
from core.errors import ApiError, FieldError, Forbidden, Invalid, NotFound, TooLarge, Unauthenticated, Unavailable
from core.fields import dotted
from core.tenancy.auth import HOW
from core.tenancy.requests import request_id

CONTENT_TYPE = "application/problem+json"
_DATABASE_RETRY_SECONDS = 2

log = logging.getLogger(__name__)


def exception_handler(error: Exception, context: Mapping[str, Any]) -> Response:
    """The REST framework's hook: an answer for every exception that a view let through."""
    told = _told(error)
    headers = _headers(told)
    if (wait := getattr(error, "wait", None)) is not None:  # of the framework's Throttled
        headers["Retry-After"] = str(int(wait) + 1)
    return Response(problem(told), status=told.status, headers=headers, content_type=CONTENT_TYPE)


def answer_to(error: Exception) -> HttpResponse:
    """The same for a view that does without the framework."""
    return _answer(_told(error))


def _told(error: Exception) -> ApiError:
    """What the caller is told; the log hears of what is not the caller's doing."""
    told = as_api_error(error)
    if told is None:
        log.error("request %s failed", request_id(), exc_info=error, extra={"request_id": request_id()})
        return _internal()
    if isinstance(told, Unavailable):
        log.warning("request %s: the database is away: %s", request_id(), error, extra={"request_id": request_id()})
    return told


def problem(error: ApiError) -> dict[str, Any]:
    """The body of the answer."""
    body: dict[str, Any] = dict(error.extra)
    body.update(
        type=f"urn:ductape:problem:{error.code}",
        title=error.title,
        status=error.status,
        detail=error.detail,
        code=error.code,
        errors=[field.as_dict() for field in error.errors],
        request_id=request_id(),
    )
    return body


def as_api_error(error: Exception) -> ApiError | None:
    """What the caller is told, or None for what only the log is told."""
    match error:
        case ApiError():
            return error
        case framework.NotAuthenticated() | framework.AuthenticationFailed():
            return Unauthenticated(f"this call needs a key: {HOW}")
        case framework.PermissionDenied() | PermissionDenied():
            return Forbidden("this key may not do that")
        case framework.NotFound() | Http404():
            return NotFound("there is nothing here")
        case framework.UnsupportedMediaType():
            return _with_status(
                error, "unsupported_media_type", f"{error.detail} Send 'Content-Type: application/json'."
            )
        case framework.ValidationError():
            errors = list(_flat(error.detail))
            told = f"{errors[0].field}: {errors[0].detail}" if errors else "the request is not valid"
            return Invalid(told, errors=errors)
        case framework.ParseError():
            return Invalid(str(error.detail), code="malformed_body")
        case framework.APIException():
            return _with_status(error, str(error.default_code), str(error.detail))
        case RequestDataTooBig():
            return TooLarge("the body is too long")
        case SuspiciousOperation():
            return Invalid("the request is malformed")
        case OperationalError() | InterfaceError():
            return Unavailable(
                "the database is away or busy: try again", code="database_unavailable",
                retry_after=_DATABASE_RETRY_SECONDS,
            )  # fmt: skip
        case _:
            return None


def bad_request(request: HttpRequest, exception: Exception | None = None) -> HttpResponse:
    """`handler400` of the URL configuration."""
    return _answer(Invalid("the request is malformed"))


def permission_denied(request: HttpRequest, exception: Exception | None = None) -> HttpResponse:
    """`handler403`."""
    return _answer(Forbidden("this is not allowed"))


def page_not_found(request: HttpRequest, exception: Exception | None = None) -> HttpResponse:
    """`handler404`."""
    return _answer(NotFound(f"there is nothing at {request.path[:200]}: the API is described at /v1/docs"))


def server_error(request: HttpRequest) -> HttpResponse:
    """`handler500`: what failed outside a view of the API; Django has logged it."""
    return _answer(_internal())


def _answer(error: ApiError) -> HttpResponse:
    response = HttpResponse(strictjson.dumps(problem(error)), status=error.status, content_type=CONTENT_TYPE)
    for name, value in _headers(error).items():
        response[name] = value
    return response


def _headers(error: ApiError) -> dict[str, str]:
    headers: dict[str, str] = {}
    if error.retry_after is not None:
        headers["Retry-After"] = str(error.retry_after)
    if error.status == HTTPStatus.UNAUTHORIZED:
        headers["WWW-Authenticate"] = "Bearer"
    return headers


def _internal() -> ApiError:
    return ApiError(f"something went wrong here, not in the request; the log knows it as request {request_id()}")


def _with_status(error: framework.APIException, code: str, detail: str) -> ApiError:
    told = ApiError(detail, code=code)
    told.status = error.status_code
    told.title = HTTPStatus(error.status_code).phrase
    return told


def _flat(detail: Any, prefix: str = "") -> Iterable[FieldError]:
    """The framework's nested error details as dotted fields."""
    if isinstance(detail, Mapping):
        for name, inner in detail.items():
            yield from _flat(inner, prefix if name == "non_field_errors" else dotted(prefix, name))
    elif isinstance(detail, (list, tuple)):
        for position, inner in enumerate(detail):
            nested = isinstance(inner, (Mapping, list, tuple))
            yield from _flat(inner, dotted(prefix, position) if nested else prefix)
    else:
        yield FieldError(prefix, str(getattr(detail, "code", "invalid")), str(detail))
