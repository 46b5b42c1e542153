"""The one guarded outgoing HTTP client. Nothing else in the system opens outgoing HTTP.

`await send(HttpRequest(...))` answers an HttpResponse or raises one of the errors below;
`async with stream(HttpRequest(...))` hands out the body as it comes. The library under them is
known in `core.http.client` and `core.http.pool` only.
"""

from core.http.client import HttpStream, send, stream
from core.http.egress import check_address
from core.http.messages import (
    BadResponse,
    EgressForbidden,
    HttpConnectionError,
    HttpError,
    HttpRequest,
    HttpResponse,
    HttpTimeout,
    InvalidRequest,
    ResponseTooLarge,
    check_headers,
    check_url,
)
from core.http.pool import close

__all__ = [
    "BadResponse",
    "EgressForbidden",
    "HttpConnectionError",
    "HttpError",
    "HttpRequest",
    "HttpResponse",
    "HttpStream",
    "HttpTimeout",
    "InvalidRequest",
    "ResponseTooLarge",
    "check_address",
    "check_headers",
    "check_url",
    "close",
    "send",
    "stream",
]
