"""A TCP proxy on loopback that goes away and comes back: what a client sees when its server does.

Owns its port, which stays its own. Never looks into what it forwards.
"""

from __future__ import annotations

import socket
import ssl
import threading
from contextlib import suppress

from tests.servers.local import free_port


class Proxy:
    """Forwards to `target` while it is up. A context manager."""

    def __init__(self, target: tuple[str, int], *, tls: ssl.SSLContext | None = None) -> None:
        """With `tls` it speaks that to its clients, and plainly to the target."""
        self._target = target
        self._tls = tls
        self.port = free_port()
        self.accepted = 0
        self._listener: socket.socket | None = None
        self._pairs: list[socket.socket] = []
        self._lock = threading.Lock()
        self._thawed = threading.Event()
        self._thawed.set()

    def __enter__(self) -> Proxy:
        self.up()
        return self

    def __exit__(self, *error: object) -> None:
        self.thaw()
        self.down()

    @property
    def open(self) -> int:
        """How many connections there are."""
        with self._lock:
            return sum(sock.fileno() != -1 for sock in self._pairs) // 2

    def up(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", self.port), backlog=64)
        threading.Thread(target=self._accept, args=(self._listener,), daemon=True).start()

    def down(self) -> None:
        """Refuse connections, and end those there are."""
        if self._listener is not None:
            with suppress(OSError):
                self._listener.shutdown(socket.SHUT_RDWR)
            self._listener.close()
            self._listener = None
        self.cut()

    def cut(self) -> None:
        """End every connection; new ones are made."""
        with self._lock:
            pairs, self._pairs = self._pairs, []
        for sock in pairs:
            with suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)
            sock.close()

    def freeze(self) -> None:
        """Keep connections and forward nothing."""
        self._thawed.clear()

    def thaw(self) -> None:
        self._thawed.set()

    def _accept(self, listener: socket.socket) -> None:
        while True:
            try:
                client, _ = listener.accept()
            except OSError:
                return
            try:
                client = self._tls.wrap_socket(client, server_side=True) if self._tls is not None else client
            except OSError:  # the client did not trust us
                client.close()
                continue
            try:
                server = socket.create_connection(self._target, timeout=5)
            except OSError:
                client.close()
                continue
            server.settimeout(None)
            self.accepted += 1
            with self._lock:
                self._pairs += [client, server]
            for source, sink in ((client, server), (server, client)):
                threading.Thread(target=self._forward, args=(source, sink), daemon=True).start()

    def _forward(self, source: socket.socket, sink: socket.socket) -> None:
        with suppress(OSError):
            while piece := source.recv(65536):
                self._thawed.wait()
                sink.sendall(piece)
        for sock in (source, sink):
            with suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)
            sock.close()
