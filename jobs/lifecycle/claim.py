"""Claim: queued → running, as many runs as a worker has room for, in one statement.

Claims follow priority (higher first), then due time. What may not run yet is a condition of
the claim, exact even for a backlog: runs under a hold, runs whose concurrency key is in full
use, runs behind an older open run of the same job.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple
from uuid import UUID

from django.db import connection, transaction

from core.ids import encode
from jobs.lifecycle.sql import dialect
from jobs.listening import ring


class Claim(NamedTuple):
    """A run that this worker now holds, with what is needed to make the attempt.

    The order of the fields is the order of the columns that `sql` returns. `target`, `input` and
    `retry_config` are JSON texts: parsed only where they are needed.
    """

    run_id: int
    fence: int
    number: int
    attempt: int
    retry_count: int
    scheduled_at_ms: int  # Unix time
    job_id: UUID
    product_id: int
    environment_id: int
    namespace: str
    target: str
    input: str
    session: str  # sealed; empty: none
    cache: str  # a tag; empty: none
    retries: int
    retry_config: str
    timeout: int  # ms
    catalog_version: int  # of its product, when the run was claimed

    @property
    def key(self) -> int:
        return self.run_id

    def __str__(self) -> str:
        return f"run {self.number} of {encode('job', self.job_id)}"


@dataclass(slots=True)
class KeyCursor:
    """Where the next look at concurrency keys begins, so that many keys all get their turn."""

    after: str = ""
    keyed: bool = False  # the last claim saw runs with a key


def claim(worker_id: int, queue: str, room: int, cursor: KeyCursor | None = None) -> list[Claim]:
    """Take up to `room` due runs of `queue` for a worker: queued → running, fence raised.

    At most one worker gets a run, however many ask at once; none waits for another.
    Raises django.db.OperationalError when the database is away.
    """
    rows: list[tuple[Any, ...]] = dialect(connection).claim(connection, worker_id, queue, room, cursor or KeyCursor())
    if rows:
        transaction.on_commit(ring)
    return [Claim._make(row) for row in rows]
