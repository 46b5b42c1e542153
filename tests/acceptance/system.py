"""The real system as processes: API, workers, schedulers, a database, a Redis, a receiver.

Owns their environment, start, faults and end, and what is read of them from outside: the REST API,
rows of the database, the receiver's log. Never imports the project: it is one more client of it.
Every process has a group of its own, so that a kill takes its whole group.
"""

from __future__ import annotations

import itertools
import json
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg

from tests.servers.breakable import Postgres, Redis, family
from tests.servers.local import ROOT, free_port, wait_until

OPERATOR_KEY = "operator-key-of-the-acceptance-tests"
PRODUCT, ENV, APP = "shop", "prd", "receiver"
READY_SECONDS = 60.0  # five processes start on two cores
STOP_SECONDS = 35.0
LOOK_SECONDS = 0.05

_numbers = itertools.count(1)


@dataclass(frozen=True, slots=True)
class Answer:
    """What the API answered, and how long it took."""

    status: int
    body: Any
    headers: Mapping[str, str]
    seconds: float


@dataclass(frozen=True, slots=True)
class Call:
    """What the receiver saw of one outgoing call."""

    number: int
    key: str  # Idempotency-Key: "<job id>:<run number>"
    job_id: str
    attempt: int
    path: str
    at: float  # Unix time
    hung_up_at: float | None  # when the worker closed the connection without waiting for the answer


class Process:
    """One process of the system, in a group of its own."""

    def __init__(self, name: str, arguments: Sequence[str], environment: Mapping[str, str], log: Path) -> None:
        self.name = name
        self.log = log
        with log.open("ab") as output:
            self._popen = subprocess.Popen(
                [sys.executable, *arguments], cwd=ROOT, env=dict(environment), stdout=output, stderr=output,
                stdin=subprocess.DEVNULL, start_new_session=True,
            )  # fmt: skip

    @property
    def pid(self) -> int:
        return self._popen.pid

    @property
    def alive(self) -> bool:
        return self._popen.poll() is None

    def kill(self) -> None:
        """SIGKILL of its whole group."""
        self._signal_group(signal.SIGKILL)
        self._popen.wait()

    def freeze(self) -> None:
        self._signal_group(signal.SIGSTOP)

    def thaw(self) -> None:
        self._signal_group(signal.SIGCONT)

    def terminate(self) -> None:
        """SIGTERM to the process itself, as a deploy does; returns at once."""
        self._popen.send_signal(signal.SIGTERM)

    def wait(self, seconds: float) -> int:
        """Its exit status. TimeoutExpired when it goes on."""
        return self._popen.wait(seconds)

    def end(self) -> None:
        """Whatever state it is in: gone, with all its children."""
        pids = family(self.pid)
        if self.alive:
            self.thaw()
            self.terminate()
            try:
                self.wait(5.0)
            except subprocess.TimeoutExpired:
                pass
        self._signal_group(signal.SIGKILL)
        for pid in pids:  # a child that made a group of its own
            if pid != self.pid:
                _signal(pid, signal.SIGKILL)
        self._popen.wait()

    def said(self) -> str:
        return self.log.read_text(errors="replace")

    def _signal_group(self, number: signal.Signals) -> None:
        try:
            os.killpg(self.pid, number)
        except ProcessLookupError:  # it is gone, and so is its group
            pass


def _signal(pid: int, number: signal.Signals) -> None:
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        pass


