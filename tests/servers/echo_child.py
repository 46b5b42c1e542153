"""A child for `jobs.runner.isolation` that runs nothing: it answers each message with its process id."""

from __future__ import annotations

import os
from multiprocessing.connection import Connection


def serve(pipe: Connection, parent: int) -> None:
    while True:
        try:
            pipe.recv()
        except (EOFError, OSError):
            return
        pipe.send(os.getpid())
