"""Servers that a test kills, freezes and starts again: PostgreSQL clusters and Redis on ports that stay theirs.

Owns their processes and folders. `local` has the same servers for whoever only wants them to run.
"""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import subprocess
from pathlib import Path

import psycopg
import redis

from tests.servers.local import free_port, postgres_binaries, wait_until

STOP_SECONDS = 30.0


class Server:
    """A server process that may die and come back. `command` runs in `folder`, its output in `log`."""

    def __init__(self, name: str, folder: Path, *, user: str | None = None) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.name = name
        self.folder = folder
        self.log = folder / f"{name}.log"
        self.port = free_port()
        self._user = user
        self._process: subprocess.Popen[bytes] | None = None

    def command(self) -> list[str]:
        raise NotImplementedError

    def answers(self) -> bool:
        raise NotImplementedError

    def launch(self) -> None:
        """Start the process; does not wait for it to answer."""
        with self.log.open("ab") as output:
            self._process = subprocess.Popen(
                self.command(), stdout=output, stderr=output, stdin=subprocess.DEVNULL, cwd=self.folder,
                user=self._user, start_new_session=True,
            )  # fmt: skip

    def start(self) -> None:
        self.launch()
        wait_until(self.answers, f"{self.name} answers")

    def kill(self) -> None:
        """SIGKILL, as a machine that loses its power."""
        self._end(signal.SIGKILL)

    def stop(self) -> None:
        self._end(signal.SIGTERM)

    def freeze(self) -> None:
        """SIGSTOP: it keeps its connections and answers nothing."""
        self._tell(signal.SIGSTOP)

    def thaw(self) -> None:
        self._tell(signal.SIGCONT)

    def _tell(self, number: signal.Signals) -> None:
        assert self._process is not None
        for pid in family(self._process.pid):
            try:
                os.kill(pid, number)
            except ProcessLookupError:  # it ended while we looked
                pass

    def _end(self, number: signal.Signals) -> None:
        if self._process is None:
            return
        self._tell(signal.SIGCONT)
        self._process.send_signal(number)
        try:
            self._process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process = None


class Redis(Server):
    """A Redis without persistence: killed, it comes back empty."""

    def __init__(self, folder: Path) -> None:
        super().__init__("redis", folder)

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    def command(self) -> list[str]:
        binary = shutil.which("redis-server") or shutil.which("valkey-server")
        if binary is None:
            raise FileNotFoundError("no redis-server on PATH: install one, the acceptance tests break it")
        return [
            *(binary, "--port", str(self.port), "--bind", "127.0.0.1", "--dir", str(self.folder)),
            *("--save", "", "--appendonly", "no"),
        ]

    def answers(self) -> bool:
        with redis.Redis(port=self.port) as client:
            try:
                return bool(client.ping())
            except redis.ConnectionError:
                return False


# As a production server is tuned for safety: every commit reaches the disk.
POSTGRES_OPTIONS = {
    "fsync": "on",
    "synchronous_commit": "on",
    "full_page_writes": "on",
    "shared_buffers": "128MB",
    "max_connections": "200",
}


class Postgres(Server):
    """A PostgreSQL cluster; made anew, or as a copy of one that is stopped."""

    def __init__(self, folder: Path, *, copy_of: Postgres | None = None) -> None:
        super().__init__(
            "postgres", folder, user="postgres" if os.geteuid() == 0 else None
        )  # it refuses to run as root
        self._binaries = postgres_binaries()
        self._data = folder / "pgdata"
        if copy_of is not None:
            shutil.copytree(copy_of._data, self._data)
        else:
            self._data.mkdir(mode=0o700)
        if self._user is not None:
            folder.chmod(0o755)
            group = pwd.getpwnam(self._user).pw_gid
            for path in (self._data, *self._data.rglob("*")):
                shutil.chown(path, self._user, group)
        if copy_of is None:
            subprocess.run(
                [self._binaries / "initdb", "-D", self._data, "-U", "postgres", "-A", "trust", "-E", "UTF8",
                 "--no-locale"], check=True, stdout=subprocess.DEVNULL, user=self._user, cwd=folder,
            )  # fmt: skip

    def command(self) -> list[str]:
        command = [
            *(str(self._binaries / "postgres"), "-D", str(self._data)),
            *("-p", str(self.port), "-h", "127.0.0.1", "-k", ""),
        ]
        for name, value in POSTGRES_OPTIONS.items():
            command += ["-c", f"{name}={value}"]
        return command

    def url(self, database: str) -> str:
        return f"postgresql://postgres@127.0.0.1:{self.port}/{database}"

    def answers(self) -> bool:
        try:
            psycopg.connect(self.url("postgres"), connect_timeout=2).close()
        except psycopg.OperationalError:
            return False
        return True

    def stop(self) -> None:
        self._end(signal.SIGINT)  # fast: sessions are ended, everything is written

    def create_database(self, name: str, *, template: str = "template1") -> None:
        with psycopg.connect(self.url("postgres"), autocommit=True) as sql:
            sql.execute(f"CREATE DATABASE {name} TEMPLATE {template}")


def family(pid: int) -> list[int]:
    """The process and all its descendants."""
    found = [pid]
    try:
        tasks = list(Path(f"/proc/{pid}/task").iterdir())
        children = [int(child) for task in tasks for child in (task / "children").read_text().split()]
    except (FileNotFoundError, ProcessLookupError):
        return found
    for child in children:
        found += family(child)
    return found
