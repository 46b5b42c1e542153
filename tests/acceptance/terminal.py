"""A terminal beside the real system: programs as processes of their own, piped, or before somebody who watches."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import select
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from tests.acceptance.system import OPERATOR_KEY, System
from tests.servers.local import ROOT

SECONDS = 60.0


class Shell:
    """A terminal in which README.md's two variables are set; its temporary folder is the test's own."""

    def __init__(self, house: System, folder: Path) -> None:
        self.environment = {
            **os.environ,
            "PYTHONPATH": str(ROOT / "clients" / "python" / "src"),
            "DUCTAPE_URL": f"http://127.0.0.1:{house.port}",
            "DUCTAPE_API_KEY": OPERATOR_KEY,
            "ECHO_URL": f"http://127.0.0.1:{house.receiver_port}",
            "BROKER_URL": house.redis.url,
            "XDG_CONFIG_HOME": str(folder),
            "TMPDIR": str(folder),  # below the machine's, in which a server that is local may read and write
        }

    def run(self, *arguments: str, code: int = 0) -> str:
        """What a program prints on standard output. It must end with that code, and as it should: without a traceback."""
        done = subprocess.run(
            [sys.executable, *arguments], cwd=ROOT, env=self.environment, capture_output=True, text=True, timeout=120,
            stdin=subprocess.DEVNULL, check=False,
        )  # fmt: skip
        assert (done.returncode, "Traceback" in done.stderr) == (code, False), done
        return done.stdout

    def command(self, *arguments: str, code: int = 0) -> str:
        return self.run("-m", "ductape.cli.main", *arguments, code=code)

    def screen(self, *arguments: str, lines: int = 20, columns: int = 100, **variables: str) -> Screen:
        command = [sys.executable, "-m", "ductape.cli.main", *arguments]
        environment = {**self.environment, "TERM": "xterm-256color", **variables}
        return Screen(command, environment, lines=lines, columns=columns)


class Screen:
    """A program that believes in a terminal; `written` is all that it wrote there."""

    def __init__(self, command: list[str], environment: Mapping[str, str], *, lines: int, columns: int) -> None:
        self._terminal, terminal = pty.openpty()
        fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))
        # A session of its own whose terminal this is: what is typed as Ctrl-C becomes SIGINT there.
        self._process = subprocess.Popen(
            [sys.executable, "-c", _TAKE_TERMINAL, *command], cwd=ROOT, env=environment, stdin=terminal, stdout=terminal,
            stderr=terminal, start_new_session=True,
        )  # fmt: skip
        os.close(terminal)
        self.written = ""

    def until(self, has: Callable[[str], bool]) -> None:
        """Read on until it has written that; fail when it has ended or nothing comes for long."""
        end = time.monotonic() + SECONDS
        while not has(self.written):
            assert time.monotonic() < end, self.written
            assert self._read(end - time.monotonic()), self.written

    def type(self, text: str) -> None:
        os.write(self._terminal, text.encode())

    def ended(self) -> int:
        """Its exit code, when it has ended by itself."""
        end = time.monotonic() + SECONDS
        while self._read(max(end - time.monotonic(), 0.0)):
            pass
        code = self._process.wait(SECONDS)
        os.close(self._terminal)
        return code

    @property
    def plain(self) -> str:
        """Without what moves the cursor and paints."""
        return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", self.written)

    def _read(self, seconds: float) -> bool:
        if not select.select([self._terminal], [], [], seconds)[0]:
            return False
        try:
            read = os.read(self._terminal, 65_536)
        except OSError:  # nobody is at the other end any more
            return False
        self.written += read.decode(errors="replace")
        return bool(read)


_TAKE_TERMINAL = """
import fcntl, os, sys, termios
fcntl.ioctl(0, termios.TIOCSCTTY, 0)
os.execv(sys.argv[1], sys.argv[1:])
"""
