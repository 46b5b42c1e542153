"""Plain Celery as a peer: a task that does nothing but note that it ran.

Each run appends (key, start time) to a file, 16 bytes in one write: the cheapest record that
several processes can share. Nothing else is stored, and no result.
"""

from __future__ import annotations

import os
import struct
import time

from celery import Celery

RECORD = struct.Struct("dd")  # key (the time that lateness is counted from, or 0), time of the start

app = Celery("peer", broker=os.environ.get("PEER_REDIS"))
app.conf.update(
    task_ignore_result=True,
    worker_prefetch_multiplier=64,
    worker_send_task_events=False,
    worker_hijack_root_logger=False,
    broker_connection_retry_on_startup=True,
)

_record = os.open(os.environ.get("PEER_RECORD", os.devnull), os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)


@app.task(name="noop")
def noop(key: float = 0.0) -> None:
    """Note the start; that is all."""
    os.write(_record, RECORD.pack(key, time.time()))
