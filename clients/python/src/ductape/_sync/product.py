# Written by clients/python/generate.py from ductape/_async/product.py: change that one.
"""`ductape.product("my-app")`: what belongs to one product. Definitions, holds, its catalog and sessions."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ductape._sync.catalog import Components, Parts, Secrets, part
from ductape._sync.definitions import Definitions
from ductape._sync.product_parts import Caches, ProductCatalog, Sessions
from ductape._sync.resource import Resource
from ductape._sync.transport import Transport
from ductape.answers import Answer
from ductape.arguments import given, mapping, path, text
from ductape.arguments import note as a_note
from ductape.call import Call, nothing
from ductape.errors import InvalidArgument
from ductape.reading import read_list
from ductape.results.product import Hold, Part


class Product(Resource):
    """One product, by its tag; nothing is asked of the server before a call."""

    def __init__(self, transport: Transport, tag: str) -> None:
        super().__init__(transport)
        self.tag = text("product", tag)
        self.jobs = Definitions(transport, tag)
        self.catalog = ProductCatalog(transport, tag)
        self.envs = Parts(transport, tag, "envs")
        self.secrets = Secrets(transport, tag, "secrets")
        self.sessions = Sessions(transport, tag, "sessions")
        self.caches = Caches(transport, tag, "caches")
        self.apps = Components(transport, tag, "apps")
        self.notifications = Components(transport, tag, "notifications")
        self.databases = Components(transport, tag, "databases")
        self.storage = Components(transport, tag, "storage")
        self.brokers = Components(transport, tag, "brokers")
        self.graphs = Components(transport, tag, "graphs")
        self.functions = Components(transport, tag, "functions")
        self.features = Components(transport, tag, "features")

    def hold(
        self, *, env: str | None = None, namespace: str | None = None, note: str | None = None
    ) -> tuple[Hold, ...]:
        """From now on due runs of this scope wait, unclaimed; answers what is held."""
        body = given(
            {"env": text, "namespace": text, "note": a_note}, {"env": env, "namespace": namespace, "note": note}
        )
        return self._held("POST", "hold", body)

    def release(self, *, env: str | None = None, namespace: str | None = None) -> tuple[Hold, ...]:
        """End the hold of the same scope; without one all. Answers those that are left."""
        return self._held(
            "POST", "release", given({"env": text, "namespace": text}, {"env": env, "namespace": namespace})
        )

    def holds(self) -> tuple[Hold, ...]:
        return self._held("GET", "hold", None)

    def get(self) -> Part:
        """The product and its environments; its `etag` is of its whole catalog."""
        return self._transport.send(Call(method="GET", path=self._path(), read=part))

    def update(self, values: Mapping[str, Any], *, if_match: str | None = None) -> Part:
        """Its `name`."""
        headers = {} if if_match is None else {"If-Match": text("if_match", if_match)}
        body = mapping("values", values)
        return self._transport.send(Call(method="PATCH", path=self._path(), body=body, headers=headers, read=part))

    def delete(self, *, if_match: str | None = None) -> None:
        headers = {} if if_match is None else {"If-Match": text("if_match", if_match)}
        self._transport.send(Call(method="DELETE", path=self._path(), headers=headers, read=nothing))

    def _held(self, method: str, call: str, body: Mapping[str, Any] | None) -> tuple[Hold, ...]:
        """Twice is no error, so it may be sent again."""
        return self._transport.send(Call(method=method, path=self._path(call), body=body, repeatable=True, read=_holds))

    def _path(self, *rest: str) -> str:
        return path("products", ("product", self.tag), *rest)


class Products(Resource):
    """`ductape.product`: called with a tag it is that product; `ductape.product.jobs` is of the client's own."""

    def __call__(self, tag: str | None = None) -> Product:
        tag = tag if tag is not None else self._transport.configuration.product
        if tag is None:
            raise InvalidArgument("product", "must be named here, or where the client is made")
        return Product(self._transport, tag)

    @property
    def jobs(self) -> Definitions:
        return self().jobs

    def list(self) -> Part:
        """The products that the key sees: `{"products": […]}`."""
        return self._transport.send(Call(method="GET", path="/v1/products", read=part))

    def create(self, values: Mapping[str, Any]) -> Part:
        """`{"tag": …, "name": …, "envs": [{"slug": …}]}`; operator keys only."""
        body = mapping("values", values)
        return self._transport.send(Call(method="POST", path="/v1/products", body=body, read=part))


def _holds(answer: Answer) -> tuple[Hold, ...]:
    return read_list(Hold, answer.json(), "holds")
