"""The shortest way to the calls that a busy client makes by the thousand.

Owns no rule of its own: what such a call is answered is the view's business (`core.tenancy.lean`),
and what every answer gets, the request's id, its line in the log and the headers for security, comes
from the middlewares around this one. Those behind it serve browsers: sessions, forms, messages,
static files. A key needs none of them, and together they take as long as reading the request does.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from functools import cache
from typing import Any

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.urls import URLPattern, URLResolver, get_resolver, resolve

from core.tenancy.lean import LeanView

View = Callable[[HttpRequest], HttpResponseBase]


class StraightMiddleware:
    """Answers a POST to a lean view whose path has no parameters; all else goes on."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        if request.method != "POST" or (view := _views(settings.ROOT_URLCONF).get(request.path_info)) is None:
            return self.get_response(request)
        request.get_host()  # refuses a name that is not in ALLOWED_HOSTS
        response = view(request)
        response.headers.setdefault("X-Frame-Options", settings.X_FRAME_OPTIONS)
        if isinstance(response, HttpResponse):
            response.headers.setdefault("Content-Length", str(len(response.content)))
        return response


@cache
def _views(urlconf: str) -> dict[str, View]:
    """The lean views by path."""
    found = _found(get_resolver(urlconf).url_patterns, "/")
    return {path: view for path, view in found if resolve(path, urlconf).func is view}


def _found(patterns: Iterable[URLPattern | URLResolver], prefix: str) -> Iterator[tuple[str, View]]:
    for each in patterns:
        route = getattr(each.pattern, "_route", None)
        if route is None or "<" in route:
            continue
        if isinstance(each, URLResolver):
            yield from _found(each.url_patterns, prefix + route)
        elif _is_lean(each.callback) and not each.default_args:
            yield prefix + route, each.callback


def _is_lean(view: Any) -> bool:
    made_of = getattr(view, "cls", None)
    return isinstance(made_of, type) and issubclass(made_of, LeanView)
