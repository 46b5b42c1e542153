"""A team's own result backend, read for many tasks at once: Redis, or a SQL database. Blocks: call it in a thread.

Owns the connection to the backend of one target, and how what Celery stored there is read. Nothing that is stored is
trusted: it is never unpickled into anything but plain values, and no exception is made of it. Never writes.
"""

from __future__ import annotations

import io
import pickle
import ssl
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Final, Protocol

from core import strictjson
from executors.base import FORBIDDEN, AttemptFailed
from executors.providers.function.celery_broker import ANSWER_SECONDS, CONNECT_SECONDS, failed
from executors.providers.function.celery_urls import Address
from executors.reach.addresses import checked
from executors.reach.paths import wrong_path

MOST_RESULT_BYTES: Final = 1024 * 1024  # of one task; a longer one is not read
MOST_TASKS: Final = 500  # that are asked for at once
_MOST_VALUES: Final = 100_000  # in a result that was pickled: a few bytes of it may stand for very many
_READY: Final = frozenset({"SUCCESS", "FAILURE", "REVOKED"})
_PREFIX: Final = "celery-task-meta-"


@dataclass(frozen=True, kw_only=True, slots=True)
class State:
    """What a backend knows of a task. `unreadable`: why its result is not here, if it is not."""

    name: str  # SUCCESS, FAILURE, REVOKED, RETRY, STARTED, …
    result: Any = None
    unreadable: str = ""
    too_large: bool = False

    @property
    def ended(self) -> bool:
        return self.too_large or self.name in _READY


class Results(Protocol):
    """A backend; connects when it is first read."""

    def read(self, task_ids: Sequence[str]) -> Mapping[str, State]:
        """What is known of these tasks (at most MOST_TASKS); one that is unknown is left out. Raises AttemptFailed."""

    def close(self) -> None:
        """End the connection; the next read makes a new one."""


def results_at(address: Address) -> Results:
    return _Redis(address) if address.system == "redis" else _Sql(address)


class _Redis:
    def __init__(self, address: Address) -> None:
        self._address = address
        self._client: Any = None

    def read(self, task_ids: Sequence[str]) -> Mapping[str, State]:
        try:
            if self._client is None:
                self._client = self._connect()
            with self._client.pipeline(transaction=False) as pipeline:
                for task_id in task_ids:
                    pipeline.getrange(_PREFIX + task_id, 0, MOST_RESULT_BYTES)
                texts = pipeline.execute()
        except AttemptFailed:
            raise
        except Exception as error:
            raise failed("the result backend", error, self._address) from error
        return {task_id: _of_meta(text) for task_id, text in zip(task_ids, texts, strict=True) if text}

    def close(self) -> None:
        client, self._client = self._client, None
        if client is not None:
            client.close()

    def _connect(self) -> Any:
        from redis import Redis
        from redis.backoff import NoBackoff
        from redis.retry import Retry

        to = self._address
        address = checked(to.host, to.port)
        tls: dict[str, Any] = {"ssl": True, "ssl_cert_reqs": ssl.CERT_REQUIRED} if to.tls else {}
        return Redis(
            host=to.host if to.tls else address, port=to.port, db=int(to.name or 0), username=to.user or None,
            password=to.password or None, socket_timeout=ANSWER_SECONDS, socket_connect_timeout=CONNECT_SECONDS,
            max_connections=1, retry=Retry(NoBackoff(), 0), **tls,
        )  # fmt: skip


