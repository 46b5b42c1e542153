"""Bodies in and out: strict JSON within limits, and the shortest JSON back.

Owns what a body may be (an object, UTF-8, bounded length and depth). Never decides about fields.
A view sets `body_limit` (bytes) where its bodies may be larger than usual.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from itertools import islice
from typing import IO, Any

from django.conf import settings
from django.http.request import UnreadablePostError
from rest_framework.exceptions import NotAcceptable
from rest_framework.negotiation import DefaultContentNegotiation
from rest_framework.parsers import BaseParser
from rest_framework.renderers import BaseRenderer
from rest_framework.request import Request

from core import strictjson
from core.errors import FieldError, Invalid, TooLarge
from core.fields import LONGEST_NAME, MOST_NAMED

_PIECE = 256 * 1024


class StrictJSONParser(BaseParser):
    """A JSON object. Raises Invalid (`malformed_body`) or TooLarge."""

    media_type = "application/json"

    def parse(
        self,
        stream: IO[Any],
        media_type: str | None = None,
        parser_context: Mapping[str, Any] | None = None,
    ) -> dict[str, Any]:
        raw = read_body(stream, parser_context or {})
        if not raw.strip():
            return {}
        try:
            value = strictjson.loads(raw)
        except strictjson.NotJSON as error:
            raise Invalid(f"the body cannot be read as JSON: {error}", code="malformed_body") from None
        return an_object(value)


class CompactJSONRenderer(BaseRenderer):
    """JSON without spaces, in UTF-8."""

    media_type = "application/json"
    format = "json"
    charset = None  # JSON is UTF-8 by definition

    def render(
        self,
        data: Any,
        accepted_media_type: str | None = None,
        renderer_context: Mapping[str, Any] | None = None,
    ) -> bytes:
        return b"" if data is None else strictjson.dumps(data)


class OwnChoiceNegotiation(DefaultContentNegotiation):
    """Whatever a client accepts, it gets what the view has, rather than 406: a browser sees its JSON."""

    def select_renderer(
        self, request: Request, renderers: Iterable[BaseRenderer], format_suffix: str | None = None
    ) -> tuple[BaseRenderer, str]:
        try:
            chosen: tuple[BaseRenderer, str] = super().select_renderer(request, renderers, format_suffix)
            return chosen
        except NotAcceptable:
            first = next(iter(renderers))
            return first, first.media_type


def read_body(stream: IO[Any], parser_context: Mapping[str, Any], *, limit: int | None = None) -> bytes:
    """The whole body. Raises TooLarge past the view's limit, Invalid where it ends too early."""
    if limit is None:
        limit = getattr(parser_context.get("view"), "body_limit", settings.BODY_LIMIT_BYTES)
    pieces: list[bytes] = []
    length = 0
    try:
        while piece := stream.read(_PIECE):
            length += len(piece)
            if length > limit:
                _drain(stream)
                raise TooLarge(f"the body is longer than {limit} bytes")
            pieces.append(piece)
    except (UnreadablePostError, OSError):
        raise Invalid("the body ended before it was complete", code="malformed_body") from None
    return b"".join(pieces)


def an_object(value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise Invalid("the body must be a JSON object ({…})", code="malformed_body")
    return value


def body_of(request: Request, *, parameters: Collection[str] = ()) -> dict[str, Any]:
    """The body of a request as an object; none, or an empty one, is `{}`.

    Raises Invalid where the address has a parameter other than those: a `?dry_run=true` of a call that reads it in the
    body would be passed over, and the call carried out.
    """
    told = "this call has no such parameter: what it is told stands in its body"
    _refuse([name for name in request.query_params if name not in parameters], told)
    return _data(request)


def without_body(request: Request) -> None:
    """Raise Invalid where a call that takes no body has one that says something."""
    _refuse(_data(request), "this call takes no body: what it is told are parameters of its address, as in ?force=true")


def _data(request: Request) -> dict[str, Any]:
    data = request.data
    return data if type(data) is dict else {}  # an empty form is a kind of dict, too


def _refuse(names: Iterable[str], told: str) -> None:
    errors = [FieldError(str(name)[:LONGEST_NAME], "unknown_field", told) for name in islice(names, MOST_NAMED)]
    if errors:
        raise Invalid.fields(errors)


def _drain(stream: IO[Any]) -> None:
    """Read on for a while, so that a client that is still sending hears the answer instead of a reset."""
    left = settings.BULK_BODY_LIMIT_BYTES
    while left > 0 and (piece := stream.read(_PIECE)):
        left -= len(piece)
