# Written by clients/python/generate.py from ductape/_async/product_parts.py: change that one.
"""Parts of a product that can do more than be stored: its catalog as a whole, sessions, caches."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ductape._sync.catalog import Catalog, Parts
from ductape._sync.resource import Resource
from ductape._sync.transport import Transport
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


class ProductCatalog(Resource):
    """`ductape.catalog`, of one product."""

    def __init__(self, transport: Transport, product: str) -> None:
        super().__init__(transport)
        self._product = product
        self._whole = Catalog(transport)

    def get(self) -> Part:
        """The document, without its secrets."""
        return self._whole.get(self._product)

    def put(
        self,
        document: Mapping[str, Any] | str,
        *,
        dry_run: bool = False,
        prune: bool = False,
        force: bool = False,
        if_match: str | None = None,
    ) -> CatalogDiff:
        """Store a document and tell what changed; with `dry_run` what would change."""
        return self._whole.put(self._product, document, dry_run=dry_run, prune=prune, force=force, if_match=if_match)


class Sessions(Parts):
    """Configurations of sessions, and the sessions themselves."""

    def start(self, tag: str, *, data: Mapping[str, Any], env: str | None = None) -> StartedSession:
        """`data` is what `$Session{…}` stands for. Each call starts another one."""
        body = given({"data": mapping, "env": text}, {"data": data, "env": env or self._place().get("env")})
        where = self._path(("tag", tag), "start")
        return self._transport.send(
            Call(method="POST", path=where, body=body, read=lambda answer: read(StartedSession, answer.json()))
        )

    def verify(self, tag: str, *, token: str) -> VerifiedSession:
        where = self._path(("tag", tag), "verify")
        return self._transport.send(
            Call(
                method="POST",
                path=where,
                body={"token": text("token", token)},
                repeatable=True,
                read=lambda answer: read(VerifiedSession, answer.json()),
            )
        )

    def revoke(
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
        return self._transport.send(
            Call(
                method="POST",
                path=where,
                body=body,
                repeatable=True,
                read=lambda answer: read(RevokedSession, answer.json()),
            )
        )


class Caches(Parts):
    """Caches and what is kept in them."""

    def entries(self, tag: str, *, env: str | None = None) -> tuple[CacheEntry, ...]:
        query = given({"env": text}, {"env": env})
        where = self._path(("tag", tag), "entries")
        return self._transport.send(
            Call(
                method="GET",
                path=where,
                query=query,
                read=lambda answer: read_list(CacheEntry, answer.json(), "entries"),
            )
        )

    def clear(self, tag: str, *, env: str | None = None, key: str | None = None) -> int:
        """Forget what is kept; answers how many results that were."""
        query = given({"env": text, "key": text}, {"env": env, "key": key})
        where = self._path(("tag", tag), "entries")
        return self._transport.send(
            Call(method="DELETE", path=where, query=query, read=lambda answer: int(answer.json()["cleared"]))
        )
