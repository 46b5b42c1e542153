"""The three processes: what they wait for, what they say, how lean they are, how they end."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.servers.local import ROOT, free_port, process, redis_server, wait_until

pytestmark = pytest.mark.timeout(120)

MOST_IDLE_MB = 130
NOBODY = "redis://127.0.0.1:1/0"  # nothing listens on port 1


def environment(folder: Path, **variables: str) -> dict[str, str]:
    own = {"DATABASE_URL": "", "DATA_DIR": str(folder / "data"), "REDIS_URL": NOBODY, "PORT": str(free_port())}
    return {**os.environ, "ENVIRONMENT": "local", **own, **variables}


def manage(*arguments: str, env: dict[str, str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "manage.py", *arguments], cwd=ROOT, env=env, capture_output=True, text=True, timeout=60
    )  # fmt: skip


class Running:
    """A process of the system and what it says."""

    def __init__(self, popen: subprocess.Popen[bytes], log: Path) -> None:
        self._popen = popen
        self._log = log

    def said(self) -> str:
        return self._log.read_text()

    def wait(self, text: str) -> None:
        def has_said() -> bool:
            assert self._popen.poll() is None, self.said()
            return text in self.said()

        wait_until(has_said, f"{text!r} is said", 60)

    def resident_mb(self) -> float:
        status = Path(f"/proc/{self._popen.pid}/status").read_text()
        found = re.search(r"VmRSS:\s+(\d+) kB", status)
        assert found is not None
        return int(found[1]) / 1024

    def stop(self) -> int:
        self._popen.send_signal(signal.SIGTERM)
        return self._popen.wait(30)


@contextmanager
def started(name: str, env: dict[str, str], folder: Path) -> Iterator[Running]:
    log = folder / f"{name}.log"
    with process([sys.executable, "manage.py", name], env=env, cwd=ROOT, log=log) as popen:
        yield Running(popen, log)


@pytest.mark.parametrize("name", ["worker", "scheduler"])
def test_it_waits_for_the_migrations_says_so_and_goes_on(name: str, tmp_path: Path) -> None:
    env = environment(tmp_path)
    with started(name, env, tmp_path) as running:
        running.wait("migrations of this version are missing")
        assert "'python manage.py migrate' applies them" in running.said()
        assert manage("migrate", "--verbosity=0", env=env).returncode == 0
        running.wait("the database is ready")
        running.wait("serves default" if name == "worker" else "scheduler started")


@pytest.mark.parametrize("name", ["worker", "scheduler"])
def test_without_a_database_it_says_what_it_waits_for_and_ends_when_told_to(name: str, tmp_path: Path) -> None:
    env = environment(tmp_path, DATABASE_URL=f"postgres://nobody@127.0.0.1:{free_port()}/none")
    with started(name, env, tmp_path) as running:
        running.wait("waiting: the database does not answer")
        assert running.stop() == -signal.SIGTERM


def test_the_api_answers_without_database_and_broker(tmp_path: Path) -> None:
    env = environment(tmp_path, DATABASE_URL=f"postgres://nobody@127.0.0.1:{free_port()}/none")
    with started("api", env, tmp_path) as running:
        running.wait("Booting worker")
        base = f"http://127.0.0.1:{env['PORT']}"
        with urllib.request.urlopen(f"{base}/healthz", timeout=10) as response:
            assert response.status == 200
            length = response.headers["Content-Length"]
        asked = urllib.request.Request(f"{base}/healthz", method="HEAD")
        with urllib.request.urlopen(asked, timeout=10) as response:
            assert (response.read(), response.headers["Content-Length"]) == (b"", length)
        assert "WARNING" not in running.said()  # gunicorn's, about a body that HEAD has not
        with pytest.raises(urllib.error.HTTPError) as unready:
            urllib.request.urlopen(f"{base}/readyz", timeout=10)
        with unready.value as error:
            assert error.code == 503
            text = error.read().decode()
        assert '"database"' in text
        assert '"broker"' in text
        assert running.stop() == 0


def test_a_worker_is_lean_quiet_about_root_and_ends_at_once_when_idle(tmp_path: Path) -> None:
    with redis_server(tmp_path) as url:
        env = environment(tmp_path, REDIS_URL=url)
        assert manage("migrate", "--verbosity=0", env=env).returncode == 0
        with started("worker", env, tmp_path) as running:
            running.wait("ready.")
            assert running.resident_mb() <= MOST_IDLE_MB
            assert "superuser" not in running.said()
            assert running.stop() == 0


def test_two_schedulers_in_one_folder_do_not_collide(tmp_path: Path) -> None:
    env = environment(tmp_path)
    assert manage("migrate", "--verbosity=0", env=env).returncode == 0
    (tmp_path / "one").mkdir()
    (tmp_path / "two").mkdir()
    with started("scheduler", env, tmp_path / "one") as one, started("scheduler", env, tmp_path / "two") as two:
        one.wait("scheduler started")
        two.wait("scheduler started")
        assert one.stop() == 0
        two.wait("scheduler started")
        assert two.stop() == 0


@pytest.mark.parametrize("name", ["api", "worker", "scheduler"])
def test_an_unsafe_production_does_not_start(name: str, tmp_path: Path) -> None:
    env = environment(tmp_path, ENVIRONMENT="production", SECRET_KEY="x" * 60, FIELD_ENCRYPTION_KEYS="short")
    refused = manage(name, env=env)
    assert refused.returncode == 1
    for identifier in ("E002", "E010", "E020", "E031"):
        assert f"ductape.{identifier}" in refused.stderr
    assert "Traceback" not in refused.stderr


def test_loading_the_api_opens_nothing_that_must_not_cross_a_fork(tmp_path: Path) -> None:
    """Gunicorn loads it once and forks: a thread or a connection of the parent would be shared or lost."""
    code = (
        "import threading, os, socket, stat, django; django.setup()\n"
        "from ductape_jobs.serving import Server\n"
        "assert callable(Server().load())\n"
        "from django.db import connection\n"
        "sockets = [fd for fd in os.listdir('/proc/self/fd') if os.path.exists(f'/proc/self/fd/{fd}')"
        " and stat.S_ISSOCK(os.stat(f'/proc/self/fd/{fd}').st_mode)]\n"
        "print(threading.active_count(), connection.connection, sockets)\n"
    )
    env = environment(tmp_path, DJANGO_SETTINGS_MODULE="ductape_jobs.settings")
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, env=env, capture_output=True, text=True, check=False, timeout=60
    )  # fmt: skip
    assert done.stdout == "1 None []\n", done.stderr


def test_alive_tells_a_container_whether_its_process_is_at_work(tmp_path: Path) -> None:
    env = environment(tmp_path)
    assert manage("migrate", "--verbosity=0", env=env).returncode == 0
    nobody = manage("alive", env=env)
    assert nobody.returncode == 1
    assert "no worker and no scheduler of host" in nobody.stderr
    with started("scheduler", env, tmp_path) as running:
        running.wait("scheduler started")
        wait_until(lambda: manage("alive", env=env).stdout == "scheduler at work\n", "it is alive", 30)


def test_alive_does_not_condemn_a_process_that_waits_for_its_database(tmp_path: Path) -> None:
    done = manage("alive", env=environment(tmp_path, DATABASE_URL=f"postgres://x@127.0.0.1:{free_port()}/none"))
    assert (done.returncode, done.stdout.startswith("not known: the database does not answer")) == (0, True)


STARTED_WRONG = [
    ("up", {"PORT": "abc"}, "PORT is 'abc': it must be a whole number"),
    ("up", {"PORT": "80000"}, "ductape.E005: PORT is 80000\n    it must be from 1 to 65535"),
    ("worker", {"QUEUES": ""}, "ductape.E004: QUEUES names no queue"),
    ("up", {"DATA_DIR": "/proc/x"}, "DATA_DIR is /proc/x, where no keys can be kept (No such file or directory)"),
    ("up", {"DATABASE_URL": "postgres://u:s3cret@127.0.0.1:1/x"}, "Start it, or leave DATABASE_URL out"),
    ("fsck", {"DATABASE_URL": "postgres://u:s3cret@127.0.0.1:1/x"}, "the database does not answer: connection failed"),
    ("fsck", {}, "migrations of this version are missing: 'python manage.py migrate' applies them"),
]  # fmt: skip


@pytest.mark.parametrize(("command", "variables", "sentence"), STARTED_WRONG)
def test_a_mistake_at_the_start_is_a_sentence(
    command: str, variables: dict[str, str], sentence: str, tmp_path: Path
) -> None:
    done = manage(command, env=environment(tmp_path, **variables))
    said = done.stdout + done.stderr
    assert done.returncode == 1, said
    assert sentence in said
    assert "Traceback" not in said
    assert "s3cret" not in said
    assert len(said.splitlines()) <= 6, said
