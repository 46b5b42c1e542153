"""Runs BullMQ 6: one process, fifty at once, which is its best arrangement on two cores.

Owns the installation of the package (once, into the data folder, from its lock file) and the
calls of `bullmq/noop.js`, `bullmq/http.js`, `bullmq/worker.js` and `bullmq/kept.js`.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import redis

from tests.servers.local import ROOT, process

HERE = Path(__file__).resolve().parent / "bullmq"
FILES = ("package.json", "package-lock.json", "noop.js", "http.js", "worker.js", "kept.js")
CONCURRENCY = 50
RUN_SECONDS = 180
FILL_SECONDS = 900


class BullMQPeer:
    """Calls of the node script; each is a process of its own."""

    def __init__(self, redis_url: str) -> None:
        self._folder = installed()
        self._redis = redis.Redis.from_url(redis_url)
        self._env = {**os.environ, "REDIS_PORT": str(urlsplit(redis_url).port), "CONCURRENCY": str(CONCURRENCY)}

    def drain(self, jobs: int) -> float:
        """No-op jobs a second, from the first start to the last completion, of a queue that was full."""
        return jobs / float(self._run("drain", jobs)["seconds"])

    def post(self, jobs: int, url: str, at_once: int = CONCURRENCY) -> float:
        """HTTP jobs a second (undici), from the first start to the last completion, of a queue that was full."""
        answer = self._call("http.js", jobs, url, at_once, concurrency=at_once)
        return jobs / float(answer["seconds"])

    def lateness(self, jobs: int, seconds: float) -> list[float]:
        """Delayed jobs spread over `seconds`: ms from the due time to the start."""
        return [float(late) for late in self._run("delayed", jobs, seconds)["late"]]

    def latency(self, jobs: int, gap: tuple[float, float]) -> list[float]:
        """Jobs added one by one to an idle worker: ms from before `add` to the start."""
        return [float(late) for late in self._run("latency", jobs, gap[0] * 1000, gap[1] * 1000)["late"]]

    def add(self, jobs: int, at_once: int) -> float:
        """Jobs added a second, one by one, so many calls in flight; nobody works on them."""
        return jobs / float(self._run("add", jobs, at_once)["seconds"])

    def add_bulk(self, jobs: int) -> float:
        """Jobs added a second by addBulk, 1 000 in a call."""
        return jobs / float(self._run("bulk", jobs)["seconds"])

    def kept(self, completed: int, times: int, repetitions: int, jobs: int) -> dict[str, Any]:
        """With so many completed jobs kept: `list` and `counts` in ms, `added` and `done` jobs a second; an entry a
        repetition."""
        return self._call("kept.js", completed, times, repetitions, jobs, seconds=FILL_SECONDS)

    @contextmanager
    def worker(self, url: str, at_once: int, log: Path) -> Iterator[int]:
        """A worker that POSTs to `url`, so many at once, just started; its process id."""
        command = ["node", "worker.js", "work", url, str(at_once)]
        env = {**self._env, "CONCURRENCY": str(at_once)}
        with process(command, log=log, env=env, cwd=self._folder) as child:
            yield child.pid

    def give(self, jobs: int) -> None:
        """Put that many jobs into the queue of `worker`."""
        subprocess.run(
            ["node", "worker.js", "add", str(jobs)], cwd=self._folder, env=self._env, timeout=RUN_SECONDS, check=True
        )

    def in_flight(self) -> int:
        """How many jobs of that queue are being worked on."""
        count: Any = self._redis.llen("bull:peer-worker:active")
        return int(count)

    def _run(self, *arguments: object) -> dict[str, Any]:
        return self._call("noop.js", *arguments)

    def _call(
        self, script: str, *arguments: object, concurrency: int = CONCURRENCY, seconds: float = RUN_SECONDS
    ) -> dict[str, Any]:
        command = ["node", script, *map(str, arguments)]
        env = {**self._env, "CONCURRENCY": str(concurrency)}
        done = subprocess.run(
            command, cwd=self._folder, env=env, timeout=seconds, stdout=subprocess.PIPE, text=True, check=True
        )
        answer: dict[str, Any] = json.loads(done.stdout)
        return answer


def available() -> bool:
    """Whether this machine can run the peer at all."""
    return shutil.which("node") is not None and shutil.which("npm") is not None


def version() -> str:
    """The pinned version of BullMQ."""
    return str(json.loads((HERE / "package.json").read_text())["dependencies"]["bullmq"])


def installed() -> Path:
    """The folder with the script and its packages; installed there when it is not, or is another version."""
    digest = hashlib.sha256(b"".join((HERE / name).read_bytes() for name in FILES)).hexdigest()[:12]
    folder = ROOT / ".data" / "bench" / f"bullmq-{digest}"
    if (folder / "ready").exists():
        return folder
    folder.mkdir(parents=True, exist_ok=True)
    for name in FILES:
        shutil.copy(HERE / name, folder)
    subprocess.run(
        ["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"], cwd=folder, check=True
    )
    (folder / "ready").touch()
    return folder
