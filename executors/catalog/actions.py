"""An action of an app as values: what dispatch checks an input against, and what the worker sends.

Pure. Never queries, never opens a secret: `executors.catalog.resolve` makes these.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from jsonschema import Draft202012Validator

from executors.base import redacted
from executors.catalog.values import Values

DEFAULT_RESPONSE_BYTES = 1024 * 1024


@dataclass(frozen=True, kw_only=True, slots=True)
class ActionTarget:
    """An action as its app declares it. Nothing in it is secret."""

    app: str
    event: str
    method: str
    request_type: str
    path_parameters: tuple[str, ...]
    query_names: frozenset[str]  # that the action declares
    url: str  # base URL and resource, with `:param`s, without what references in it stand for
    query: tuple[tuple[str, str], ...]  # of the catalog, in the same way
    header_names: frozenset[str]  # the same, in lower case
    schema: Mapping[str, Any] | None  # of the body
    body: Draft202012Validator | None = field(repr=False)
    environment_id: int
    values: Values

    def __str__(self) -> str:
        return f"{self.method} of event {self.event!r} of app {self.app!r}"


@dataclass(frozen=True, kw_only=True, slots=True)
class TokenRequest:
    """How a token is got by OAuth 2.0 client credentials (RFC 6749 §4.4). Its repr shows no secret."""

    connection: str  # one token for each, also where two have the same credentials
    url: str
    client_id: str
    client_secret: str = field(repr=False)
    scope: str | None
    audience: str | None
    in_body: bool  # the credentials are fields of the form, not an Authorization header


@dataclass(frozen=True, kw_only=True, slots=True)
class OpenedAction:
    """An action as the worker sends it, secrets opened. Its repr shows none."""

    target: ActionTarget
    url: str = field(repr=False)  # base URL and resource, with `:param`s
    headers: Mapping[str, str] = field(repr=False)  # names in lower case
    query: tuple[tuple[str, str], ...] = field(repr=False)
    success: frozenset[int] | None  # None: any 2xx
    timeout: float | None  # seconds
    key_per_attempt: bool  # the Idempotency-Key changes with each attempt
    max_response_bytes: int
    truncate: bool  # a longer answer is cut, and does not fail
    token: TokenRequest | None
    secrets: tuple[str, ...] = field(repr=False)  # that no result and no error may show, in every form
    auth: Mapping[str, str] = field(default_factory=dict, repr=False)  # what its connection logs in with

    def redact(self, text: str) -> str:
        """The text without the secrets that were opened for this action."""
        return redacted(text, self.secrets)
