"""Can a database be reached? Tried over a connection of its own, and told in a sentence."""

from __future__ import annotations

from executors.catalog.components import Opened
from executors.providers.database import running

CHECK_SECONDS = 10.0


async def check(opened: Opened) -> str:
    """What answered. Raises AttemptFailed with what went wrong."""
    return f"connected: {await running.told(opened, seconds=CHECK_SECONDS)}"
