"""A server that speaks Bolt 5.4 to the real driver and answers what a test told it to. It knows no Cypher.

https://neo4j.com/docs/bolt/current/bolt/message/
"""

from __future__ import annotations

import socket
import socketserver
import struct
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from tests.servers.packstream import Structure, Unpacker, packed

HELLO, GOODBYE, RESET, RUN, BEGIN, COMMIT, ROLLBACK = 0x01, 0x02, 0x0F, 0x10, 0x11, 0x12, 0x13
DISCARD, PULL, LOGON = 0x2F, 0x3F, 0x6A
SUCCESS, RECORD, IGNORED, FAILURE = 0x70, 0x71, 0x7E, 0x7F
NAMES = {
    HELLO: "HELLO", GOODBYE: "GOODBYE", RESET: "RESET", RUN: "RUN", BEGIN: "BEGIN", COMMIT: "COMMIT",
    ROLLBACK: "ROLLBACK", DISCARD: "DISCARD", PULL: "PULL", LOGON: "LOGON", 0x54: "TELEMETRY",
}  # fmt: skip


def node(id: int, *labels: str, **properties: Any) -> Structure:
    return Structure(0x4E, [id, [*labels], properties, f"4:x:{id}"])


def relationship(id: int, start: int, end: int, type: str, **properties: Any) -> Structure:
    return Structure(0x52, [id, start, end, type, properties, f"5:x:{id}", f"4:x:{start}", f"4:x:{end}"])


@dataclass
class Answer:
    """What a statement gives: rows, or a failure (code, message), or nothing for a while."""

    fields: list[str] = field(default_factory=list)
    rows: list[list[Any]] = field(default_factory=list)
    stats: dict[str, int] = field(default_factory=dict)
    failure: tuple[str, str] | None = None
    hang: bool = False


class Bolt:
    """The server, on a free port of loopback while it is entered. `said` is what it was told, in order."""

    def __init__(self, agent: str = "Neo4j/5.26.0", password: str = "secret") -> None:
        self.agent, self.password = agent, password
        self.said: list[tuple[str, Any]] = []
        self.connections = 0
        self.open = 0
        self._answers: list[Answer] = []
        self._stopping = threading.Event()

    def answer(self, *answers: Answer) -> None:
        """Answers for the statements to come, one each; without any there are no rows."""
        self._answers += answers

    def statements(self) -> list[tuple[str, dict[str, Any]]]:
        return [(fields[0], fields[1]) for name, fields in self.said if name == "RUN"]

    def names(self) -> list[str]:
        return [name for name, _ in self.said if name not in ("PULL", "TELEMETRY")]

    def __enter__(self) -> Bolt:
        outer = self

        class Handler(socketserver.BaseRequestHandler):
            def handle(self) -> None:
                outer.connections += 1
                outer.open += 1
                try:
                    _Conversation(outer, self.request).hold()
                except OSError:
                    pass  # the driver went away
                finally:
                    outer.open -= 1

        self._server = socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._server.block_on_close = False
        self.port: int = self._server.server_address[1]
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopping.set()
        self._server.shutdown()
        self._server.server_close()

    def all_closed(self, seconds: float = 5.0) -> bool:
        until = time.monotonic() + seconds
        while self.open and time.monotonic() < until:
            time.sleep(0.01)
        return self.open == 0

    def next_answer(self) -> Answer:
        return self._answers.pop(0) if self._answers else Answer()


class _Conversation:
    def __init__(self, server: Bolt, connection: socket.socket) -> None:
        self._server, self._connection = server, connection
        self._failed = False
        self._answer = Answer()
        self._does: dict[int, Callable[[list[Any]], None]] = {LOGON: self._log_on, RUN: self._run, PULL: self._pull}

    def hold(self) -> None:
        assert self._exactly(4) == b"\x60\x60\xb0\x17"
        self._exactly(16)
        self._connection.sendall(b"\x00\x00\x04\x05")
        while True:
            message = self._message()
            self._server.said.append((NAMES.get(message.tag, hex(message.tag)), message.fields))
            if message.tag == GOODBYE:
                return
            if message.tag == RESET:
                self._failed = False
            if self._failed:
                self._send(Structure(IGNORED, []))
            elif message.tag == HELLO:
                self._succeed(server=self._server.agent, connection_id="bolt-1")
            elif message.tag in self._does:
                self._does[message.tag](message.fields)
            else:
                self._succeed()

    def _log_on(self, fields: list[Any]) -> None:
        if fields[0].get("credentials", self._server.password) != self._server.password:
            self._fail(
                "Neo.ClientError.Security.Unauthorized", "The client is unauthorized due to authentication failure."
            )
        else:
            self._succeed()

    def _run(self, fields: list[Any]) -> None:
        self._answer = self._server.next_answer()
        if self._answer.hang:
            self._server._stopping.wait(30)
        elif self._answer.failure is not None:
            self._fail(*self._answer.failure)
        else:
            self._succeed(fields=self._answer.fields)

    def _pull(self, fields: list[Any]) -> None:
        for row in self._answer.rows:
            self._send(Structure(RECORD, [row]))
        self._succeed(**({"stats": self._answer.stats} if self._answer.stats else {}))

    def _succeed(self, **metadata: Any) -> None:
        self._send(Structure(SUCCESS, [metadata]))

    def _fail(self, code: str, message: str) -> None:
        self._failed = True
        self._send(Structure(FAILURE, [{"code": code, "message": message}]))

    def _send(self, message: Structure) -> None:
        data = packed(message)
        parts = [data[at : at + 0xFFFF] for at in range(0, len(data), 0xFFFF)]
        self._connection.sendall(b"".join(struct.pack(">H", len(part)) + part for part in parts) + b"\x00\x00")

    def _message(self) -> Structure:
        data = b""
        while True:
            (size,) = struct.unpack(">H", self._exactly(2))
            if size == 0 and data:
                message = Unpacker(data).value()
                assert isinstance(message, Structure)
                return message
            data += self._exactly(size)

    def _exactly(self, size: int) -> bytes:
        data = b""
        while len(data) < size:
            more = self._connection.recv(size - len(data))
            if not more:
                raise ConnectionResetError
            data += more
        return data