class _Sql:
    def __init__(self, address: Address) -> None:
        self._address = address
        self._engine: Any = None

    def read(self, task_ids: Sequence[str]) -> Mapping[str, State]:
        import sqlalchemy as sql

        table = sql.table(
            "celery_taskmeta", sql.column("task_id"), sql.column("status"), sql.column("result", sql.LargeBinary)
        )
        size = sql.func.coalesce(sql.func.length(table.c.result), 0)
        read = sql.case((size <= MOST_RESULT_BYTES, table.c.result))
        asked = sql.select(table.c.task_id, table.c.status, size, read.label("result")).where(
            table.c.task_id.in_(list(task_ids))
        )
        try:
            if self._engine is None:
                self._engine = self._connect()
            with self._engine.connect() as connection:
                rows = connection.execute(asked).all()
        except AttemptFailed:
            raise
        except sql.exc.SQLAlchemyError as error:
            if _no_table(error):
                return {}  # workers make it as they store the first result
            raise failed("the result backend", _of_driver(error), self._address) from error
        return {task_id: _of_row(status, size, stored) for task_id, status, size, stored in rows if status != "PENDING"}

    def close(self) -> None:
        engine, self._engine = self._engine, None
        if engine is not None:
            engine.dispose()

    def _connect(self) -> Any:
        import sqlalchemy as sql

        to = self._address
        options: dict[str, Any] = {"pool_size": 1, "max_overflow": 0, "pool_pre_ping": True, "pool_recycle": 300}
        if to.system == "sqlite":
            wrong = wrong_path(to.name)
            if wrong is not None:
                raise AttemptFailed(FORBIDDEN, f"the result backend: {wrong}")
            url: Any = sql.URL.create("sqlite", database=f"file:{to.name}", query={"mode": "ro", "uri": "true"})
            return sql.create_engine(
                url, connect_args={"timeout": ANSWER_SECONDS, "check_same_thread": False}, **options
            )
        address = checked(to.host, to.port)
        make = partial(sql.URL.create, username=to.user or None, password=to.password or None, port=to.port)
        if to.system == "postgresql":
            url = make("postgresql+psycopg", host=to.host, database=to.name)
            limits = f"-c statement_timeout={round(ANSWER_SECONDS * 1000)} -c default_transaction_read_only=on"
            connect = {"hostaddr": address, "connect_timeout": round(CONNECT_SECONDS), "options": limits}
        else:
            url = make("mysql+pymysql", host=address, database=to.name)
            connect = {"connect_timeout": round(CONNECT_SECONDS), "read_timeout": round(ANSWER_SECONDS)}
        return sql.create_engine(url, connect_args=connect, **options)


def _no_table(error: Exception) -> bool:
    text = str(error).lower()
    return (
        "no such table" in text or "undefinedtable" in text or "1146" in text or "unable to open database file" in text
    )


def _of_driver(error: Any) -> Exception:
    """The driver's own error, whose text holds neither the statement nor its parameters."""
    original = getattr(error, "orig", None)
    return original if isinstance(original, Exception) else error


def _of_meta(text: bytes) -> State:
    """What Celery wrote into a key: a JSON object with status and result."""
    if len(text) > MOST_RESULT_BYTES:
        return State(name="?", too_large=True)
    try:
        meta = strictjson.loads(text)
    except strictjson.NotJSON as error:
        return State(name="?", unreadable=str(error))
    if not isinstance(meta, dict) or not isinstance(meta.get("status"), str):
        return State(name="?", unreadable="it has no status")
    return State(name=meta["status"], result=meta.get("result"))


def _of_row(status: str, size: int, stored: bytes | None) -> State:
    """What Celery wrote into a row: JSON, or, before Celery 5.7, pickled."""
    if size > MOST_RESULT_BYTES:
        return State(name=status, too_large=status in _READY)
    if stored is None:
        return State(name=status)
    stored = bytes(stored)
    try:
        read: Callable[[bytes], Any] = _unpickled if stored[:1] == b"\x80" else strictjson.loads
        return State(name=status, result=read(stored))
    except (ValueError, pickle.UnpicklingError) as error:
        return State(name=status, unreadable=str(error))


def _unpickled(stored: bytes) -> Any:
    """The plain JSON value in a pickle. Raises ValueError, UnpicklingError for whatever is more than that."""
    try:
        value = _Plain(io.BytesIO(stored)).load()
    except (pickle.UnpicklingError, MemoryError):
        raise
    except Exception as error:
        raise ValueError(f"it is no pickle: {type(error).__name__}") from None
    left = _MOST_VALUES
    level = [value]
    for _ in range(strictjson.MAX_DEPTH):
        left -= len(level)
        if left < 0:
            raise ValueError(f"it holds more than {_MOST_VALUES} values")
        inner: list[Any] = []
        for each in level:
            if isinstance(each, dict):
                if not all(isinstance(name, str) for name in each):
                    raise ValueError("it has keys that are no text")
                inner += each.values()
            elif isinstance(each, (list, tuple)):
                inner += each
            elif not (each is None or isinstance(each, (str, int, float))):
                raise ValueError(f"it holds a value of type {type(each).__name__}")
            if len(inner) > left:
                raise ValueError(f"it holds more than {_MOST_VALUES} values")
        if not inner:
            return strictjson.loads(strictjson.dumps(value))
        level = inner
    raise ValueError(f"nested deeper than {strictjson.MAX_DEPTH} levels")


class _Plain(pickle._Unpickler):
    """Finds no class and no function: a pickle can only be plain values. Python's own unpickler, since the one in C
    makes room for as many values as a few bytes say that there are."""

    def find_class(self, module: str, name: str) -> Any:
        raise pickle.UnpicklingError(f"it holds {module[:40]}.{name[:40]}, and only plain values are read")
