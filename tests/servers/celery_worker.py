"""A worker of the small Celery project beside this file, as a process: started, killed, ended."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType

from tests.servers.local import wait_until

PROJECT = Path(__file__).resolve().parent / "celery_project"
READY_SECONDS = 60.0


class CeleryWorker:
    """`celery -A billing worker` with two processes, on its own queue."""

    def __init__(self, folder: Path, *, broker: str, results: str, queue: str) -> None:
        self.log = folder / "worker.log"
        self._environment = {"BILLING_BROKER": broker, "BILLING_RESULTS": results, "BILLING_QUEUE": queue}
        self._queue = queue
        self.process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> CeleryWorker:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.kill()

    def start(self) -> None:
        """Start, and wait until it takes tasks."""
        command = [
            sys.executable, "-m", "celery", "-A", "billing", "worker", "-Q", self._queue, "-c", "2", "-l", "INFO",
            "-n", f"{self._queue}@test", "--without-gossip", "--without-mingle",
        ]  # fmt: skip
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                command, cwd=PROJECT, env=_without_ours(os.environ) | self._environment, stdout=log, stderr=log,
                start_new_session=True,
            )  # fmt: skip
        before = self.log.read_text().count("ready.")
        wait_until(
            lambda: self.log.read_text().count("ready.") > before, "a Celery worker that is ready", READY_SECONDS
        )

    def kill(self) -> None:
        """Kill the worker and all its processes, as a machine does that loses its power."""
        if self.process is not None and self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()


def _without_ours(environment: Mapping[str, str]) -> dict[str, str]:
    """The environment of a team's project: nothing of this system's settings is in it."""
    ours = ("DJANGO_", "DATABASE_", "REDIS_", "CELERY_", "PYTEST_")
    return {name: value for name, value in environment.items() if not name.startswith(ours)}
