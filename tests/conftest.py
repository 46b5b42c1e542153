"""What every test stands on: nothing leaves loopback, and no test sees what another left behind."""

from __future__ import annotations

import ipaddress
import signal
import socket
import sys
from collections.abc import Iterator
from typing import Any

import pytest

from core import failpoints, shortcache
from tests.servers.local import wait_until

# A shell's background job ignores Ctrl-C, and would hand that on to every process that a test starts and interrupts.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

_LOCAL_FAMILIES = {socket.AF_INET, socket.AF_INET6}


class OutsideConnection(AssertionError):
    """A test tried to reach an address that is not loopback."""


def _check(sock: socket.socket, address: Any) -> None:
    if sock.family not in _LOCAL_FAMILIES:
        return
    try:
        target = ipaddress.ip_address(str(address[0]).partition("%")[0])
    except ValueError:
        if address[0] in {"localhost", ""}:
            return
        raise OutsideConnection(f"a test connects to the name {address[0]!r}") from None
    mapped = getattr(target, "ipv4_mapped", None)
    if not (mapped or target).is_loopback:
        raise OutsideConnection(f"a test connects to {address[0]}: only loopback is allowed")


@pytest.fixture(autouse=True)
def _only_loopback(monkeypatch: pytest.MonkeyPatch) -> None:
    connect, connect_ex = socket.socket.connect, socket.socket.connect_ex

    def guarded(self: socket.socket, address: Any) -> None:
        _check(self, address)
        connect(self, address)

    def guarded_ex(self: socket.socket, address: Any) -> int:
        _check(self, address)
        return connect_ex(self, address)

    monkeypatch.setattr(socket.socket, "connect", guarded)
    monkeypatch.setattr(socket.socket, "connect_ex", guarded_ex)


@pytest.fixture(autouse=True)
def _nothing_kept() -> Iterator[None]:
    shortcache.forget_everything()
    yield
    failpoints.clear()
    shortcache.forget_everything()


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_teardown() -> None:
    """A request that waited has its answer while the thread that looks for all of them may be at one more look: the
    database stays the test's until then."""
    waiting = sys.modules.get("jobs.operations.waiting")
    if waiting is not None:
        wait_until(waiting.watcher.rests, "nothing is read for requests that waited", every=0.005)
