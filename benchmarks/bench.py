"""What every row gets: the servers of this run, the peers, and how long to measure."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from benchmarks.ours import Postgres, SQLite, System
from benchmarks.peers import bullmq_peer
from benchmarks.peers.bullmq_peer import BullMQPeer
from benchmarks.peers.celery_peer import CeleryPeer
from tests.servers.local import new_database, redis_server


@dataclass(frozen=True, kw_only=True)
class Bench:
    """One run of the benchmarks. Every repetition measures each side once, one after the other."""

    postgres: str  # the superuser's address, without a database's name
    redis: str  # the peers' Redis
    folder: Path
    repetitions: int

    @property
    def celery(self) -> CeleryPeer:
        return CeleryPeer(self.redis, self.folder)

    @property
    def bullmq(self) -> BullMQPeer | None:
        """None where there is no Node: the row then says so."""
        return BullMQPeer(self.redis) if bullmq_peer.available() else None

    @contextmanager
    def ours(self, name: str, *, embedded: bool = False) -> Iterator[System]:
        """A fresh installation with a Redis of its own, on PostgreSQL or (`embedded`) on SQLite."""
        folder = self.folder / name
        folder.mkdir()
        database: Postgres | SQLite
        if embedded:
            (folder / "data").mkdir()
            database = SQLite(folder / "data" / "ductape.sqlite3")
        else:
            database = Postgres(f"{self.postgres}/{name}", new_database(self.postgres, name))
        with redis_server(folder) as url:
            system = System(database, url, folder)
            system.prepare()
            yield system
