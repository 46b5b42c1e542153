"""Can a broker be reached in an environment? Connected and logged in for real; nothing is published."""

from __future__ import annotations

from executors.catalog.components import Opened
from executors.providers.broker.publishing import open_publisher


async def check(opened: Opened) -> str:
    """A sentence that says what was reached. Raises AttemptFailed with what is wrong."""
    publisher = await open_publisher(opened)
    try:
        return f"connected: {await publisher.about()}"
    finally:
        await publisher.close()