class System:
    """A product, its app (the receiver) and the processes. A context: leaving it ends everything.

    `database_url` is migrated, or will be; `variables` go to every process.
    """

    def __init__(self, folder: Path, database_url: str, redis: Redis, **variables: str) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self.redis = redis
        self.database_url = database_url
        self.port = free_port()
        self.receiver_port = free_port()
        self.received = folder / "received.jsonl"
        self.processes: list[Process] = []
        self._names: Counter[str] = Counter()
        self.environment = {
            **os.environ,
            "DJANGO_SETTINGS_MODULE": "ductape_jobs.settings",
            "ENVIRONMENT": "local",
            "DATA_DIR": str(folder / "data"),
            "DATABASE_URL": database_url,
            "REDIS_URL": redis.url,
            "OPERATOR_API_KEY": OPERATOR_KEY,
            "PORT": str(self.port),
            "API_PROCESSES": "1",
            "EXTRA_EXECUTORS": "poison=tests.acceptance.executors.Poison,echo=tests.acceptance.executors.Echo",
            "LOG_LEVEL": "INFO",
            "PYTHONFAULTHANDLER": "1",
            **variables,
        }
        self.environment.pop("FAILPOINT", None)

    # --- start and end --------------------------------------------------------------------

    def __enter__(self) -> System:
        self.receiver = self.launch(
            "receiver", "-m", "tests.servers.receiver", "--port", str(self.receiver_port), "--log", str(self.received)
        )
        wait_until(lambda: "http://" in self.receiver.said(), "the receiver listens")
        return self

    def __exit__(self, kind: type[BaseException] | None, *rest: object) -> None:
        if kind is not None:
            self.show()
        self.close()

    def close(self) -> None:
        """End every process; twice does no harm."""
        for process in self.processes:
            if process.alive:  # all at once, so that they end side by side
                process.thaw()
                process.terminate()
        for process in reversed(self.processes):
            process.end()

    def show(self, lines: int = 60) -> None:
        """Print the end of every log."""
        for log in sorted(self.folder.glob("*.log")):
            text = [line for line in log.read_text(errors="replace").splitlines() if "Task jobs.wake" not in line]
            print(f"\n--- {log.name} ---", *text[-lines:], sep="\n")

    def launch(self, name: str, *arguments: str, **variables: str) -> Process:
        self._names[name] += 1
        number = self._names[name]
        process = Process(
            name, arguments, {**self.environment, **variables}, self.folder / f"{name}-{number}.log"
        )  # fmt: skip
        self.processes.append(process)
        return process

    def api(self, **variables: str) -> Process:
        return self.launch("api", "manage.py", "api", **variables)

    def worker(self, **variables: str) -> Process:
        return self.launch("worker", "manage.py", "worker", **variables)

    def scheduler(self, **variables: str) -> Process:
        return self.launch("scheduler", "manage.py", "scheduler", **variables)

    def start(self, *, workers: int = 2, schedulers: int = 2, api: bool = True) -> None:
        """The usual processes, ready, and the catalog in place."""
        if api:
            self.api()
        for _ in range(schedulers):
            self.scheduler()
        for _ in range(workers):
            self.worker()
        if api:
            wait_until(lambda: self._all_alive() and self.healthy(), "the API answers", READY_SECONDS)
            self.put_catalog()
        self.wait_for_workers(workers)
        wait_until(lambda: self.count("jobs_scheduler") >= schedulers, "schedulers are there", READY_SECONDS)

    def _all_alive(self) -> bool:
        dead = [process.log.name for process in self.processes if not process.alive]
        if dead:
            raise RuntimeError(f"ended while the system was started: {', '.join(dead)}")
        return True

    def workers(self) -> list[Process]:
        return [process for process in self.processes if process.name == "worker" and process.alive]

    def schedulers(self) -> list[Process]:
        return [process for process in self.processes if process.name == "scheduler" and process.alive]

    def replenish(self, *, workers: int = 2, schedulers: int = 2) -> None:
        """Start what a fault has taken, and wait until it is there."""
        while len(self.schedulers()) < schedulers:
            self.scheduler()
        while len(self.workers()) < workers:
            self.worker()
        self.wait_for_workers(workers)

    def wait_for_workers(self, count: int) -> None:
        """That many of our processes hold a lease."""

        def registered() -> bool:
            rows = self.rows("SELECT pid FROM jobs_worker WHERE stopped_at IS NULL AND lease_until > now()")
            pids = {row[0] for row in rows}
            return sum(process.pid in pids for process in self.workers()) >= count

        wait_until(registered, f"{count} workers hold a lease", READY_SECONDS)

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run a command of the project to its end."""
        return subprocess.run(
            [sys.executable, *arguments], cwd=ROOT, env=self.environment, text=True, check=False,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )  # fmt: skip

    def fsck(self) -> None:
        """AssertionError with what is broken."""
        done = self.run("manage.py", "fsck")
        assert done.returncode == 0, f"fsck ended with {done.returncode}:\n{done.stdout}"

    # --- the API ----------------------------------------------------------------------------

    def call(
        self, method: str, path: str, body: object = None, *,
        timeout: float = 70.0, port: int | None = None, key: str = OPERATOR_KEY,
    ) -> Answer:  # fmt: skip
        """One request. An answer of any status; an OSError where there is none."""
        request = urllib.request.Request(
            f"http://127.0.0.1:{port or self.port}{path}",
            method=method,
            data=None if body is None else json.dumps(body).encode(),
            headers={"Authorization": f"Bearer {key}", "Content-Type": "application/json"},
        )
        began = time.monotonic()
        try:
            with urllib.request.urlopen(request, timeout=timeout) as response:
                text, status, headers = response.read(), response.status, dict(response.headers)
        except urllib.error.HTTPError as error:
            with error:
                text, status, headers = error.read(), error.code, dict(error.headers)
        seconds = time.monotonic() - began
        return Answer(status, json.loads(text) if text else None, headers, seconds)

    def healthy(self, port: int | None = None) -> bool:
        try:
            return self.call("GET", "/healthz", timeout=2, port=port).status == 200
        except OSError:
            return False

    def put_catalog(self) -> None:
        event = {"method": "POST", "resource": "/:path", "request_type": "json"}
        url = f"http://127.0.0.1:{self.receiver_port}"
        document = {
            "product": PRODUCT,
            "name": "Shop",
            "envs": [{"slug": ENV, "name": "Production"}],
            "apps": [
                {"tag": APP, "name": "Receiver", "envs": {ENV: {"base_url": url}}, "events": [{"tag": "call", **event}]}
            ],
        }
        answer = self.call("PUT", f"/v1/products/{PRODUCT}/catalog", document)
        assert answer.status == 200, answer

    @staticmethod
    def echo(seconds: float = 0.0, **fields: Any) -> dict[str, Any]:
        """A job that makes no call."""
        base = {"namespace": "echo", "product": PRODUCT, "env": ENV, "event": "echo"}
        return {**base, "input": {"seconds": seconds}, **fields}

    @staticmethod
    def poison(what: str, **fields: Any) -> dict[str, Any]:
        """A job that harms its process: crash, loop, deaf."""
        return {"namespace": "poison", "product": PRODUCT, "env": ENV, "event": what, "input": {}, **fields}

    def _act(self, path: str, **body: Any) -> Answer:
        answer = self.call("POST", path, body)
        assert answer.status == 200, answer
        return answer

    def cancel(self, job_id: str) -> Answer:
        return self._act(f"/v1/jobs/{job_id}/cancel")

    def hold(self, namespace: str = "actions") -> None:
        """Runs of the namespace wait as queued."""
        self._act(f"/v1/products/{PRODUCT}/hold", namespace=namespace)

    def release(self) -> None:
        self._act(f"/v1/products/{PRODUCT}/release")

    @staticmethod
    def job(path: str = "hit", **fields: Any) -> dict[str, Any]:
        """A dispatch of the receiver's app, as the API takes it."""
        return {
            "namespace": "actions", "product": PRODUCT, "env": ENV, "app": APP, "event": "call",
            "input": {"params": {"path": path}, "body": {"number": next(_numbers)}}, **fields,
        }  # fmt: skip

    def dispatch(self, path: str = "hit", **fields: Any) -> str:
        """A job of the receiver's app; its id."""
        answer = self.try_dispatch(path, **fields)
        assert answer.status == 201, answer
        return str(answer.body["job_id"])

    def try_dispatch(self, path: str = "hit", *, port: int | None = None, **fields: Any) -> Answer:
        """The same; whatever the API (the one on that port) answers."""
        job = self.job(path, **fields)
        del job["namespace"]
        return self.call("POST", "/v1/actions/dispatch", job, port=port)

    def dispatch_many(self, count: int, path: str = "hit", **fields: Any) -> list[str]:
        """That many jobs of the receiver's app; their ids."""
        return self.submit([self.job(path, **fields) for _ in range(count)])

    def submit(self, jobs: Sequence[Mapping[str, object]]) -> list[str]:
        """Jobs as the API takes them, of any namespace; their ids."""
        made: list[str] = []
        for start in range(0, len(jobs), 1_000):
            answer = self.call("POST", "/v1/jobs/dispatch-many", {"jobs": jobs[start : start + 1_000]})
            assert answer.status == 201, answer
            made += [one["job_id"] for one in answer.body["jobs"]]
        return made

    def get(self, job_id: str) -> dict[str, Any]:
        answer = self.call("GET", f"/v1/jobs/{job_id}")
        assert answer.status == 200, answer
        return dict(answer.body)

    def history(self, job_id: str) -> list[dict[str, Any]]:
        """The runs of a job, oldest first."""
        answer = self.call("GET", f"/v1/jobs/{job_id}/history?limit=1000")
        assert answer.status == 200, answer
        return list(reversed(answer.body["executions"]))

    # --- the receiver -------------------------------------------------------------------------

    def answer(self, path: str, *answers: Mapping[str, Any]) -> None:
        """How the receiver answers calls to that path, in turn; the last one repeats."""
        body = json.dumps({"path": f"/{path}", "answers": list(answers)}).encode()
        request = urllib.request.Request(f"http://127.0.0.1:{self.receiver_port}/_answers", data=body, method="POST")
        with urllib.request.urlopen(request, timeout=10) as response:
            assert response.status == 200

    def calls(self, *job_ids: str) -> list[Call]:
        """What the receiver saw, in order; of those jobs only, if any are named."""
        if not self.received.exists():
            return []
        lines = [json.loads(line) for line in self.received.read_text().splitlines()]
        hung_up = {line["hung_up"]: line["at"] for line in lines if "hung_up" in line}
        calls = [
            Call(
                number=line["number"],
                key=line["headers"].get("idempotency-key", ""),
                job_id=line["headers"].get("x-job-id", ""),
                attempt=int(line["headers"].get("x-attempt", "0")),
                path=line["path"],
                at=line["at"],
                hung_up_at=hung_up.get(line["number"]),
            )
            for line in lines
            if "headers" in line
        ]
        return [call for call in calls if not job_ids or call.job_id in job_ids]

    # --- the database -----------------------------------------------------------------------

    def rows(self, query: str, *values: Any) -> list[tuple[Any, ...]]:
        with psycopg.connect(self.database_url, autocommit=True, connect_timeout=5) as sql:
            return sql.execute(query, values).fetchall()

    def execute(self, *statements: str) -> None:
        with psycopg.connect(self.database_url, autocommit=True) as sql:
            for statement in statements:
                sql.execute(statement)

    def count(self, table: str, where: str = "true") -> int:
        return int(self.rows(f"SELECT count(*) FROM {table} WHERE {where}")[0][0])

    def statuses(self, job_ids: Iterable[str]) -> Counter[str]:
        """How many of those jobs are in which state."""
        ids = [uuid_of(job_id) for job_id in job_ids]
        rows = self.rows("SELECT status, count(*) FROM jobs_job WHERE id = ANY(%s::uuid[]) GROUP BY status", ids)
        return Counter(dict(rows))

    def wait_for(self, job_ids: Sequence[str], status: str = "completed", seconds: float = 60.0) -> float:
        """Wait until all those jobs are in that state; seconds it took."""
        began = time.monotonic()
        try:
            wait_until(
                lambda: self.statuses(job_ids) == {status: len(job_ids)}, f"{len(job_ids)} jobs are {status}", seconds
            )
        except TimeoutError as error:
            raise AssertionError(f"{error}; they are {dict(self.statuses(job_ids))}") from None
        return time.monotonic() - began


