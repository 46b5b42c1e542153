"""What resolving one JSON value may cost: so many steps, and so many characters of what its expressions stand for."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from executors.expressions.errors import ExpressionError

# Terms, members of lists and objects that are gone through (four for one that is compared), and each 64 characters
# that a function reads or writes: about half a second of a worker whose other runs wait meanwhile.
MAX_STEPS = 500_000
MAX_RESOLVED_CHARACTERS = 4 * 1024 * 1024  # of all that the expressions of one value stand for
MAX_DEPTH = 100  # lists and objects within each other
_CHARACTERS_A_STEP = 64
_OF_A_NUMBER = 8


class Budget:
    """Counts down; raises ExpressionError past either limit."""

    def __init__(self) -> None:
        self._steps = MAX_STEPS
        self._characters = MAX_RESOLVED_CHARACTERS

    def step(self, count: int = 1) -> None:
        self._steps -= count
        if self._steps < 0:
            raise ExpressionError(f"the expressions take more than {MAX_STEPS} steps")

    def read(self, length: int) -> None:
        """A function goes through a text that long."""
        self.step(length // _CHARACTERS_A_STEP)

    def room_for(self, length: int) -> None:
        """A function is about to write a text that long."""
        if length > MAX_RESOLVED_CHARACTERS:
            raise ExpressionError(f"a text would be longer than {MAX_RESOLVED_CHARACTERS} characters")
        self.read(length)

    def spend(self, value: Any) -> None:
        """Something is put into the value in place of its expression."""
        self._characters -= self.measure(value)
        if self._characters < 0:
            raise ExpressionError(f"what the input refers to is longer than {MAX_RESOLVED_CHARACTERS} characters")

    def measure(self, value: Any) -> int:
        """About as many characters as a JSON value is written with; each of its members is a step."""
        if isinstance(value, str):
            return len(value)
        if isinstance(value, int):
            return 1 + value.bit_length() // 3
        characters = 0
        pending = [(value, 0)]
        while pending:
            node, depth = pending.pop()
            self.step()
            if isinstance(node, str):
                characters += len(node) + 2
            elif isinstance(node, int) and not isinstance(node, bool):
                characters += 1 + node.bit_length() // 3
            elif isinstance(node, (dict, Mapping)):  # a dict is told sooner than any mapping is
                characters += 2 + sum(map(len, node)) + 4 * len(node)
                pending += [(member, depth + 1) for member in node.values()]
            elif isinstance(node, (list, tuple)):
                characters += 2 + len(node)
                pending += [(member, depth + 1) for member in node]
            else:
                characters += _OF_A_NUMBER
            if depth > MAX_DEPTH:
                raise ExpressionError(f"lists and objects are more than {MAX_DEPTH} deep in each other")
        return characters
