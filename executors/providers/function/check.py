"""Tries how a function is reached, for people who set up a connection. Never runs the function."""

from __future__ import annotations

from executors.catalog.components import Opened
from executors.providers.function.provider import provider


async def check(opened: Opened) -> str:
    """What was found, in a sentence. Raises AttemptFailed with what failed."""
    return await provider(opened.type).check(opened)
