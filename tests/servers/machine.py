"""Servers that the machine has, shared by tests: each test makes its own names in them, and cleans up.

A missing one skips a test on a laptop and fails it where `CI` is set.
"""

from __future__ import annotations

import os
import socket

import pytest

PORTS = {
    "postgresql": 5432,
    "mariadb": 3306,
    "redis": 6379,
    "rabbitmq": 5672,
    "mosquitto": 1883,
    "nats": 4222,
}


def needs(name: str) -> tuple[str, int]:
    """Host and port of the machine's server of that name, which answers."""
    host, port = "127.0.0.1", PORTS[name]
    try:
        socket.create_connection((host, port), timeout=5).close()
    except OSError:
        told = f"no {name} at {host}:{port}"
        if os.environ.get("CI"):
            pytest.fail(told)
        pytest.skip(told)
    return host, port
