"""An answer of the server: its body as JSON, and the error that it is. Pure.

A server, or a proxy before it, may answer anything: what is not understood is a BrokenAnswer or an ApiError of
its status, never another exception.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

from ductape.errors import ApiError, BrokenAnswer, FieldProblem, class_of

_MOST_SHOWN = 200  # characters of a body that is not understood


@dataclass(frozen=True, kw_only=True, slots=True)
class Answer:
    """Status, headers (names in small letters) and body of one answer."""

    status: int
    headers: Mapping[str, str]
    content: bytes

    @property
    def etag(self) -> str:
        """The version of a part of a catalog, for `if_match`; empty where none was given."""
        return self.headers.get("etag", "")

    @property
    def retry_after(self) -> float | None:
        """Seconds that the server asks to wait, at least 0."""
        return retry_after_of(self.headers.get("retry-after", ""))

    def json(self) -> Any:
        """Raises BrokenAnswer."""
        try:
            return json.loads(self.content)
        except ValueError as error:
            shown = self.content[:_MOST_SHOWN].decode(errors="replace")
            raise BrokenAnswer(f"an answer {self.status} that is not JSON ({error}): {shown!r}") from error

    def error(self) -> ApiError:
        """What this answer of 400 or more says."""
        problem = self._problem()
        code = str(problem.get("code") or "")
        return class_of(self.status, code)(
            status=self.status,
            code=code,
            detail=str(problem.get("detail") or problem.get("title") or f"the server answered {self.status}"),
            errors=tuple(_fields(problem.get("errors"))),
            request_id=str(problem.get("request_id") or self.headers.get("x-request-id", "")),
            retry_after=self.retry_after,
            raw=problem,
        )

    def _problem(self) -> Mapping[str, Any]:
        try:
            problem = json.loads(self.content)
        except ValueError:
            return {}
        return problem if isinstance(problem, dict) else {}


def _fields(errors: Any) -> list[FieldProblem]:
    if not isinstance(errors, list):
        return []
    return [
        FieldProblem(field=str(each.get("field")), code=str(each.get("code")), detail=str(each.get("detail")))
        for each in errors
        if isinstance(each, dict)
    ]


def retry_after_of(text: str) -> float | None:
    """Seconds from now, of either spelling of the header; None where it says neither."""
    if not text:
        return None
    try:
        return max(float(int(text)), 0.0)
    except ValueError:
        pass
    try:
        moment = parsedate_to_datetime(text)
    except ValueError:
        return None
    return max((moment.astimezone(UTC) - datetime.now(UTC)).total_seconds(), 0.0)
