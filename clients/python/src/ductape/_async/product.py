"""`ductape.product("my-app")`: what belongs to one product. Definitions, holds, its catalog and sessions."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ductape._async.catalog import AsyncComponents, AsyncParts, AsyncSecrets, part
from ductape._async.definitions import AsyncDefinitions
from ductape._async.product_parts import AsyncCaches, AsyncProductCatalog, AsyncSessions
from ductape._async.resource import AsyncResource
from ductape._async.transport import AsyncTransport
from ductape.answers import Answer
from ductape.arguments import given, mapping, path, text
from ductape.arguments import note as a_note
from ductape.call import Call, nothing
from ductape.errors import InvalidArgument
from ductape.reading import read_list
from ductape.results.product import Hold, Part


class AsyncProduct(AsyncResource):
    """One product, by its tag; nothing is asked of the server before a call."""

    def __init__(self, transport: AsyncTransport, tag: str) -> None:
        super().__init__(transport)
        self.tag = text("product", tag)
        self.jobs = AsyncDefinitions(transport, tag)
        self.catalog = AsyncProductCatalog(transport, tag)
        self.envs = AsyncParts(transport, tag, "envs")
        self.secrets = AsyncSecrets(transport, tag, "secrets")
        self.sessions = AsyncSessions(transport, tag, "sessions")
        self.caches = AsyncCaches(transport, tag, "caches")
        self.apps = AsyncComponents(transport, tag, "apps")
        self.notifications = AsyncComponents(transport, tag, "notifications")
        self.databases = AsyncComponents(transport, tag, "databases")
        self.storage = AsyncComponents(transport, tag, "storage")
        self.brokers = AsyncComponents(transport, tag, "brokers")
        self.graphs = AsyncComponents(transport, tag, "graphs")
        self.functions = AsyncComponents(transport, tag, "functions")
        self.features = AsyncComponents(transport, tag, "features")

    async def hold(
        self, *, env: str | None = None, namespace: str | None = None, note: str | None = None
    ) -> tuple[Hold, ...]:
        """From now on due runs of this scope wait, unclaimed; answers what is held."""
        body = given(
            {"env": text, "namespace": text, "note": a_note}, {"env": env, "namespace": namespace, "note": note}
        )
        return await self._held("POST", "hold", body)

    async def release(self, *, env: str | None = None, namespace: str | None = None) -> tuple[Hold, ...]:
        """End the hold of the same scope; without one all. Answers those that are left."""
        return await self._held(
            "POST", "release", given({"env": text, "namespace": text}, {"env": env, "namespace": namespace})
        )

    async def holds(self) -> tuple[Hold, ...]:
        return await self._held("GET", "hold", None)

    async def get(self) -> Part:
        """The product and its environments; its `etag` is of its whole catalog."""
        return await self._transport.send(Call(method="GET", path=self._path(), read=part))

    async def update(self, values: Mapping[str, Any], *, if_match: str | None = None) -> Part:
        """Its `name`."""
        headers = {} if if_match is None else {"If-Match": text("if_match", if_match)}
        body = mapping("values", values)
        return await self._transport.send(
            Call(method="PATCH", path=self._path(), body=body, headers=headers, read=part)
        )

    async def delete(self, *, if_match: str | None = None) -> None:
        headers = {} if if_match is None else {"If-Match": text("if_match", if_match)}
        await self._transport.send(Call(method="DELETE", path=self._path(), headers=headers, read=nothing))

    async def _held(self, method: str, call: str, body: Mapping[str, Any] | None) -> tuple[Hold, ...]:
        """Twice is no error, so it may be sent again."""
        return await self._transport.send(
            Call(method=method, path=self._path(call), body=body, repeatable=True, read=_holds)
        )

    def _path(self, *rest: str) -> str:
        return path("products", ("product", self.tag), *rest)


class AsyncProducts(AsyncResource):
    """`ductape.product`: called with a tag it is that product; `ductape.product.jobs` is of the client's own."""

    def __call__(self, tag: str | None = None) -> AsyncProduct:
        tag = tag if tag is not None else self._transport.configuration.product
        if tag is None:
            raise InvalidArgument("product", "must be named here, or where the client is made")
        return AsyncProduct(self._transport, tag)

    @property
    def jobs(self) -> AsyncDefinitions:
        return self().jobs

    async def list(self) -> Part:
        """The products that the key sees: `{"products": […]}`."""
        return await self._transport.send(Call(method="GET", path="/v1/products", read=part))

    async def create(self, values: Mapping[str, Any]) -> Part:
        """`{"tag": …, "name": …, "envs": [{"slug": …}]}`; operator keys only."""
        body = mapping("values", values)
        return await self._transport.send(Call(method="POST", path="/v1/products", body=body, read=part))


def _holds(answer: Answer) -> tuple[Hold, ...]:
    return read_list(Hold, answer.json(), "holds")
