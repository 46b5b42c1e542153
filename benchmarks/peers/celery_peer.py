"""Runs plain Celery: its best arrangement here is two solo workers, no results, no gossip, prefetch 64.

Owns the peer's processes and queue. Rates and latenesses come from the starts that the tasks noted.
"""

from __future__ import annotations

import json
import os
import random
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

import redis
from celery import Celery

from benchmarks.peers.celery_noop import RECORD
from tests.servers.local import ROOT, process, wait_until

QUEUE = "celery"  # Celery's own default
SOLO = ("-P", "solo", "-c", "1")
BEAT_SETTINGS = "benchmarks.peers.beat_settings"
THREADS = ("-P", "threads", "-c", "16")
WAIT_SECONDS = 120.0


class CeleryPeer:
    """Workers of `celery_noop`, started and stopped around each measurement."""

    def __init__(self, redis_url: str, folder: Path) -> None:
        self._url = redis_url
        self._log, self._record = folder / "celery.log", folder / "celery.record"
        self._app = Celery("peer", broker=redis_url)
        self._redis = redis.Redis.from_url(redis_url)

    @contextmanager
    def workers(self, count: int, pool: Sequence[str] = SOLO) -> Iterator[list[int]]:
        """That many workers, up and waiting on an empty queue; their process ids."""
        with ExitStack() as stack:
            pids = [stack.enter_context(self.starting(pool, index)) for index in range(count)]
            wait_until(lambda: len(self._app.control.ping(timeout=0.3) or ()) >= count, "celery's workers answer")
            yield pids

    @contextmanager
    def starting(self, pool: Sequence[str] = SOLO, index: int = 0) -> Iterator[int]:
        """One worker on an empty queue, just started; its process id."""
        if index == 0:
            self._redis.delete(QUEUE, "unacked", "unacked_index")
            self._record.write_bytes(b"")
        command = [
            sys.executable, "-m", "celery", "-A", "benchmarks.peers.celery_noop", "worker", *pool,
            "-n", f"peer{index}@%h", "--without-gossip", "--without-mingle", "--without-heartbeat", "-l", "WARNING",
        ]  # fmt: skip
        env = {**os.environ, "PEER_REDIS": self._url, "PEER_RECORD": str(self._record)}
        with process(command, log=self._log, env=env, cwd=ROOT) as child:
            yield child.pid

    def drain(self, jobs: int, workers: int = 2) -> float:
        """No-op tasks a second, first start to last, of a queue that appears whole before idle workers."""
        with self.workers(workers):
            self._fill(jobs)
            starts = [start for _, start in self._records(jobs)]
        return jobs / (max(starts) - min(starts))

    def lateness(self, jobs: int, seconds: float) -> list[float]:
        """ETA tasks spread over `seconds`: ms from the ETA to the start. A task that came twice counts twice."""
        with self.workers(1, THREADS):
            begin = time.time() + 15.0  # all are sent before the first is due
            for index in range(jobs):
                due = begin + index * seconds / jobs
                self._app.send_task("noop", args=[due], eta=datetime.fromtimestamp(due, UTC), ignore_result=True)
            if time.time() > begin:
                raise RuntimeError("sending took longer than its head start")
            return [(start - due) * 1000 for due, start in self._records(jobs)]

    @contextmanager
    def beat(self, database: str) -> Iterator[int]:
        """django-celery-beat on the entries of that database; its process id."""
        command = [
            sys.executable, "-m", "celery", "-A", "benchmarks.peers.celery_noop", "beat", "-l", "WARNING",
            "-S", "django_celery_beat.schedulers:DatabaseScheduler", "--pidfile=", "--max-interval", "1",
        ]  # fmt: skip
        env = {**os.environ, **beat_environment(database), "PEER_REDIS": self._url}
        with process(command, log=self._log, env=env, cwd=ROOT) as child:
            yield child.pid

    def recorded(self) -> list[tuple[float, float]]:
        """(key, start) of each task that has run since the workers were started."""
        whole = self._record.read_bytes()
        return list(RECORD.iter_unpack(whole[: len(whole) // RECORD.size * RECORD.size]))

    def latency(self, jobs: int, gap: tuple[float, float]) -> list[float]:
        """Tasks sent one by one to idle workers: ms from before `.delay()` to the start."""
        with self.workers(2):
            self._app.send_task("noop", args=[0.0], ignore_result=True)  # the first one opens the connection
            self._records(1)
            for _ in range(jobs):
                time.sleep(random.uniform(*gap))
                self._app.send_task("noop", args=[time.time()], ignore_result=True)
            return [(start - sent) * 1000 for sent, start in self._records(jobs + 1) if sent]

    def delays(self, jobs: int) -> float:
        """Tasks sent a second, one by one, with no worker to take them."""
        self._app.send_task("noop", args=[0.0], ignore_result=True)  # the first one opens the connection
        begin = time.perf_counter()
        for _ in range(jobs):
            self._app.send_task("noop", args=[0.0], ignore_result=True)
        rate = jobs / (time.perf_counter() - begin)
        self._redis.delete(QUEUE)
        return rate

    def post(self, jobs: int, url: str, pool: Sequence[str] = SOLO) -> float:
        """HTTP tasks a second (requests), first start to last, of a queue that appears whole before two idle workers."""
        with self.workers(2, pool):
            self._fill(jobs, "post", url)
            starts = [start for _, start in self._records(jobs)]
        return jobs / (max(starts) - min(starts))

    def _fill(self, jobs: int, task: str = "noop", *arguments: object) -> None:
        """The whole queue in one step: copies of a message that Celery itself made, put in place by a rename."""
        draft = f"{QUEUE}.draft"
        self._app.send_task(task, args=list(arguments), queue=draft, ignore_result=True)
        answer: Any = self._redis.brpop([draft], timeout=5)
        message = json.loads(answer[1])
        message["properties"]["delivery_info"]["routing_key"] = QUEUE
        for at in range(0, jobs, 500):
            copies = []
            for _ in range(min(500, jobs - at)):
                message["headers"]["id"] = message["headers"]["root_id"] = str(uuid4())
                message["properties"]["correlation_id"] = message["headers"]["id"]
                message["properties"]["delivery_tag"] = str(uuid4())
                copies.append(json.dumps(message))
            self._redis.lpush(draft, *copies)
        self._redis.rename(draft, QUEUE)

    def _records(self, count: int) -> list[tuple[float, float]]:
        """(key, start) of each task, once there are so many."""
        wait_until(
            lambda: self._record.stat().st_size >= count * RECORD.size, f"{count} celery tasks ran", WAIT_SECONDS
        )
        return [(key, start) for key, start in RECORD.iter_unpack(self._record.read_bytes())]


def beat_environment(database: str) -> dict[str, str]:
    """What django-celery-beat's processes need: a Django of their own on that PostgreSQL database."""
    return {"DJANGO_SETTINGS_MODULE": BEAT_SETTINGS, "PEER_DATABASE": database}
