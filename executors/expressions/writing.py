"""How a JSON value is written where a text is wanted, and read where a number is.

A scalar is written as in a URL or a header; null, a list and an object as compact JSON.
"""

from __future__ import annotations

import json
import re
from decimal import Decimal
from typing import Any

from executors.expressions.budget import Budget
from executors.expressions.errors import ExpressionError
from executors.expressions.terms import Scalar

_NUMBER = re.compile(r"\s*[+-]?[0-9]{1,40}(?:\.[0-9]{1,40})?(?:[eE][+-]?[0-9]{1,2})?\s*")
_LONGEST_NUMBER = 100  # characters of a text that is one
_LARGEST = 10**308  # what a double holds, and every JSON reader


def plain(value: Scalar) -> str:
    """A JSON scalar as it is written in a text, a URL or a header."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return value if isinstance(value, str) else str(value)


def text_of(value: Any, budget: Budget) -> str:
    """Any JSON value as text."""
    if isinstance(value, str):
        return value
    if isinstance(value, (bool, int, float)):
        try:
            return plain(value)
        except ValueError:  # Python's limit on the digits of a number
            raise ExpressionError("a number has too many digits") from None
    budget.room_for(budget.measure(value))
    try:
        return json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    except (TypeError, ValueError):
        raise ExpressionError(f"{kind_of(value)} cannot be written as a text") from None


def number_of(value: Any) -> int | Decimal | None:
    """A number, or the one that a text is; None where it is none. Exact: 0.1 is a tenth."""
    if isinstance(value, bool):
        return None
    if isinstance(value, int):
        return int(value)
    if isinstance(value, float):
        number = Decimal(repr(value))
        return number if number.is_finite() else None
    if isinstance(value, str) and len(value) <= _LONGEST_NUMBER and _NUMBER.fullmatch(value):
        text = value.strip()
        return Decimal(text) if set(text) & set(".eE") else int(text)
    return None


def as_json(number: int | Decimal) -> int | float:
    """The number as JSON has it: a whole one is an integer. Raises ExpressionError past what a double holds."""
    if not -_LARGEST <= number <= _LARGEST:
        raise ExpressionError("the number is too large")
    if isinstance(number, Decimal):
        return int(number) if number == number.to_integral_value() else float(number)
    return number


def kind_of(value: Any) -> str:
    """What a value is, for people: nothing of what it says."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true or false"
    if isinstance(value, (int, float)):
        return "a number"
    return "a text" if isinstance(value, str) else "a list" if isinstance(value, list) else "an object"
