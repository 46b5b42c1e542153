"""Ductape Jobs as real processes on a database and a Redis of its own, measured from outside.

Owns the processes' environment, start and end, and reads what happened from the database, from
Redis' own counters and from /proc. Never imports the project: it is one more client of it.
"""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import psycopg
import redis

from benchmarks.noop import SETTING
from tests.servers.local import ROOT, process, wait_until

DRAIN_SECONDS = 180.0
LOOK_SECONDS = 0.1  # how often the end of a drain is looked for; each look is one probe of an index
TABLES = ("jobs_jobevent", "jobs_execution", "jobs_job")

_FINISHED = "SELECT count(*), min(started_at), max(finished_at) FROM jobs_execution WHERE status = 'completed'"
_OPEN = "SELECT EXISTS (SELECT 1 FROM jobs_execution WHERE status IN ('queued', 'running', 'waiting'))"
_LEFT = "SELECT EXISTS (SELECT 1 FROM jobs_job WHERE next_due_at IS NOT NULL)"


class Database(Protocol):
    """What is read of a database by the one who measures."""

    url: str

    def clear(self) -> None:
        """No jobs."""

    def busy(self) -> bool:
        """Whether a run is open or still to come."""

    def span(self) -> tuple[int, float]:
        """(completed runs, seconds from the first start to the last finish)."""

    def lateness(self) -> list[float]:
        """ms from a run's nominal time to the start of its code."""

    def latency(self) -> list[float]:
        """ms from the moment the dispatcher noted in the input to the start of the run's code."""


class Postgres:
    """A database of the benchmarks' own cluster."""

    def __init__(self, superuser: str, url: str) -> None:
        self.url = url
        self._sql = psycopg.connect(superuser, autocommit=True)

    def clear(self) -> None:
        self._sql.execute(f"TRUNCATE {', '.join(TABLES)}")
        self._sql.execute("CHECKPOINT")  # or the next measurement pays for it

    def busy(self) -> bool:
        return bool(self._all(_OPEN)[0][0] or self._all(_LEFT)[0][0])

    def span(self) -> tuple[int, float]:
        count, first, last = self._all(_FINISHED)[0]
        return count, (last - first).total_seconds()

    def lateness(self) -> list[float]:
        rows = self._all(
            "SELECT 1000 * ((result->>'at')::float8 - extract(epoch FROM scheduled_at)::float8) "
            "FROM jobs_execution WHERE status = 'completed'"
        )
        return [row[0] for row in rows]

    def reached(self) -> list[float]:
        """ms from the nominal time of an HTTP run until the upstream had its request, by the upstream's answer."""
        rows = self._all(
            "SELECT 1000 * ((e.result->'body'->>'at')::float8 - extract(epoch FROM e.scheduled_at)::float8) "
            "FROM jobs_execution e JOIN jobs_job j ON j.id = e.job_id "
            "WHERE e.status = 'completed' AND j.namespace = 'actions'"
        )
        return [row[0] for row in rows]

    def latency(self) -> list[float]:
        rows = self._all(
            "SELECT 1000 * ((e.result->>'at')::float8 - (j.input->>'sent')::float8) "
            "FROM jobs_execution e JOIN jobs_job j ON j.id = e.job_id WHERE e.status = 'completed'"
        )
        return [row[0] for row in rows]

    def open_before(self, end: float) -> bool:
        """Whether an occurrence before that time (seconds since the epoch) is still to be promoted or to end."""
        return bool(
            self._all(
                f"SELECT EXISTS (SELECT 1 FROM jobs_job WHERE next_due_at < to_timestamp({end})) OR EXISTS (SELECT 1 "
                "FROM jobs_execution WHERE status IN ('queued', 'running', 'waiting') "
                f"AND scheduled_at < to_timestamp({end}))"
            )[0][0]
        )

    def starts(self, begin: float, end: float) -> list[tuple[float, float]]:
        """(nominal time, start of its code) of the runs whose nominal time is in [begin, end)."""
        rows = self._all(
            "SELECT extract(epoch FROM scheduled_at)::float8, (result->>'at')::float8 FROM jobs_execution "
            f"WHERE status = 'completed' AND scheduled_at >= to_timestamp({begin}) AND scheduled_at < to_timestamp({end})"
        )
        return [(row[0], row[1]) for row in rows]

    def connections(self, application: str) -> int:
        """Open connections under that application name."""
        found = self._all(f"SELECT count(*) FROM pg_stat_activity WHERE application_name = '{application}'")
        return int(found[0][0])

    def start_counting(self) -> None:
        self._sql.execute("SELECT pg_stat_statements_reset()")
        self._sql.execute("SELECT pg_stat_reset()")

    def counted(self) -> tuple[int, int, int]:
        """(statements of the application, its commits, foreign keys checked at commit) since `start_counting`.

        What the measuring session did itself is taken off; beats and the scheduler are in it.
        """
        time.sleep(1.2)  # PostgreSQL's sessions report their commits at most once a second
        rows = self._all(
            "SELECT s.query, s.calls FROM pg_stat_statements s JOIN pg_roles r ON r.oid = s.userid "
            "JOIN pg_database d ON d.oid = s.dbid WHERE r.rolname = 'ductape' AND d.datname = current_database()"
        )
        own = self._all(
            "SELECT coalesce(sum(s.calls), 0)::bigint FROM pg_stat_statements s JOIN pg_roles r ON r.oid = s.userid "
            "JOIN pg_database d ON d.oid = s.dbid WHERE r.rolname <> 'ductape' AND d.datname = current_database()"
        )[0][0]
        commits = self._all("SELECT xact_commit FROM pg_stat_database WHERE datname = current_database()")[0][0]
        checks = sum(calls for query, calls in rows if " FROM ONLY " in query)  # how PostgreSQL words them
        return sum(calls for _, calls in rows) - checks, max(0, commits - own), checks

    def _all(self, query: str) -> list[tuple[Any, ...]]:
        return self._sql.execute(query).fetchall()


