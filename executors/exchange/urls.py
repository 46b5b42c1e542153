"""The URL of a call: path parameters and query put into what the catalog says. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from urllib.parse import quote, urlencode

from core import http
from executors.catalog.resolve import PATH_PARAMETER
from executors.exchange.bodies import is_scalar, pairs
from executors.exchange.placing import Placed
from executors.expressions import plain

LONGEST_URL = 16 * 1024
_UNRESERVED = re.compile(r"[A-Za-z0-9_.\-~]+")  # RFC 3986 §2.3: what is never percent-encoded


def url_of(url: str, *, path_parameters: Sequence[str], query: Sequence[tuple[str, str]], placed: Placed) -> str:
    """`url` with the input's path parameters and query, and of the catalog's `query` what the input does not say.

    Raises http.InvalidRequest for a path parameter without a usable value, and past LONGEST_URL characters.
    """
    if path_parameters:
        params = placed.params or {}
        fields = placed.body if isinstance(placed.body, dict) else {}

        def segment(name: str) -> str:
            value = params.get(name, fields.get(name))
            if not is_scalar(value) or (text := plain(value)) in ("", ".", ".."):
                raise http.InvalidRequest(f"the path parameter :{name} has no value that can stand in a path")
            return text if _UNRESERVED.fullmatch(text) else quote(text, safe="")

        url = PATH_PARAMETER.sub(lambda match: segment(match.group(1)), url)
    if (query or placed.query) and (members := list(_query(query, placed))):
        url += ("&" if "?" in url else "?") + urlencode(members, quote_via=quote)
    if len(url) > LONGEST_URL:
        raise http.InvalidRequest(f"the URL is longer than {LONGEST_URL} characters")
    return url


def _query(query: Sequence[tuple[str, str]], placed: Placed) -> Iterator[tuple[str, str]]:
    given = placed.query or {}
    for name, value in query:
        if name not in given:  # the input's word counts
            yield name, value
    yield from pairs(given)
