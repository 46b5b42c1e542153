"""WHAT runs, WHEN, and its history. For code in the same process: `from jobs import dispatch` (docs/in-process.md).

The names are looked up when they are first used: models cannot be imported before Django's apps are ready.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from jobs.inprocess import (
        Dispatched,
        DispatchedMany,
        DispatchFields,
        JobFields,
        OtherTransaction,
        ScheduleFields,
        dispatch,
        dispatch_many,
    )

__all__ = [
    "DispatchFields",
    "Dispatched",
    "DispatchedMany",
    "JobFields",
    "OtherTransaction",
    "ScheduleFields",
    "dispatch",
    "dispatch_many",
]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from jobs import inprocess

    value = globals()[name] = getattr(inprocess, name)
    return value
