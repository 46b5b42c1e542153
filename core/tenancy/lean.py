"""A POST without the framework's overhead, for the calls that a busy client makes by the thousand.

Authentication, scope, body and problems are the same functions that the other views use; what is
left out is the framework's request, its negotiation and its rendering, which take longer than a
dispatch does. Still an APIView: described like one, and every other method is the framework's.
"""

from __future__ import annotations

from typing import IO, Any, cast

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from rest_framework.exceptions import UnsupportedMediaType
from rest_framework.views import APIView

from core import strictjson
from core.errors import Invalid
from core.fields import reject_unknown
from core.tenancy.auth import Principal, principal_of_header, require
from core.tenancy.parsing import an_object, read_body
from core.tenancy.problems import answer_to

_JSON = "application/json"


class LeanView(APIView):
    """Answers POST by `respond`; a subclass has a `post` too, for its description alone."""

    required_scope: str
    body_limit: int = settings.BODY_LIMIT_BYTES

    def respond(self, request: HttpRequest, principal: Principal, body: dict[str, Any]) -> HttpResponse:
        """The answer; what it raises becomes a problem."""
        raise NotImplementedError

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        if request.method != "POST":
            return super().dispatch(request, *args, **kwargs)
        try:
            principal = principal_of_header(request.META.get("HTTP_AUTHORIZATION", ""))
            require(principal, self.required_scope)
            if request.META.get("QUERY_STRING"):
                reject_unknown(request.GET, frozenset())
            return self.respond(request, principal, self._body(request))
        except Exception as error:
            return answer_to(error)

    def _body(self, request: HttpRequest) -> dict[str, Any]:
        raw = read_body(cast(IO[Any], request), {}, limit=self.body_limit)
        if raw and request.content_type != _JSON:
            raise UnsupportedMediaType(request.content_type or "")
        if not raw.strip():
            return {}
        try:
            return an_object(strictjson.loads(raw))
        except strictjson.NotJSON as error:
            raise Invalid(f"the body cannot be read as JSON: {error}", code="malformed_body") from None


def json_answer(data: Any, *, status: int) -> HttpResponse:
    return HttpResponse(strictjson.dumps(data), status=status, content_type=_JSON)