class SQLite:
    """The embedded default. Times are text in UTC."""

    def __init__(self, path: Path) -> None:
        self.url = f"sqlite:///{path}"
        self._path = path

    def clear(self) -> None:
        with closing(self._open()) as sql, sql:
            for table in TABLES:
                sql.execute(f"DELETE FROM {table}")

    def busy(self) -> bool:
        return bool(self._all(_OPEN)[0][0] or self._all(_LEFT)[0][0])

    def span(self) -> tuple[int, float]:
        seconds = "(julianday(max(finished_at)) - julianday(min(started_at))) * 86400"
        count, span = self._all(f"SELECT count(*), {seconds} FROM jobs_execution WHERE status = 'completed'")[0]
        return count, span

    def lateness(self) -> list[float]:
        at, due = "json_extract(result, '$.at')", "(julianday(scheduled_at) - 2440587.5) * 86400"
        rows = self._all(f"SELECT 1000 * ({at} - {due}) FROM jobs_execution WHERE status = 'completed'")
        return [row[0] for row in rows]

    def latency(self) -> list[float]:
        rows = self._all(
            "SELECT 1000 * (json_extract(e.result, '$.at') - json_extract(j.input, '$.sent')) "
            "FROM jobs_execution e JOIN jobs_job j ON j.id = e.job_id WHERE e.status = 'completed'"
        )
        return [row[0] for row in rows]

    def jobs(self) -> int:
        """How many jobs there are."""
        return int(self._all("SELECT count(*) FROM jobs_job")[0][0])

    def _all(self, query: str) -> list[tuple[Any, ...]]:
        with closing(self._open()) as sql:
            return sql.execute(query).fetchall()

    def _open(self) -> sqlite3.Connection:
        return sqlite3.connect(self._path, timeout=30)


@dataclass(frozen=True, kw_only=True, slots=True)
class Memory:
    """Of a process and its children, in MB. PSS counts what is shared once."""

    rss: float
    pss: float


