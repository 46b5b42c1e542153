"""What `up` prints: the processes' lines, each with the name of who wrote it, and its own.

Colours only on a terminal, and never with NO_COLOR set.
"""

from __future__ import annotations

import os
import re
import sys
import threading
from typing import IO, Final

NAMES: Final = {"api": 36, "worker": 32, "scheduler": 35, "broker": 33, "echo": 34}  # and their colours
_WIDTH = max(map(len, NAMES))
_TROUBLE = re.compile(r"\b(WARNING|ERROR|CRITICAL)\b")
_BOLD, _DIM, _RED, _YELLOW = 1, 2, 31, 33


class Console:
    """Lines from several threads, one at a time."""

    def __init__(self, out: IO[str] | None = None, *, colour: bool | None = None) -> None:
        self._out = out or sys.stdout
        self._lock = threading.Lock()
        if colour is None:
            colour = self._out.isatty() and not os.environ.get("NO_COLOR")
        self._colour = colour

    def line(self, name: str, text: str) -> None:
        """A line of one of the processes."""
        trouble = _TROUBLE.search(text)
        if trouble is not None:
            text = self._paint(_YELLOW if trouble[1] == "WARNING" else _RED, text)
        self._write(f"{self._paint(NAMES.get(name, _DIM), name.ljust(_WIDTH))} | {text}")

    def say(self, text: str = "") -> None:
        """A line of `up` itself."""
        self._write(text)

    def title(self, text: str) -> None:
        self._write(self._paint(_BOLD, text))

    def problem(self, text: str) -> None:
        self._write(self._paint(_RED, text))

    def pump(self, name: str, stream: IO[bytes]) -> None:
        """Print all that comes from `stream` until it ends."""
        with stream:
            for raw in stream:
                text = raw.decode("utf-8", "replace").rstrip()
                if text:
                    self.line(name, text)

    def _paint(self, code: int, text: str) -> str:
        return f"\x1b[{code}m{text}\x1b[0m" if self._colour else text

    def _write(self, text: str) -> None:
        with self._lock:
            try:
                self._out.write(text + "\n")
                self._out.flush()
            except (BrokenPipeError, ValueError):
                self._out = open(os.devnull, "w")  # noqa: SIM115, PTH123 - nobody reads any more; the processes go on
