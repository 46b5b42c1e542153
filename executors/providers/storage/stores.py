"""The stores of the connections that are in use: made when first needed, closed when idle."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib import import_module
from typing import cast

from executors.base import VALIDATION_ERROR, AttemptFailed
from executors.catalog.components import Opened
from executors.providers.storage.calls import call
from executors.providers.storage.kind import KIND
from executors.providers.storage.store import Store
from executors.reach.clients import Clients

_PATHS = {
    "s3": "executors.providers.storage.s3.S3Store",
    "gcs": "executors.providers.storage.gcs.GcsStore",
    "azure": "executors.providers.storage.azure.AzureStore",
    "local": "executors.providers.storage.local.LocalStore",
}


@asynccontextmanager
async def use(opened: Opened) -> AsyncIterator[Store]:
    """The store of a connection, shared with others that use it. Raises AttemptFailed."""

    async def made() -> Store:
        return await call(make, opened)

    async with _kept.use(opened.key, made) as store:
        yield store


def make(opened: Opened) -> Store:
    """A store of its own: whoever makes it closes it. Imports its driver; blocks, but connects to nothing."""
    module, _, name = _PATHS[opened.type].rpartition(".")
    try:
        store = getattr(import_module(module), name)
    except ModuleNotFoundError as error:
        detail = KIND.missing_driver(opened.type) or f"{opened.type} needs the module {error.name!r} on every worker"
        raise AttemptFailed(VALIDATION_ERROR, detail) from None
    return cast(Store, store(opened.connection))


async def close() -> None:
    """Close those of the running event loop."""
    await _kept.close_all()


_kept: Clients[Store] = Clients(lambda store: store.close())
