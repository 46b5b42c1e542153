"""From an opened component to an answer: the provider of its type, in a thread, over a kept client.

Imports a provider, and with it its driver, when it is first used.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from importlib import import_module
from typing import Any, Protocol

from executors.base import FORBIDDEN, VALIDATION_ERROR, AttemptFailed
from executors.catalog.components import Opened
from executors.providers.database.attempts import Attempt
from executors.providers.database.requests import Request
from executors.providers.database.urls import ForbiddenFile, Location, WrongUrl, read_url
from executors.reach.clients import Clients
from executors.reach.threads import Threads

AT_ONCE = 5  # requests of one target in one process: as many as its pool has connections
_PROVIDERS = {
    "postgresql": "executors.providers.database.postgresql.PostgreSQL",
    "mysql": "executors.providers.database.mysql.MySQL",
    "mariadb": "executors.providers.database.mysql.MariaDB",
    "sqlite": "executors.providers.database.sqlite.SQLite",
}


class Provider(Protocol):
    """One database. Its methods block, and raise AttemptFailed."""

    def run(self, request: Request, attempt: Attempt) -> dict[str, Any]:
        """Carry it out; the answer, of JSON's types."""

    def told(self, attempt: Attempt) -> str:
        """What it is, after asking it: `PostgreSQL 15.19, database inventory`."""

    def close(self) -> None:
        """Close its connections."""


@dataclass(frozen=True, slots=True)
class Client:
    provider: Provider
    slots: asyncio.Semaphore


async def run(opened: Opened, request: Request, *, seconds: float) -> dict[str, Any]:
    """The answer of one request. Cancelled, what runs in the database is ended, too. Raises AttemptFailed."""
    attempt = Attempt(seconds)
    async with clients.use(opened.key, lambda: _made(opened)) as client, client.slots:
        return await threads.run(client.provider.run, request, attempt, abort=attempt.abort)


async def told(opened: Opened, *, seconds: float) -> str:
    """What the database says it is, over a connection of its own. Raises AttemptFailed."""
    client = await _made(opened)
    attempt = Attempt(seconds)
    try:
        return await threads.run(client.provider.told, attempt, abort=attempt.abort)
    finally:
        await _close(client)


async def _made(opened: Opened) -> Client:
    try:
        location = read_url(str(opened.connection.get("connection_url", "")), opened.type)
    except WrongUrl as error:
        detail = f"the connection_url of {opened.found} {error}"
        code = FORBIDDEN if isinstance(error, ForbiddenFile) else VALIDATION_ERROR
        raise AttemptFailed(code, detail) from None
    return Client(await threads.run(_provider, opened.type, location), asyncio.Semaphore(AT_ONCE))


def _provider(type: str, location: Location) -> Provider:
    if type == "mongodb":
        mongodb = import_module("executors.providers.database.mongodb")
        return mongodb.MongoDB(location)  # type: ignore[no-any-return]
    module, _, name = _PROVIDERS[type].rpartition(".")
    relational = import_module("executors.providers.database.relational")
    return relational.Relational(getattr(import_module(module), name)(location))  # type: ignore[no-any-return]


async def _close(client: Client) -> None:
    await threads.run(client.provider.close)


threads = Threads("databases")
clients: Clients[Client] = Clients(_close)
