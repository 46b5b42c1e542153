"""A graph in a file, by the embedded database: opened, used and closed for each request, in a thread.

One process at a time may have the file open, and the database does not notice a second opening in the same one: so
there is a lock per file here, and workers take turns by opening it for one request only (about 20 ms).
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from executors.base import CONNECTION_ERROR, FORBIDDEN, SERVICE_UNAVAILABLE, TIMEOUT, VALIDATION_ERROR, AttemptFailed
from executors.catalog.components import Opened
from executors.providers.graph.cypher import Rows, Statement
from executors.providers.graph.embedded_dialect import Embedded
from executors.providers.graph.file_rows import as_json, tables_in
from executors.providers.graph.plans import plan
from executors.providers.graph.requests import Request
from executors.providers.graph.tables import Tables
from executors.reach.paths import wrong_path
from executors.reach.threads import Threads

BUFFER_BYTES = 64 * 1024 * 1024
LARGEST_BYTES = 1 << 36  # of a file; the database reserves as many addresses, not memory
BUSY_SECONDS = 5.0  # that a request waits while others have the file, at most half of its own time
LOOK_SECONDS = 0.05
MOST_TABLES = 10_000  # and columns of each
LONGEST_TABLES = 16 * 1024 * 1024  # characters
THREADS = 8


class _Ended(Exception):
    """Nobody waits for the request any more."""


class Attempt:
    """One request in its thread, and the way to stop it from another."""

    def __init__(self, seconds: float) -> None:
        self.until = time.monotonic() + seconds
        self._stopped = threading.Event()
        self._ended = threading.Event()
        self._connection: Any = None

    def stop(self) -> None:
        """The statement that runs is interrupted; nothing of the request is committed. Returns at once."""
        self._stopped.set()
        threading.Thread(target=self._interrupt, name="graph-stop", daemon=True).start()

    def _interrupt(self) -> None:
        """Again and again until it has ended: the database forgets one that comes before a statement is compiled."""
        while not self._ended.wait(LOOK_SECONDS):
            if (connection := self._connection) is not None:
                with suppress(RuntimeError):  # it was closed meanwhile
                    connection.interrupt()

    @contextmanager
    def using(self, connection: Any) -> Iterator[None]:
        """The connection is the one to interrupt."""
        self._connection = connection
        try:
            yield
        finally:
            self._ended.set()

    def go_on(self) -> float:
        """Seconds that are left. Raises _Ended, and AttemptFailed past the deadline."""
        if self._stopped.is_set():
            raise _Ended
        if (left := self.until - time.monotonic()) <= 0:
            raise AttemptFailed(TIMEOUT, "the graph did not answer in time", retryable=True)
        return left


class EmbeddedGraph:
    """The backend. Nothing is kept between requests."""

    def __init__(self) -> None:
        self._threads = Threads("graph", THREADS)

    async def run(self, opened: Opened, request: Request, *, timeout: float) -> Mapping[str, Any]:
        attempt = Attempt(timeout)
        return await self._threads.run(_carried_out, _path(opened), request, attempt, abort=attempt.stop)

    async def check(self, opened: Opened) -> str:
        attempt = Attempt(BUSY_SECONDS * 2)
        version = await self._threads.run(_version, _path(opened), attempt, abort=attempt.stop)
        return f"connected: embedded graph {version}"


def _path(opened: Opened) -> str:
    path = str(opened.connection["path"])
    if (told := wrong_path(path)) is not None:
        raise AttemptFailed(FORBIDDEN, f"path of {opened.found}: {told}")
    return path


def _carried_out(path: str, request: Request, attempt: Attempt) -> dict[str, Any]:
    with _opened(path, attempt) as connection:
        tables = _tables(connection, attempt)
        if request.operation != "query" and (name := tables.two_types()) is not None:
            raise AttemptFailed(
                VALIDATION_ERROR, f"property {name!r} is of two types in this file: only query can be run"
            )
        steps = plan(request, Embedded(tables))
        _send(connection, "BEGIN TRANSACTION", {}, attempt)
        try:
            statement = next(steps)
            while True:
                statement = steps.send(_rows(connection, statement, attempt))
        except StopIteration as end:
            result: dict[str, Any] = end.value
        except AttemptFailed:
            _undo(connection)
            raise
        _send(connection, "COMMIT", {}, attempt)
        return result


def _version(path: str, attempt: Attempt) -> str:
    with _opened(path, attempt) as connection:
        tables = _tables(connection, attempt)
        (row,) = _rows(connection, Statement("CALL db_version() RETURN *"), attempt).kept
        many = len(tables.nodes) + len(tables.relationships)
        return f"{next(iter(row.values()))}, {Path(path).name}, {many} tables"


def _tables(connection: Any, attempt: Attempt) -> Tables:
    return tables_in(lambda text: _rows(connection, Statement(text, most=MOST_TABLES, longest=LONGEST_TABLES), attempt))


@contextmanager
def _opened(path: str, attempt: Attempt) -> Iterator[Any]:
    """A connection to the file, for this request alone."""
    import ladybug  # 30 MB: a worker without such graphs does without

    deadline = time.monotonic() + min(BUSY_SECONDS, attempt.go_on() / 2)
    real = str(Path(path).resolve())
    with _turn(real, deadline, attempt):
        database = _database(ladybug, real, deadline, attempt)
        try:
            connection = ladybug.Connection(database, num_threads=1)
            try:
                with attempt.using(connection):
                    yield connection
            finally:
                connection.close()
        finally:
            database.close()


def _database(ladybug: Any, path: str, deadline: float, attempt: Attempt) -> Any:
    """The file, once no other process has it open."""
    while True:
        attempt.go_on()
        try:
            return ladybug.Database(path, buffer_pool_size=BUFFER_BYTES, max_num_threads=1, max_db_size=LARGEST_BYTES)
        except RuntimeError as error:
            if "Could not set lock" not in str(error):
                raise _cannot_open(path, error) from error
            if time.monotonic() > deadline:
                raise _busy(path) from error
        time.sleep(LOOK_SECONDS)


@contextmanager
def _turn(path: str, deadline: float, attempt: Attempt) -> Iterator[None]:
    """The file is this request's, among those of this process."""
    with _guard:
        lock, waiting = _locks.get(path, (threading.Lock(), 0))
        _locks[path] = (lock, waiting + 1)
    held = False
    try:
        while not held:
            attempt.go_on()
            held = lock.acquire(timeout=LOOK_SECONDS)
            if not held and time.monotonic() > deadline:
                raise _busy(path)
        yield
    finally:
        if held:
            lock.release()
        with _guard:
            lock, waiting = _locks[path]
            if waiting == 1:
                del _locks[path]
            else:
                _locks[path] = (lock, waiting - 1)