_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"


def uuid_of(job_id: str) -> str:
    """`job_01k…` → the hexadecimal digits of its UUID: the tests' own reading of public ids."""
    number = 0
    for character in job_id.removeprefix("job_"):
        number = number * 32 + _ALPHABET.index(character)
    return f"{number:032x}"


def id_of(uuid: Any) -> str:
    """A UUID → `job_01k…`."""
    number, digits = uuid.int, []
    for _ in range(26):
        number, digit = divmod(number, 32)
        digits.append(_ALPHABET[digit])
    return "job_" + "".join(reversed(digits))


class Cluster:
    """One PostgreSQL cluster for a whole session, with a migrated database to copy from."""

    TEMPLATE = "jobs_template"

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.postgres = Postgres(folder / "postgres")
        self._names = (f"jobs_{number}" for number in itertools.count(1))

    def __enter__(self) -> Cluster:
        self.postgres.start()
        self.postgres.create_database(self.TEMPLATE)
        environment = {
            **os.environ,
            "DATA_DIR": str(self.folder / "data"),
            "DATABASE_URL": self.postgres.url(self.TEMPLATE),
            "ENVIRONMENT": "local",
        }
        subprocess.run(
            [sys.executable, "manage.py", "migrate", "--verbosity", "0"], cwd=ROOT, env=environment, check=True
        )
        self.postgres.stop()
        self.still = Postgres(self.folder / "still", copy_of=self.postgres)
        self.postgres.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self.postgres.stop()

    def database(self) -> str:
        """A fresh, migrated database; its URL."""
        name = next(self._names)
        self.postgres.create_database(name, template=self.TEMPLATE)
        return self.postgres.url(name)

    def copy(self, folder: Path) -> Postgres:
        """A cluster of its own with the same template in it, not started: for tests that stop the database."""
        return Postgres(folder / "postgres", copy_of=self.still)
