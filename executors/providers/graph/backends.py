"""What runs requests on graphs of a type: the interface, and which module has it. Imports a driver when first used."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from importlib import import_module
from typing import Any, Protocol, cast

from executors.catalog.components import Opened
from executors.providers.graph.requests import Request

_PATHS = {
    "neo4j": "executors.providers.graph.neo4j.NEO4J",
    "memgraph": "executors.providers.graph.memgraph.MEMGRAPH",
    "embedded": "executors.providers.graph.embedded.EMBEDDED",
}
TYPES = tuple(_PATHS)


class Backend(Protocol):
    """Both raise AttemptFailed, and stop soon when they are cancelled; what was not committed is undone."""

    async def run(self, opened: Opened, request: Request, *, timeout: float) -> Mapping[str, Any]:
        """The result of a request, all of it in one transaction. `timeout` in seconds bounds it on the server too."""

    async def check(self, opened: Opened) -> str:
        """Connect and ask for something. A sentence about what was reached."""


@lru_cache
def backend(type: str) -> Backend:
    """The backend of a type of the catalog."""
    module, _, name = _PATHS[type].rpartition(".")
    return cast(Backend, getattr(import_module(module), name))
