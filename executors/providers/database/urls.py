"""`connection_url`: taken apart, and only what is known let through. Pure but for the look at a path.

A driver's own options can read local files, run other code, or go to another host: none is passed on
that is not in OPTIONS.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from urllib.parse import parse_qsl, unquote, urlsplit

from core.fields import not_one_of
from executors.reach.paths import wrong_path

SCHEMES = {
    "postgresql": ("postgresql", "postgres"), "mysql": ("mysql", "mariadb"), "mariadb": ("mariadb", "mysql"),
    "sqlite": ("sqlite",), "mongodb": ("mongodb", "mongodb+srv"),
}  # fmt: skip
PORTS = {"postgresql": 5432, "mysql": 3306, "mariadb": 3306, "mongodb": 27017}
OPTIONS: Mapping[str, Mapping[str, tuple[str, ...]]] = {  # () is any text
    "postgresql": {
        "sslmode": ("disable", "allow", "prefer", "require"), "application_name": (), "options": (),
        "client_encoding": (),
    },
    "mysql": {"sslmode": ("disable", "require", "verify-full"), "charset": ("utf8mb4", "utf8", "latin1", "ascii")},
    "sqlite": {"mode": ("ro", "rw", "rwc")},
    "mongodb": {
        "authSource": (), "replicaSet": (), "tls": ("true", "false"), "ssl": ("true", "false"), "w": (),
        "retryWrites": ("true", "false"), "retryReads": ("true", "false"),
        "readPreference": ("primary", "primaryPreferred", "secondary", "secondaryPreferred", "nearest"), "appName": (),
        "directConnection": ("true", "false"), "authMechanism": ("SCRAM-SHA-1", "SCRAM-SHA-256", "DEFAULT"),
    },
}  # fmt: skip


@dataclass(frozen=True, kw_only=True, slots=True)
class Location:
    """Where a database is, and who asks. Its repr shows no password.

    Of a replica set, `host` is all of its members that are named, with their ports.
    """

    host: str = ""
    port: int = 0
    database: str = ""
    user: str = ""
    password: str = field(default="", repr=False)
    path: str = ""  # of SQLite's file
    options: Mapping[str, str] = field(default_factory=dict)
    scheme: str = ""


class WrongUrl(ValueError):
    """Not such a URL. The message shows no part of it that may be secret."""


class ForbiddenFile(WrongUrl):
    """A file that may not be reached."""


def read_url(text: str, type: str) -> Location:
    """Raises WrongUrl."""
    if type == "sqlite" and text.startswith("/"):
        text = f"sqlite:///{text}"
    try:
        parts = urlsplit(text)
        port = parts.port if "," not in parts.netloc else None
    except ValueError:
        raise WrongUrl("is not a URL that can be read: encode what stands in its password (%40 is @)") from None
    scheme = parts.scheme.partition("+")[0] if type != "mongodb" else parts.scheme
    if scheme not in SCHEMES[type]:
        raise WrongUrl(f"must begin with {SCHEMES[type][0]}://, as its database is of type {type}")
    if parts.fragment:
        raise WrongUrl("has a '#': encode it as %23")
    options = _options(parts.query, "mysql" if type == "mariadb" else type)
    if type == "sqlite":
        return _file(unquote(parts.path), parts.netloc, options)
    if not parts.hostname or ("," in parts.netloc and type != "mongodb"):
        raise WrongUrl("must name one host: a socket's file, or several hosts, are not supported")
    database = unquote(parts.path.removeprefix("/"))
    if not database and type != "postgresql":
        raise WrongUrl("must name a database after the host: …@host/database")
    return Location(
        host=parts.netloc.rpartition("@")[2] if "," in parts.netloc else parts.hostname, port=port or PORTS[type], database=database or unquote(parts.username or ""),
        user=unquote(parts.username or ""), password=unquote(parts.password or ""), options=options, scheme=scheme,
    )  # fmt: skip


def wrong_url(type: str) -> Callable[[str], str | None]:
    """A check of a text: what is wrong with it as the URL of a database of that type, or None."""

    def check(text: str) -> str | None:
        try:
            read_url(text, type)
        except WrongUrl as error:
            return str(error)
        return None

    return check


def _options(query: str, type: str) -> dict[str, str]:
    known = OPTIONS[type]
    found = {}
    for name, value in parse_qsl(query, keep_blank_values=True):
        if name not in known:
            raise WrongUrl(f"has an option that is not supported: {not_one_of(name, sorted(known))}")
        if known[name] and value not in known[name]:
            raise WrongUrl(f"has a wrong {name}: {not_one_of(value, known[name])}")
        found[name] = value
    return found


def _file(path: str, host: str, options: dict[str, str]) -> Location:
    path = path.removeprefix("/") if path.startswith("//") else path
    if host or not path.startswith("/"):
        raise WrongUrl("must name a file by its absolute path: sqlite:////folder/file.sqlite3 (four slashes)")
    wrong = wrong_path(path)
    if wrong is not None:
        raise ForbiddenFile(wrong)
    return Location(path=path, options=options, scheme="sqlite")
