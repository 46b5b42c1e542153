"""The addresses of a team's broker and result backend: which are understood, taken apart. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import parse_qsl, unquote, urlsplit

_BROKERS: Final = {"redis": 6379, "rediss": 6379, "amqp": 5672, "pyamqp": 5672, "amqps": 5671}
_REDIS: Final = {"redis": 6379, "rediss": 6379}
_SQL: Final = {"postgresql": 5432, "mysql": 3306, "sqlite": 0}
_SQL_ALIASES: Final = {
    "postgres": "postgresql",
    "postgresql+psycopg": "postgresql",
    "postgresql+psycopg2": "postgresql",
    "mysql+pymysql": "mysql",
    "mysql+mysqldb": "mysql",
    "mariadb": "mysql",
    "mariadb+pymysql": "mysql",
}
_TLS: Final = frozenset({"rediss", "amqps"})
_DATABASE: Final = re.compile(r"[0-9]{1,4}")
_HOST: Final = re.compile(r"[A-Za-z0-9_.\-]+|[0-9A-Fa-f:.]+")


class WrongUrl(ValueError):
    """The address is not one that is understood; the text does not show it, since it may hold a password."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Address:
    """Where a broker or a backend is. `system`: redis, amqp, postgresql, mysql or sqlite."""

    system: str
    host: str = ""
    port: int = 0
    user: str = ""
    password: str = field(default="", repr=False)
    name: str = ""  # virtual host, number or name of the database, or the file
    tls: bool = False

    def __str__(self) -> str:
        """As people are told it: without who logs in."""
        return f"{self.system} {self.name}" if self.system == "sqlite" else f"{self.system} {self.host}:{self.port}"


def broker(url: str) -> Address:
    """The broker at `url`. Raises WrongUrl."""
    scheme = _scheme(url, "a broker_url")
    if scheme not in _BROKERS:
        raise WrongUrl(f"must be the URL of a Redis or RabbitMQ broker ({', '.join(sorted(_BROKERS))}), not {scheme!r}")
    return _redis(url, scheme) if scheme in _REDIS else _taken(url, "amqp", _BROKERS[scheme], tls=scheme in _TLS)


def backend(url: str) -> Address:
    """The result backend at `url`. Raises WrongUrl."""
    scheme = _scheme(url, "a result_backend")
    if scheme == "rpc":
        raise WrongUrl(
            "rpc:// sends each result once, to the process that sent the task, and keeps none for a worker that takes "
            "the run over: use a Redis or database backend, or leave result_backend out"
        )
    if scheme in _REDIS:
        return _redis(url, scheme)
    if scheme.startswith("db+"):
        system = _SQL_ALIASES.get(scheme[3:], scheme[3:])
        if system == "sqlite":
            return _sqlite(url)
        if system in _SQL:
            return _taken(url, system, _SQL[system], tls=False)
    known = "redis, rediss, db+postgresql, db+mysql, db+sqlite"
    raise WrongUrl(f"must be the URL of a Redis or database backend ({known}), not {scheme!r}")


def _scheme(url: str, what: str) -> str:
    if ";" in url:
        raise WrongUrl(f"{what} must name one server, not several")
    return url.partition("://")[0].lower()[:40]


def _redis(url: str, scheme: str) -> Address:
    taken = _taken(url, "redis", _REDIS[scheme], tls=scheme in _TLS)
    if taken.name and not _DATABASE.fullmatch(taken.name):
        raise WrongUrl("the path of a Redis URL must be the number of a database, such as /3")
    return taken


def _sqlite(url: str) -> Address:
    path = url.partition("://")[2].removeprefix("/")  # db+sqlite:////absolute/path
    if not path.startswith("/") or "?" in path or "\x00" in path:
        raise WrongUrl("a SQLite backend must name an absolute file: db+sqlite:////var/lib/results.db")
    return Address(system="sqlite", name=path)


def _taken(url: str, system: str, port: int, *, tls: bool) -> Address:
    try:
        parts = urlsplit(url)
        host, given = parts.hostname or "", parts.port
    except ValueError:
        raise WrongUrl("the host or port of the URL is malformed") from None
    if not _HOST.fullmatch(host):
        raise WrongUrl("the URL names no host")
    if parts.query and parse_qsl(parts.query) != [("ssl_cert_reqs", "required")]:
        raise WrongUrl("options after a ? are not understood in this URL: leave them out")
    if parts.fragment:
        raise WrongUrl("the URL holds a #: write it as %23")
    return Address(
        system=system,
        host=host,
        port=given or port,
        user=unquote(parts.username or ""),
        password=unquote(parts.password or ""),
        name=unquote(parts.path.removeprefix("/")),
        tls=tls,
    )
