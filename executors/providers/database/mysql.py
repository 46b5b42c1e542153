"""MySQL and MariaDB through PyMySQL. The socket is opened here, to an address that was checked: TLS is told the name."""

from __future__ import annotations

import json
import socket
import ssl
from typing import Any

import pymysql
from pymysql.constants import CLIENT
from sqlalchemy import Column, ColumnElement, Connection, Engine, Table, create_engine, func, text, types
from sqlalchemy.dialects.mysql import insert

from executors.base import (
    CONNECTION_ERROR,
    FORBIDDEN,
    NOT_FOUND,
    SERVICE_UNAVAILABLE,
    TIMEOUT,
    UNAUTHORIZED,
    VALIDATION_ERROR,
    AttemptFailed,
)
from executors.expressions import Moment
from executors.providers.database.columns import moment
from executors.providers.database.dialect import CONNECT_SECONDS, POOLED, Dialect
from executors.reach.addresses import checked

# Numbers of errors (https://mariadb.com/kb/en/mariadb-error-codes/, https://dev.mysql.com/doc/mysql-errors/8.0/en/)
_CODES = {
    **dict.fromkeys((1044, 1142, 1143, 1227, 1290, 1370, 1836), (FORBIDDEN, False)),
    **dict.fromkeys((1045, 1251, 1698, 1862, 2049, 2059), (UNAUTHORIZED, False)),
    1049: (NOT_FOUND, False),
    **dict.fromkeys((1020, 1040, 1041, 1053, 1203, 1205, 1213, 1226, 3572), (SERVICE_UNAVAILABLE, True)),
    **dict.fromkeys((1317, 1969, 3024), (TIMEOUT, True)),
    **dict.fromkeys((1042, 1043, 1047, 1152, 1158, 1159, 1160, 1161, 1927, 2002, 2003, 2005, 2006, 2013, 2014, 2055), (CONNECTION_ERROR, True)),
}  # fmt: skip


class MySQL(Dialect):
    type = "mysql"
    name = "MySQL"
    returns: frozenset[str] = frozenset()

    def engine(self) -> Engine:
        return create_engine(
            f"{self.type}+pymysql://", creator=self._connect, pool_size=POOLED, max_overflow=0, pool_pre_ping=True,
            pool_timeout=CONNECT_SECONDS,
        )  # fmt: skip

    def begin(self, connection: Connection, seconds: float, *, writes: bool) -> None:
        driver: Any = connection.connection.dbapi_connection
        if "mariadb" in driver.server_version.lower():  # whatever the catalog calls it
            limit = f"max_statement_time = {max(0.001, round(seconds, 3))}"
        else:
            limit = f"max_execution_time = {max(1, round(seconds * 1000))}"
        waits = max(1, min(50, round(seconds)))  # 50 s is the server's own default
        connection.exec_driver_sql(f"SET SESSION {limit}, SESSION innodb_lock_wait_timeout = {waits}")

    def abort(self, connection: Any) -> None:
        other = self._connect()
        try:
            with other.cursor() as cursor:
                cursor.execute("KILL QUERY %s", (connection.thread_id(),))
        finally:
            other.close()

    def failed(self, error: Exception) -> AttemptFailed:
        number = error.args[0] if error.args and isinstance(error.args[0], int) else 0
        told = " ".join(str(error.args[1] if len(error.args) > 1 else error).split())[:1000]
        lost = (CONNECTION_ERROR, True) if isinstance(error, (pymysql.InterfaceError, OSError)) else None
        code, retryable = _CODES.get(number) or lost or (VALIDATION_ERROR, False)
        where = f" at {self.location.host}:{self.location.port}" if code in {CONNECTION_ERROR, UNAUTHORIZED} else ""
        return AttemptFailed(code, f"{self.name}{where}: {told} ({number})", retryable=retryable)

    def version(self, connection: Connection) -> str:
        version = str(connection.execute(text("SELECT version()")).scalar_one())
        return f"{'MariaDB' if 'mariadb' in version.lower() else 'MySQL'} {version.partition('-')[0]}"

    def upsert(self, table: Table, keys: list[str], update: list[str]) -> Any:
        statement = insert(table)
        written = {name: statement.inserted[name] for name in update}
        return statement.on_duplicate_key_update(written or {keys[0]: table.columns[keys[0]]})

    def parameter(self, value: Any) -> Any:
        if isinstance(value, Moment):
            return moment(value, aware=False)
        return json.dumps(value, ensure_ascii=False) if isinstance(value, (dict, list)) else value

    def contains(self, column: Column[Any], value: Any) -> ColumnElement[bool]:
        if isinstance(column.type, types.JSON) or isinstance(value, (dict, list)):
            return func.json_contains(column, json.dumps(value, ensure_ascii=False)) == 1
        return super().contains(column, value)

    def _connect(self) -> Any:
        location = self.location
        connection: Any = pymysql.connect(
            host=location.host, port=location.port, user=location.user, password=location.password,
            database=location.database, charset=location.options.get("charset", "utf8mb4"), defer_connect=True,
            client_flag=CLIENT.FOUND_ROWS, local_infile=False, connect_timeout=round(CONNECT_SECONDS),
            init_command="SET SESSION time_zone = '+00:00'", **self._tls(),
        )  # fmt: skip
        address = checked(location.host, location.port)
        try:
            opened = socket.create_connection((address, location.port), CONNECT_SECONDS)
        except OSError as error:
            told = f"cannot connect: {error.strerror or error}"
            raise pymysql.OperationalError(2003, told) from None
        opened.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        opened.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        connection.connect(opened)
        return connection

    def _tls(self) -> dict[str, Any]:
        match self.location.options.get("sslmode"):
            case "disable":
                return {"ssl_disabled": True}
            case "require":
                context = ssl.create_default_context()
                context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
                return {"ssl": context}
            case "verify-full":
                return {"ssl": ssl.create_default_context()}
        return {}


class MariaDB(MySQL):
    type = "mariadb"
    returns = frozenset({"insert", "delete"})
    name = "MariaDB"
