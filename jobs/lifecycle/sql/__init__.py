"""The hottest statements (claim, finish, the scheduler's look and advance), once per dialect with the same effect."""

from __future__ import annotations

from types import ModuleType

from jobs.lifecycle.sql import postgresql, sqlite


def dialect(connection: object) -> ModuleType:
    """The module with this connection's statements."""
    return postgresql if getattr(connection, "vendor", "") == "postgresql" else sqlite