def _rows(connection: Any, statement: Statement, attempt: Attempt) -> Rows:
    found = _send(connection, statement.text, dict(statement.params), attempt)
    rows = Rows(statement.most, statement.longest)
    try:
        names = found.get_column_names()
        while found.has_next():
            rows.add({name: as_json(value) for name, value in zip(names, found.get_next(), strict=True)})
    except (RuntimeError, ValueError) as error:
        attempt.go_on()
        raise _told(error) from error
    finally:
        found.close()
    return rows


def _send(connection: Any, text: str, params: dict[str, Any], attempt: Attempt) -> Any:
    """One statement; `native_query` lets no second one in."""
    connection.set_query_timeout(max(1, int(attempt.go_on() * 1000)))
    try:
        return connection.execute(text, params)
    except (RuntimeError, ValueError, TypeError, OverflowError) as error:
        attempt.go_on()
        raise _told(error) from error


def _undo(connection: Any) -> None:
    with suppress(RuntimeError):  # a statement that failed has undone it already
        connection.execute("ROLLBACK")


def _told(error: Exception) -> AttemptFailed:
    text = str(error)
    if text.startswith("Interrupted"):
        return AttemptFailed(TIMEOUT, "the graph did not answer in time", retryable=True)
    if "has connected edges" in text:
        return AttemptFailed(
            VALIDATION_ERROR, f"the node has relationships: delete them first, or say detach: true ({text})"
        )
    if text.startswith(("IO exception", "Buffer manager exception")):
        return AttemptFailed(SERVICE_UNAVAILABLE, f"the graph could not do it now: {text[:1000]}", retryable=True)
    return AttemptFailed(VALIDATION_ERROR, f"the graph refused it: {text[:1000]}")


def _cannot_open(path: str, error: Exception) -> AttemptFailed:
    name = Path(path).name
    if "not a valid" in str(error) or Path(path).is_dir():
        return AttemptFailed(VALIDATION_ERROR, f"{name!r} is not the file of an embedded graph")
    if not Path(path).parent.is_dir():
        return AttemptFailed(CONNECTION_ERROR, f"the folder for {name!r} does not exist: make it first")
    return AttemptFailed(CONNECTION_ERROR, f"{name!r} cannot be opened: {str(error)[:500]}", retryable=True)


def _busy(path: str) -> AttemptFailed:
    told = f"{Path(path).name!r} is in use by another process, which has not let go of it in time: one at a time may"
    return AttemptFailed(SERVICE_UNAVAILABLE, f"{told} open an embedded graph", retryable=True)


_guard = threading.Lock()
_locks: dict[str, tuple[threading.Lock, int]] = {}  # by file, while anyone wants it
EMBEDDED = EmbeddedGraph()
