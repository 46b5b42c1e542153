"""Whether a step is to run: a condition, read once and decided before the step.

A condition is one of:

    "$Input{amount} > 100"              two values and == != > >= < <= in contains between them
    "$Step{fetch}{found}"               one value: true unless it is null, false, 0, "" or empty
    {"all": [c, …]}  {"any": [c, …]}  {"not": c}
    true, false

A side that is no expression is JSON (100, "text", true, null), or else a text as it stands. No eval.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from executors.expressions import ExpressionError, parse

MOST_PARTS = 50
_OPERATORS = ("==", "!=", ">=", "<=", ">", "<", "in", "contains")


@dataclass(frozen=True, slots=True)
class Compared:
    """`left operator right`; without an operator: whether `left` is something."""

    left: Any
    operator: str = ""
    right: Any = None


@dataclass(frozen=True, slots=True)
class Joined:
    """`all`, `any` or `not` of other conditions."""

    how: str
    parts: tuple[Any, ...]


Condition = Compared | Joined


def read_condition(given: Any, *, depth: int = 0) -> Condition:
    """Raises ExpressionError for what is no condition."""
    if depth > 5:
        raise ExpressionError("a condition may not be nested deeper than 5")
    if isinstance(given, bool):
        return Compared(given)
    if isinstance(given, str) and given.strip():
        return _compared(given.strip())
    if isinstance(given, Mapping) and len(given) == 1:
        how, parts = next(iter(given.items()))
        if how == "not":
            return Joined("not", (read_condition(parts, depth=depth + 1),))
        if how in {"all", "any"} and isinstance(parts, list) and 0 < len(parts) <= MOST_PARTS:
            return Joined(how, tuple(read_condition(part, depth=depth + 1) for part in parts))
    raise ExpressionError(
        'a condition is a text such as "$Input{amount} > 100", true, false, {"all": […]}, {"any": […]} or {"not": …}'
    )


def holds(condition: Condition, resolved: Callable[[Any], Any]) -> bool:
    """Whether it holds, with expressions resolved by `resolved`. Raises ExpressionError for sides that cannot be compared."""
    if isinstance(condition, Joined):
        if condition.how == "not":
            return not holds(condition.parts[0], resolved)
        joined = all if condition.how == "all" else any
        return joined(holds(part, resolved) for part in condition.parts)
    left = resolved(condition.left)
    if not condition.operator:
        return bool(left)
    return _decide(left, condition.operator, resolved(condition.right))


def _compared(text: str) -> Compared:
    found = _operator(text)
    if found is None:
        return Compared(_side(text))
    at, operator = found
    left, right = text[:at].strip(), text[at + len(operator) :].strip()
    if not left or not right:
        raise ExpressionError(f"{text[:80]!r}: on one side of {operator} there is nothing")
    return Compared(_side(left), operator, _side(right))


def _operator(text: str) -> tuple[int, str] | None:
    """The first operator outside of quotes, braces and brackets, and where it is."""
    quote, open_ones = "", 0
    for at, sign in enumerate(text):
        if quote:
            quote = "" if sign == quote else quote
        elif sign in "\"'":
            quote = sign
        elif sign in "({[":
            open_ones += 1
        elif sign in ")}]":
            open_ones -= 1
        elif not open_ones:
            for operator in _OPERATORS:
                if text.startswith(operator, at) and _stands_alone(text, at, operator):
                    return at, operator
    return None


def _stands_alone(text: str, at: int, operator: str) -> bool:
    if not operator.isalpha():
        return True
    after = text[at + len(operator) : at + len(operator) + 1]
    return at > 0 and text[at - 1].isspace() and after.isspace()


def _side(text: str) -> Any:
    if text.startswith("'") and text.endswith("'") and len(text) > 1:
        return text[1:-1]
    try:
        return json.loads(text)
    except ValueError:
        parse(text)  # told now if it is none
        return text


def _decide(left: Any, operator: str, right: Any) -> bool:
    try:
        match operator:
            case "==":
                return bool(left == right) and isinstance(left, bool) == isinstance(right, bool)
            case "!=":
                return not _decide(left, "==", right)
            case ">":
                return bool(left > right)
            case ">=":
                return bool(left >= right)
            case "<":
                return bool(left < right)
            case "<=":
                return bool(left <= right)
            case "in":
                return left in right
            case _:
                return right in left
    except TypeError:
        raise ExpressionError(
            f"a {type(left).__name__} and a {type(right).__name__} cannot be compared by {operator}"
        ) from None
