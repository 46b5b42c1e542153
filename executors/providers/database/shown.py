"""Values of databases as JSON, and rows kept as long as they fit into a result."""

from __future__ import annotations

import base64
import json
import math
from collections.abc import Iterable, Mapping
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum
from typing import Any

from executors.providers.database.requests import MOST_BYTES


def shown(value: Any) -> Any:
    """A value as JSON has it; what JSON has no word for becomes text.

    A decimal is a number where a number holds it exactly, else text; bytes are base 64; an aware time is told in
    UTC, a length of time in seconds.
    """
    match value:
        case None | bool() | int() | str():
            return value
        case float():
            return value if math.isfinite(value) else str(value)
        case Decimal():
            return decimal(value)
        case datetime():
            return (value.astimezone(UTC) if value.tzinfo is not None else value).isoformat()
        case date() | time():
            return value.isoformat()
        case timedelta():
            return value.total_seconds()
        case bytes() | bytearray() | memoryview():
            return base64.b64encode(bytes(value)).decode()
        case Enum():
            return shown(value.value)
        case Mapping():
            return {str(name): shown(member) for name, member in value.items()}
        case list() | tuple():
            return [shown(member) for member in value]
        case set() | frozenset():
            return sorted((shown(member) for member in value), key=str)
    return str(value)


def decimal(value: Decimal) -> int | float | str:
    """The number where one holds it exactly, else its digits as text."""
    if not value.is_finite():
        return str(value)
    if value == value.to_integral_value() and abs(value) < 2**63:
        return int(value)
    number = float(value)
    return number if Decimal(repr(number)) == value else format(value, "f")


class Kept:
    """Rows, as many as are wanted and fit into MOST_BYTES of JSON; `truncated` where there were more."""

    def __init__(self, limit: int) -> None:
        self.rows: list[dict[str, Any]] = []
        self.truncated = False
        self._limit, self._left = limit, MOST_BYTES

    def add(self, row: Mapping[str, Any]) -> bool:
        """Whether there is room for more."""
        if self.truncated or len(self.rows) >= self._limit:
            self.truncated = True
            return False
        kept = {str(name): shown(value) for name, value in row.items()}
        self._left -= len(json.dumps(kept, ensure_ascii=False).encode("utf-8", "replace"))
        if self._left < 0:
            self.truncated = True
            return False
        self.rows.append(kept)
        return True

    def fill(self, rows: Iterable[Mapping[str, Any]]) -> Kept:
        for row in rows:
            if not self.add(row):
                break
        return self

    def result(self, **more: Any) -> dict[str, Any]:
        """`{data, count}`, and what else is told of them."""
        return {"data": self.rows, "count": len(self.rows), **more} | ({"truncated": True} if self.truncated else {})
