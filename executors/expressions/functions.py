"""The functions of expressions, by name: how many arguments each takes, and what it computes from JSON values.

`$Now` and what refers to something is computed where references are resolved. An error names the function
and what it wants, never a value that it was given: that may be a part of a secret.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal, localcontext
from typing import Any, Final

from executors.expressions.budget import Budget
from executors.expressions.comparing import check_operator, matches
from executors.expressions.errors import ExpressionError
from executors.expressions.moments import Moment, check_date_add, check_format, date_add, format_date
from executors.expressions.writing import as_json, kind_of, number_of, text_of

_MANY = 1000  # arguments, where there may be any number
_DIGITS = 400  # of a sum, so that it is exact: 40 before the point, 40 after it, exponents to 99 either way
_LAST_MS = 253_402_300_799_999


@dataclass(frozen=True, slots=True)
class Signature:
    """A function. `check` looks at arguments that stand in the expression itself, before there is a run."""

    least: int
    most: int
    compute: Callable[[list[Any], Budget], Any]
    check: Callable[[Sequence[object]], None] | None = None

    @property
    def count(self) -> str:
        if self.most == _MANY:
            return f"at least {self.least}"
        return str(self.least) if self.least == self.most else f"{self.least} to {self.most}"


def _add(arguments: list[Any], budget: Budget) -> int | float:
    return _sum("Add", arguments, [1] * len(arguments))


def _subtract(arguments: list[Any], budget: Budget) -> int | float:
    return _sum("Subtract", arguments, [1] + [-1] * (len(arguments) - 1))


def _sum(name: str, arguments: list[Any], signs: list[int]) -> int | float:
    """Whole numbers stay whole, fractions are added exactly; a time and milliseconds are a time again."""
    total: int | Decimal = 0
    with localcontext() as context:
        context.prec = _DIGITS
        for position, (argument, sign) in enumerate(zip(arguments, signs, strict=True), 1):
            number = number_of(argument)
            if number is None:
                raise ExpressionError(f"${name}: argument {position} is {kind_of(argument)} that is no number")
            total = total + sign * number
        result = as_json(total)
    times = sum(sign for argument, sign in zip(arguments, signs, strict=True) if isinstance(argument, Moment))
    if times == 1 and isinstance(result, int) and 0 <= result <= _LAST_MS:
        return Moment(result)
    return result


def _concat(arguments: list[Any], budget: Budget) -> str:
    members = _list("Concat", arguments[0], budget)
    delimiter = _text("Concat", arguments[1], budget) if len(arguments) > 1 else ""
    texts = [text_of(member, budget) for member in members]
    budget.room_for(sum(map(len, texts)) + len(delimiter) * max(0, len(texts) - 1))
    return delimiter.join(texts)


def _join(arguments: list[Any], budget: Budget) -> Any:
    if len(arguments) > 1:  # the documents join texts by it too
        return _concat(arguments, budget)
    joined: list[Any] = []
    for member in _list("Join", arguments[0], budget):
        if not isinstance(member, list):
            raise ExpressionError(f"$Join takes a list of lists, and one of them is {kind_of(member)}")
        budget.step(len(member))
        joined += member
    return joined


def _substring(arguments: list[Any], budget: Budget) -> str:
    text = _text("Substring", arguments[0], budget)
    begin = _position("Substring", "start", arguments[1], len(text))
    end = _position("Substring", "end", arguments[2], len(text)) if len(arguments) > 2 else len(text)
    if begin > end:
        raise ExpressionError("$Substring: its start is behind its end")
    budget.room_for(end - begin)
    return text[begin:end]


def _position(function: str, name: str, value: Any, length: int) -> int:
    """A place in a text; a negative one counts from its end."""
    index = _whole(function, name, value)
    found = index + length if index < 0 else index
    if not 0 <= found <= length:
        raise ExpressionError(f"${function}: its {name} is outside of the text")
    return found


def _pick(arguments: list[Any], budget: Budget) -> Any:
    value = arguments[0]
    if not isinstance(value, list):
        value = _text("Pick", value, budget)
    index = _whole("Pick", "index", arguments[1])
    if not 0 <= index < len(value):
        raise ExpressionError(f"$Pick: there is nothing at its index, which counts from 0 in {kind_of(value)}")
    return value[index]


def _whole(function: str, name: str, value: Any) -> int:
    number = number_of(value)
    if number is None or number != int(number):
        raise ExpressionError(f"${function}: its {name} must be a whole number, not {kind_of(value)}")
    return int(number)


def _split(arguments: list[Any], budget: Budget) -> list[str]:
    text, separator = (_text("Split", argument, budget) for argument in arguments)
    budget.step(text.count(separator) + 1)
    return text.split(separator) if separator else list(text)


def _replace(arguments: list[Any], budget: Budget) -> str:
    text, search, replacement = (_text("Replace", argument, budget) for argument in arguments)
    if not search:
        raise ExpressionError("$Replace: what it searches must not be empty")
    budget.room_for(len(text) + text.count(search) * (len(replacement) - len(search)))
    return text.replace(search, replacement)


def _filter(arguments: list[Any], budget: Budget) -> list[Any]:
    members, operator, value = arguments
    return [member for member in _list("Filter", members, budget) if matches(member, operator, value, budget)]


def _find(arguments: list[Any], budget: Budget) -> Any:
    members, operator, value = arguments
    for member in _list("Find", members, budget):
        if matches(member, operator, value, budget):
            return member
    raise ExpressionError("$Find: nothing in the list matches")


def _size(arguments: list[Any], budget: Budget) -> int:
    if not isinstance(arguments[0], Mapping):
        raise ExpressionError(f"$Size counts the fields of an object, and this is {kind_of(arguments[0])}: see $Length")
    return len(arguments[0])


def _length(arguments: list[Any], budget: Budget) -> int:
    if not isinstance(arguments[0], (list, str)):
        raise ExpressionError(f"$Length is of a list or a text, and this is {kind_of(arguments[0])}: see $Size")
    return len(arguments[0])


def _of_text(name: str, change: Callable[[str], str]) -> Callable[[list[Any], Budget], str]:
    def compute(arguments: list[Any], budget: Budget) -> str:
        text = _text(name, arguments[0], budget)
        budget.room_for(len(text))
        return change(text)

    return compute


def _format(arguments: list[Any], budget: Budget) -> str:
    if isinstance(arguments[1], str):
        budget.room_for(3 * len(arguments[1]))  # no token becomes longer than that
    return format_date(*arguments)


def _list(function: str, value: Any, budget: Budget) -> list[Any]:
    if not isinstance(value, list):
        raise ExpressionError(f"${function} takes a list, not {kind_of(value)}")
    budget.step(len(value))
    return value


def _text(function: str, value: Any, budget: Budget) -> str:
    """A text, or a number or truth value as one."""
    if isinstance(value, str):
        budget.read(len(value))
        return value
    if isinstance(value, (bool, int, float)):
        return text_of(value, budget)
    raise ExpressionError(f"${function} takes a text, not {kind_of(value)}")


FUNCTIONS: Final[Mapping[str, Signature]] = {
    "Now": Signature(0, 0, lambda arguments, budget: None),  # the time is the resolver's to say
    "DateAdd": Signature(3, 3, lambda arguments, budget: date_add(*arguments), check_date_add),
    "Format": Signature(2, 3, _format, check_format),
    "Dateformat": Signature(2, 3, _format, check_format),
    "Add": Signature(1, _MANY, _add),
    "Subtract": Signature(1, _MANY, _subtract),
    "Concat": Signature(1, 2, _concat),
    "Join": Signature(1, 2, _join),
    "Substring": Signature(2, 3, _substring),
    "Trim": Signature(1, 1, _of_text("Trim", str.strip)),
    "Uppercase": Signature(1, 1, _of_text("Uppercase", str.upper)),
    "Lowercase": Signature(1, 1, _of_text("Lowercase", str.lower)),
    "Split": Signature(2, 2, _split),
    "Pick": Signature(2, 2, _pick),
    "Replace": Signature(3, 3, _replace),
    "Filter": Signature(3, 3, _filter, check_operator),
    "Find": Signature(3, 3, _find, check_operator),
    "Size": Signature(1, 1, _size),
    "Length": Signature(1, 1, _length),
}
