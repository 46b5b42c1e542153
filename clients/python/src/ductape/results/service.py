"""The installation: readiness, workers, queues, keys; and previews of schedules."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from ductape.reading import Result


@dataclass(frozen=True, kw_only=True)
class Check(Result):
    ok: bool
    detail: str | None = None


@dataclass(frozen=True, kw_only=True)
class Readiness(Result):
    """What the system stands on. `ready()` raises NotReady where something is missing."""

    status: str
    checks: Mapping[str, Check]


@dataclass(frozen=True, kw_only=True)
class Worker(Result):
    id: int
    host: str
    pid: int
    status: Literal["alive", "draining", "lost", "stopped"]
    queues: tuple[str, ...]
    concurrency: int
    running: int
    started_at: datetime
    beaten_at: datetime
    lease_until: datetime
    stopped_at: datetime | None = None


@dataclass(frozen=True, kw_only=True)
class Scheduler(Result):
    host: str
    pid: int
    started_at: datetime
    seen_at: datetime


@dataclass(frozen=True, kw_only=True)
class Workers(Result):
    workers: tuple[Worker, ...]
    schedulers: tuple[Scheduler, ...]


@dataclass(frozen=True, kw_only=True)
class Queue(Result):
    """What waits: `depth` runs are due and unclaimed, `held` of them under a hold."""

    name: str
    depth: int
    oldest_age_ms: int | None
    running: int
    held: int
    workers: int


@dataclass(frozen=True, kw_only=True)
class ApiKey(Result):
    """A key without its text; `key` is the text, shown only in the answer that made it."""

    id: int
    name: str
    prefix: str
    scopes: tuple[str, ...]
    product: str | None
    envs: tuple[str, ...]
    created_at: datetime
    expires_at: datetime | None = None
    revoked_at: datetime | None = None
    last_used_at: datetime | None = None
    key: str | None = None


@dataclass(frozen=True, kw_only=True)
class Preview(Result):
    """When a schedule would run; `local` are the same moments in its zone, `notes` what a change of the clock does."""

    occurrences: tuple[datetime, ...]
    local: tuple[str, ...]
    description: str
    notes: tuple[str, ...]
