"""Parts of a product that can do more than be stored: its catalog as a whole, sessions, caches."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ductape._async.catalog import AsyncCatalog, AsyncParts
from ductape._async.resource import AsyncResource
from ductape._async.transport import AsyncTransport
from ductape.arguments import given, mapping, text
from ductape.call import Call
from ductape.errors import InvalidArgument
from ductape.reading import read, read_list
from ductape.results.product import (
    CacheEntry,
    CatalogDiff,
    Part,
    RevokedSession,
    StartedSession,
    VerifiedSession,
)  # fmt: skip


class AsyncProductCatalog(AsyncResource):
    """`ductape.catalog`, of one product."""

    def __init__(self, transport: AsyncTransport, product: str) -> None:
        super().__init__(transport)
        self._product = product
        self._whole = AsyncCatalog(transport)

    async def get(self) -> Part:
        """The document, without its secrets."""
        return await self._whole.get(self._product)

    async def put(
        self,
        document: Mapping[str, Any] | str,
        *,
        dry_run: bool = False,
        prune: bool = False,
        force: bool = False,
        if_match: str | None = None,
    ) -> CatalogDiff:
        """Store a document and tell what changed; with `dry_run` what would change."""
        return await self._whole.put(
            self._product, document, dry_run=dry_run, prune=prune, force=force, if_match=if_match
        )


class AsyncSessions(AsyncParts):
    """Configurations of sessions, and the sessions themselves."""

    async def start(self, tag: str, *, data: Mapping[str, Any], env: str | None = None) -> StartedSession:
        """`data` is what `$Session{…}` stands for. Each call starts another one."""
        body = given({"data": mapping, "env": text}, {"data": data, "env": env or self._place().get("env")})
        where = self._path(("tag", tag), "start")
        return await self._transport.send(
            Call(method="POST", path=where, body=body, read=lambda answer: read(StartedSession, answer.json()))
        )

    async def verify(self, tag: str, *, token: str) -> VerifiedSession:
        where = self._path(("tag", tag), "verify")
        return await self._transport.send(
            Call(
                method="POST",
                path=where,
                body={"token": text("token", token)},
                repeatable=True,
                read=lambda answer: read(VerifiedSession, answer.json()),
            )
        )

    async def revoke(
        self,
        tag: str,
        *,
        token: str | None = None,
        session_id: str | None = None,
        identifier: str | int | None = None,
        env: str | None = None,
    ) -> RevokedSession:
        """One session by its token or id, or all of an identifier."""
        values: dict[str, Any] = {"token": token, "session_id": session_id, "env": env}
        body = given({"token": text, "session_id": text, "env": text}, values)
        if identifier is not None:
            body["identifier"] = identifier
        if not body.keys() & {"token", "session_id", "identifier"}:
            raise InvalidArgument("token", "or `session_id` or `identifier` must be given")
        where = self._path(("tag", tag), "revoke")
        return await self._transport.send(
            Call(
                method="POST",
                path=where,
                body=body,
                repeatable=True,
                read=lambda answer: read(RevokedSession, answer.json()),
            )
        )


class AsyncCaches(AsyncParts):
    """Caches and what is kept in them."""

    async def entries(self, tag: str, *, env: str | None = None) -> tuple[CacheEntry, ...]:
        query = given({"env": text}, {"env": env})
        where = self._path(("tag", tag), "entries")
        return await self._transport.send(
            Call(
                method="GET",
                path=where,
                query=query,
                read=lambda answer: read_list(CacheEntry, answer.json(), "entries"),
            )
        )

    async def clear(self, tag: str, *, env: str | None = None, key: str | None = None) -> int:
        """Forget what is kept; answers how many results that were."""
        query = given({"env": text, "key": text}, {"env": env, "key": key})
        where = self._path(("tag", tag), "entries")
        return await self._transport.send(
            Call(method="DELETE", path=where, query=query, read=lambda answer: int(answer.json()["cleared"]))
        )
