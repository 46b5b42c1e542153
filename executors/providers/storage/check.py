"""Whether a storage can be reached, for people who set up a connection."""

from __future__ import annotations

from executors.catalog.components import Opened
from executors.providers.storage.calls import call
from executors.providers.storage.stores import make


async def check(opened: Opened) -> str:
    """A sentence about the storage, whose files it begins to list. Raises AttemptFailed with what failed."""
    store = await call(make, opened)
    try:
        page = await call(store.page, "", 1, None)
    finally:
        store.close()
    return f"connected: {store.where}, {'with files' if page.entries else 'empty'}"
