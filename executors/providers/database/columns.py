"""JSON values for the columns of a table: each becomes what its column's type holds, or is refused.

Databases differ in what they take for a number (MySQL takes every text for 0): none of them is asked.
"""

from __future__ import annotations

import base64
import binascii
import json
import uuid
from collections.abc import Callable
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal, InvalidOperation
from typing import Any

from sqlalchemy import Column, Float, literal, types

from core.times import from_ms
from executors.expressions import Moment, plain


class WrongValue(ValueError):
    """A column cannot hold it. The message is a sentence for the caller."""


def bound(column: Column[Any], value: Any, *, comparing: bool = False) -> Any:
    """The value as its column takes it. `comparing`: it need not fit in, only have an order with what does."""
    if value is None:
        return None
    type = column.info.get("declared", column.type)
    try:
        if comparing and isinstance(type, types.Integer) and isinstance(value, float) and not value.is_integer():
            return literal(value, Float())
        return of_type(type, value)
    except (ValueError, TypeError, InvalidOperation, OverflowError, binascii.Error) as error:
        told = str(error) if isinstance(error, WrongValue) else f"{str(value)[:60]!r} is no value of it"
        raise WrongValue(f"the column {column.name!r} is {type!s}: {told}") from None


def of_type(type: types.TypeEngine[Any], value: Any) -> Any:
    """Raises ValueError and its like for what the type has no place for."""
    for kind, converted in _CONVERTED:
        if isinstance(type, kind):
            return converted(type, value)
    return value if not isinstance(value, Moment) else moment(value, aware=True)


def moment(value: Any, *, aware: bool) -> datetime:
    """A time: ms since the epoch, or ISO 8601 (naive: in UTC)."""
    if isinstance(value, bool) or not isinstance(value, (int, str)):
        raise WrongValue("give ms since the epoch or ISO 8601")
    found = from_ms(value) if isinstance(value, int) else datetime.fromisoformat(value)
    found = found.replace(tzinfo=UTC) if found.tzinfo is None else found.astimezone(UTC)
    return found if aware else found.replace(tzinfo=None)


def _boolean(type: Any, value: Any) -> bool:
    if value in (0, 1):  # true and false are these
        return bool(value)
    raise WrongValue("give true or false")


def _integer(type: Any, value: Any) -> int:
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, (int, str)):
        return int(value)  # a time is its ms here
    raise WrongValue("give a whole number")


def _number(type: Any, value: Any) -> Any:
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        raise WrongValue("give a number, or its digits as text")
    return float(value) if isinstance(type, types.Float) else Decimal(str(value))


def _datetime(type: Any, value: Any) -> datetime:
    return moment(value, aware=bool(type.timezone))


def _uuid(type: Any, value: Any) -> uuid.UUID:
    return uuid.UUID(value)


def _json(type: Any, value: Any) -> Any:
    return value


def _date(type: Any, value: Any) -> date:
    if isinstance(value, str) and len(value) == 10:
        return date.fromisoformat(value)
    return moment(value, aware=True).date()


def _time(type: Any, value: Any) -> time:
    return moment(value, aware=False).time() if isinstance(value, int) else time.fromisoformat(value)


def _interval(type: Any, value: Any) -> timedelta:
    return timedelta(seconds=value)


def _bytes(type: Any, value: Any) -> bytes:
    if not isinstance(value, str):
        raise WrongValue("give base 64")
    return base64.b64decode(value, validate=True)


def _list(type: Any, value: Any) -> list[Any]:
    if not isinstance(value, list):
        raise WrongValue("give a list")
    return [None if member is None else of_type(type.item_type, member) for member in value]


def _text(type: Any, value: Any) -> str:
    if isinstance(value, Moment):
        return moment(value, aware=True).isoformat()
    if isinstance(value, (dict, list)):
        return json.dumps(value, ensure_ascii=False)
    return plain(value)


# A type that is a special case of another one comes before it.
_CONVERTED: tuple[tuple[type, Callable[[Any, Any], Any]], ...] = (
    (types.Boolean, _boolean),
    (types.Integer, _integer),
    (types.Numeric, _number),
    (types.DateTime, _datetime),
    (types.Date, _date),
    (types.Time, _time),
    (types.Interval, _interval),
    (types._Binary, _bytes),
    (types.Uuid, _uuid),
    (types.JSON, _json),
    (types.ARRAY, _list),
    (types.String, _text),
)
