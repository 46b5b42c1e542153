"""The guard of the test suite itself: a connection to anywhere but loopback is an error."""

from __future__ import annotations

import socket

import pytest


@pytest.mark.parametrize("address", ["192.0.2.1", "8.8.8.8", "example.com"])
def test_a_connection_to_outside_is_an_error_before_a_packet_is_sent(address: str) -> None:
    with socket.socket() as sock, pytest.raises(AssertionError, match="a test connects to"):
        sock.connect((address, 80))
