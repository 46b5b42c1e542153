"""Whether a step is to run: a condition, read once and decided before the step.

A condition is one of:

    "$Input{amount} > 100"              two values and == != > >= < <= in contains between them
    "$Step{fetch}{found}"               one expression: true unless it is null, false, 0, "" or empty
    {"all": [c, …]}  {"any": [c, …]}  {"not": c}
    true, false

A side that is no expression is JSON (100, "text", true, null), or else a text as it stands, in which no operator is:
`a = b` or `a == 1 and b == 2` would always or never hold, and is refused. No eval.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from executors.expressions import ExpressionError, parse

MOST_PARTS = 50
_OPERATORS = frozenset({"==", "!=", ">=", "<=", ">", "<", "in", "contains"})
# What is an operator, or was meant as one.
_SIGNS = re.compile(r"!*[=<>][=<>!]*|&&|\|\|")
_WORDS = re.compile(r"(?<=\s)(in|contains|and|or)(?=\s)")


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
    found = list(_operators(text))
    if not found:
        return Compared(_alone(text))
    told = f"the condition {text[:80]!r}"
    quoted = "a text with such a sign or word stands in quotes"
    for _, operator in found:
        if operator not in _OPERATORS:
            joins = operator in {"&&", "||", "and", "or"}
            way = 'conditions are joined by {"all": […]} or {"any": […]}' if joins else "equality is written =="
            raise ExpressionError(f"{told}: {operator!r} is no operator: {way}; {quoted}")
    (at, operator), *more = found
    if more:
        raise ExpressionError(f"{told} compares once, by {operator!r}: {more[0][1]!r} is one too many; {quoted}")
    left, right = text[:at].strip(), text[at + len(operator) :].strip()
    if not left or not right:
        raise ExpressionError(f"{text[:80]!r}: on one side of {operator} there is nothing")
    return Compared(_side(left), operator, _side(right))


def _alone(text: str) -> Any:
    """A condition without an operator. Any other text would hold whatever the values are."""
    if text in {"true", "false"}:
        return text == "true"
    parts = parse(text)
    if len(parts) != 1 or isinstance(parts[0], str):
        raise ExpressionError(
            f"the condition {text[:80]!r} compares nothing, and is not one expression, true or false: "
            'write a comparison such as "$Input{amount} > 100"'
        )
    return text


def _operators(text: str) -> Iterator[tuple[int, str]]:
    """What is or may be meant as an operator outside of quotes, braces and brackets, and where each is."""
    quote, open_ones, after = "", 0, 0
    for at, sign in enumerate(text):
        if at < after:
            continue
        if quote:
            quote = "" if sign == quote else quote
        elif sign in "\"'":
            quote = sign
        elif sign in "({[":
            open_ones += 1
        elif sign in ")}]":
            open_ones -= 1
        elif not open_ones and (found := _SIGNS.match(text, at) or _WORDS.match(text, at)):
            after = found.end()
            yield at, found[0]


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
