"""Plain Celery as a peer: a task that does nothing but note that it ran.

Each run appends (key, start time) to a file, 16 bytes in one write: the cheapest record that
several processes can share. Nothing else is stored, and no result.
"""

from __future__ import annotations

import os
import struct
import threading
import time

import requests
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


@app.task(name="post")
def post(url: str) -> None:
    """POST a small JSON object, read the answer, and note the start."""
    start = time.time()
    answer = _session().post(
        f"{url}/users/user_123/welcome",
        json={"userId": "user_123", "email": "a@example.com"},
        headers={"Authorization": "Bearer a-token-of-some-length"},
        timeout=60,
    )
    answer.raise_for_status()
    answer.json()
    os.write(_record, RECORD.pack(0.0, start))


def _session() -> requests.Session:
    """One a thread: connections are kept, and a session is not safe between threads."""
    if not hasattr(_local, "session"):
        _local.session = requests.Session()
    found: requests.Session = _local.session
    return found


_local = threading.local()
