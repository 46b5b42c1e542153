"""Tries the connection of a graph."""

from __future__ import annotations

from executors.catalog.components import Opened
from executors.providers.graph.backends import backend


async def check(opened: Opened) -> str:
    """A sentence about what was reached. Raises AttemptFailed with what failed."""
    return await backend(opened.type).check(opened)
