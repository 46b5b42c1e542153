"""One request to the API, described: what is sent, how the answer is read, whether it may be sent again. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar
from urllib.parse import urlencode

from ductape.answers import Answer
from ductape.arguments import encoded

T = TypeVar("T")

_REPEATABLE = frozenset({"GET", "PUT", "DELETE", "PATCH"})


@dataclass(frozen=True, kw_only=True)
class Call(Generic[T]):
    """`read` makes the result of an answer below 400.

    `repeatable`: done twice it is as done once, so it is sent again even where the first may have arrived (by default
    every method but POST). `keyed`: the server takes an idempotency key, which makes it repeatable.
    `wait` are seconds that the server may take on purpose. Of what is not repeatable only what surely was not done
    is sent again: no connection, 429, and 409 with Retry-After.
    """

    method: str
    path: str
    read: Callable[[Answer], T]
    query: Mapping[str, Any] = field(default_factory=dict)
    body: Mapping[str, Any] | None = None
    text: bytes | None = None  # a body that is not JSON
    headers: Mapping[str, str] = field(default_factory=dict)
    repeatable: bool | None = None
    keyed: bool = False
    wait: float = 0.0
    accepted: frozenset[int] = frozenset()  # statuses of 400 and more that are no error

    @property
    def is_repeatable(self) -> bool:
        return self.keyed or (self.method in _REPEATABLE if self.repeatable is None else self.repeatable)

    @property
    def target(self) -> str:
        """Path and query. None is left out, a list is repeated, a flag is `true` or `false`."""
        pairs = [
            (name, _query_text(each))
            for name, value in self.query.items()
            if value is not None
            for each in (value if isinstance(value, list) else [value])
        ]
        return f"{self.path}?{urlencode(pairs)}" if pairs else self.path

    def content(self) -> bytes | None:
        """Raises InvalidArgument where the body has no JSON."""
        if self.text is not None:
            return self.text
        return None if self.body is None else encoded(self.body)


def nothing(answer: Answer) -> None:
    """Of an answer without a body."""


def plain(answer: Answer) -> dict[str, Any]:
    """An object of the API that has no fixed fields."""
    data = answer.json()
    return data if isinstance(data, dict) else {"value": data}


def _query_text(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value)
