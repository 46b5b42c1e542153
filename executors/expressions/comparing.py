"""How `$Filter` and `$Find` compare a member of a list with a value.

Owns the operators. A number and a text that is a number compare as numbers; else two texts have an order, by
code point, and nothing else has one. An object equals a value that is no object where one of its own
fields does (`$Find(orders, "==", "completed")`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from operator import ge, gt, le, lt
from typing import Any, Final

from executors.expressions.budget import Budget
from executors.expressions.errors import ExpressionError
from executors.expressions.writing import kind_of, number_of

_EQUAL: Final = {"==": True, "===": True, "!=": False, "!==": False}
_ORDERED: Final[Mapping[str, Callable[[Any, Any], bool]]] = {">": gt, "<": lt, ">=": ge, "<=": le}
OPERATORS: Final = (*_ORDERED, *_EQUAL)
_NUMBERS: Final = (int, float)
_STEPS = 3  # of the budget for a comparison, besides the one of looking at the member


def matches(member: Any, operator: Any, value: Any, budget: Budget) -> bool:
    """Whether `member operator value` holds. Raises ExpressionError for an unknown operator, and for no order."""
    if not isinstance(operator, str) or operator not in OPERATORS:
        raise ExpressionError(f"the operator must be one of {' '.join(OPERATORS)}")
    budget.step(_STEPS)
    if operator in _EQUAL:
        return _equal(member, value, budget) is _EQUAL[operator]
    pair = _comparable(member, value, budget)
    if pair is None:
        raise ExpressionError(
            f"{kind_of(member)} and {kind_of(value)} have no order: {operator} compares numbers or texts"
        )
    return _ORDERED[operator](*pair)


def check_operator(arguments: Sequence[object]) -> None:
    """An operator that stands in the expression itself can be told before a run."""
    operator = arguments[1]
    written = operator is None or isinstance(operator, (str, int, float))
    if written and operator not in OPERATORS:
        raise ExpressionError(f"{str(operator)[:20]!r} is not one of {' '.join(OPERATORS)}")


def _equal(member: Any, value: Any, budget: Budget) -> bool:
    if isinstance(member, Mapping) and not isinstance(value, Mapping):
        budget.step((1 + _STEPS) * len(member))
        return any(_same(field, value, budget) for field in member.values())
    return _same(member, value, budget)


def _same(left: Any, right: Any, budget: Budget) -> bool:
    if isinstance(left, bool) or isinstance(right, bool):
        return left is right
    if isinstance(left, (Mapping, list)) and isinstance(right, (Mapping, list)):
        budget.read(budget.measure(left))  # what is gone through, and how deep
        return bool(left == right)
    if left is None or right is None:
        return left is right
    pair = _comparable(left, right, budget)
    return pair is not None and bool(pair[0] == pair[1])


def _comparable(left: Any, right: Any, budget: Budget) -> tuple[Any, Any] | None:
    if isinstance(left, str) and isinstance(right, str):
        budget.read(min(len(left), len(right)))
        return left, right
    if left.__class__ in _NUMBERS and right.__class__ in _NUMBERS:
        return left, right
    numbers = number_of(left), number_of(right)
    return numbers if None not in numbers else None
