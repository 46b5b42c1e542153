"""The processes that `up` runs: started, watched, started again, stopped.

Only the main thread starts children: on Linux they are told to end when the thread that started
them does, so that none outlives a killed parent.
"""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence

from ductape_jobs.up.console import Console

QUICK_SECONDS = 10.0  # who dies sooner than this after its start did not really start
MAX_QUICK_DEATHS = 3
_PR_SET_PDEATHSIG = 1
_libc = ctypes.CDLL(None, use_errno=True) if sys.platform == "linux" else None


class GivesUp(Exception):
    """A process dies whenever it is started."""


class Child:
    """One process in a session of its own: the terminal's Ctrl-C reaches only `up`, which stops them in order."""

    def __init__(self, name: str, command: Sequence[str], env: Mapping[str, str], console: Console) -> None:
        self.name = name
        self._command = list(command)
        self._env = dict(env)
        self._console = console
        self._process: subprocess.Popen[bytes] | None = None
        self._pump: threading.Thread | None = None
        self._started_at = 0.0
        self._quick_deaths = 0

    def start(self) -> None:
        self._started_at = time.monotonic()
        process = subprocess.Popen(
            self._command,
            env=self._env,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            preexec_fn=_end_with_parent,
        )
        self._process = process
        assert process.stdout is not None
        self._pump = threading.Thread(target=self._console.pump, args=(self.name, process.stdout), daemon=True)
        self._pump.start()

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def watch(self) -> None:
        """Start it again if it died, and say so. GivesUp if it keeps dying."""
        if self._process is None or (code := self._process.poll()) is None:
            return
        quick = time.monotonic() - self._started_at < QUICK_SECONDS
        self._quick_deaths = self._quick_deaths + 1 if quick else 0
        self._end_group()
        how = f"died of {signal.Signals(-code).name}" if code < 0 else f"ended with code {code}"
        if self._quick_deaths >= MAX_QUICK_DEATHS:
            raise GivesUp(f"the {self.name} {how}, {self._quick_deaths} times in a row: its last lines are above")
        self._console.problem(f"the {self.name} {how}: starting it again")
        self.start()

    def ask_to_stop(self) -> None:
        if self._process is not None and self._process.poll() is None:
            self._process.terminate()

    def wait(self, seconds: float) -> bool:
        """Whether it ended in time by itself; afterwards it is gone either way."""
        if self._process is None:
            return True
        try:
            self._process.wait(seconds)
            ended = True
        except subprocess.TimeoutExpired:
            ended = False
        self.kill()
        return ended

    def kill(self) -> None:
        if self._process is not None:
            self._end_group()
            self._process.wait()
        if self._pump is not None:
            self._pump.join(2)  # its last words

    def _end_group(self) -> None:
        """Whatever it left behind goes with it."""
        assert self._process is not None
        try:
            os.killpg(self._process.pid, signal.SIGKILL)
        except (ProcessLookupError, PermissionError):  # nothing is left (macOS says it the second way)
            pass


def _end_with_parent() -> None:
    if _libc is not None:
        _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
