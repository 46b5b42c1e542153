"""What belongs to a product beside its catalog: holds, definitions, sessions, caches."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from ductape.reading import Result


@dataclass(frozen=True, kw_only=True)
class Hold(Result):
    """Due runs of this scope wait; without `env` or `namespace` of all."""

    product: str
    since: datetime
    env: str | None = None
    namespace: str | None = None
    note: str | None = None
    actor: str | None = None


@dataclass(frozen=True, kw_only=True)
class Definition(Result):
    """A template of jobs. `intervals` is ms, `executions` 0 without a limit.

    `rescheduled` is told of a change only: how many unfinished recurring jobs follow it.
    """

    product: str
    tag: str
    name: str
    event_type: str
    event_tag: str
    namespace: str
    target: Mapping[str, Any]
    executions: int
    intervals: int
    created_at: datetime
    updated_at: datetime
    rescheduled: int | None = None


@dataclass(frozen=True, kw_only=True)
class StartedSession(Result):
    """A session; `token` is what a dispatch takes as `session`."""

    token: str
    session_id: str
    expires_at: datetime


@dataclass(frozen=True, kw_only=True)
class VerifiedSession(Result):
    """Whether a token counts; `detail` says why it does not."""

    valid: bool
    data: Mapping[str, Any] | None = None
    session_id: str | None = None
    expires_at: datetime | None = None
    detail: str | None = None


@dataclass(frozen=True, kw_only=True)
class RevokedSession(Result):
    revoked: bool
    session_id: str | None = None


@dataclass(frozen=True, kw_only=True)
class CacheEntry(Result):
    """A result that is kept. `size` is in characters of JSON."""

    key: str
    env: str
    namespace: str
    target: Mapping[str, Any]
    size: int
    created_at: datetime
    expires_at: datetime


@dataclass(frozen=True, kw_only=True)
class ConnectionCheck(Result):
    """What trying a connection found."""

    ok: bool
    detail: str
    code: str | None
    status: int | None
    duration_ms: int


@dataclass(frozen=True, kw_only=True)
class CatalogDiff(Result):
    """What a catalog document changes, or would change (`dry_run`)."""

    created: tuple[str, ...]
    updated: tuple[str, ...]
    removed: tuple[str, ...]
    unchanged: int
    dry_run: bool


class Part(dict[str, Any]):
    """A part of a catalog as it was answered. `etag` is its version, for `if_match`."""

    def __init__(self, values: Mapping[str, Any], etag: str = "") -> None:
        super().__init__(values)
        self.etag = etag