class System:
    """One installation: a database, a broker, a data folder, and the processes started on them."""

    def __init__(self, database: Database, redis_url: str, folder: Path) -> None:
        self.database = database
        self.redis = redis.Redis.from_url(redis_url)
        self.log = folder / "ductape.log"
        self.environment = {
            **os.environ,
            "DJANGO_SETTINGS_MODULE": "ductape_jobs.settings",
            "ENVIRONMENT": "local",
            "DATA_DIR": str(folder / "data"),
            "DATABASE_URL": database.url,
            "REDIS_URL": redis_url,
            "EXTRA_EXECUTORS": SETTING,
            "LOG_LEVEL": "WARNING",
        }
        (folder / "data").mkdir(exist_ok=True)

    def prepare(self) -> None:
        """Migrate, and make the product."""
        self.run("manage.py", "migrate", "--verbosity", "0")
        self.run("-m", "benchmarks.inside", "seed")

    def run(self, *arguments: object) -> str:
        """Run a command of the project to its end; what it printed."""
        command = [sys.executable, *map(str, arguments)]
        done = subprocess.run(command, cwd=ROOT, env=self.environment, stdout=subprocess.PIPE, text=True, check=False)
        if done.returncode:
            raise RuntimeError(f"{' '.join(command[1:])} ended with {done.returncode}: {done.stdout[-2000:]}")
        return done.stdout

    @contextmanager
    def processes(self, *, workers: int, schedulers: int = 1, **variables: str) -> Iterator[list[int]]:
        """Workers and schedulers, ready; the workers' process ids."""
        before = self.workers()
        with ExitStack() as stack:
            for _ in range(schedulers):
                stack.enter_context(self.start("scheduler", **variables))
            pids = [stack.enter_context(self.start("worker", **variables)).pid for _ in range(workers)]
            wait_until(lambda: self.workers() >= before + workers, "workers have registered")
            wait_until(self._consuming(workers), "workers listen to the broker")
            yield pids

    @contextmanager
    def start(self, name: str, **variables: str) -> Iterator[subprocess.Popen[bytes]]:
        """`manage.py <name>`; its connections carry the name as their application's."""
        environment = {**self.environment, **variables}
        if isinstance(self.database, Postgres):
            environment["DATABASE_URL"] = f"{self.database.url}?application_name=bench-{name}"
        with process([sys.executable, "manage.py", name], log=self.log, env=environment, cwd=ROOT) as child:
            yield child

    def drained(self, seconds: float = DRAIN_SECONDS) -> None:
        """Wait until no run is open."""
        wait_until(lambda: not self.database.busy(), "all jobs are done", seconds, LOOK_SECONDS)

    def running(self) -> int:
        """How many runs are running now."""
        found = self.database._all("SELECT count(*) FROM jobs_execution WHERE status = 'running'")  # type: ignore[attr-defined]
        return int(found[0][0])

    def messages(self) -> int:
        """Celery messages published since `start_counting`: pushes to a list."""
        stats: dict[str, Any] = self.redis.info("commandstats")
        return int(stats.get("cmdstat_lpush", {}).get("calls", 0))

    def start_counting(self) -> None:
        self.redis.config_resetstat()
        if isinstance(self.database, Postgres):
            self.database.start_counting()

    def locked(self) -> int:
        """How often a process said that the database was locked."""
        return self.log.read_text(errors="replace").count("database is locked") if self.log.exists() else 0

    def errors(self) -> list[str]:
        """The last warnings and errors that the processes logged."""
        lines = self.log.read_text(errors="replace").splitlines() if self.log.exists() else []
        return [line for line in lines if "WARNING" in line or "ERROR" in line][-5:]

    def workers(self) -> int:
        """How many workers have ever registered."""
        return int(self.database._all("SELECT count(*) FROM jobs_worker")[0][0])  # type: ignore[attr-defined]

    def _consuming(self, workers: int) -> Any:
        def listen() -> bool:
            return sum(client["cmd"] == "brpop" for client in self.redis.client_list()) >= workers

        return listen


def memory(pid: int) -> Memory:
    """Of the process and all its descendants."""
    rss = pss = 0
    for each in _family(pid):
        for line in Path(f"/proc/{each}/smaps_rollup").read_text().splitlines():
            if line.startswith("Rss:"):
                rss += int(line.split()[1])
            elif line.startswith("Pss:"):
                pss += int(line.split()[1])
    return Memory(rss=rss / 1024, pss=pss / 1024)


def _family(pid: int) -> list[int]:
    found = [pid]
    for task in Path(f"/proc/{pid}/task").iterdir():
        for child in (task / "children").read_text().split():
            found += _family(int(child))
    return found
