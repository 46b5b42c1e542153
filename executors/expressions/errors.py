"""What is wrong with an expression."""

from __future__ import annotations


class ExpressionError(ValueError):
    """An expression is not understood, or what it says cannot be computed. The text is for the caller."""

    def __init__(self, detail: str, code: str = "expression_invalid") -> None:
        super().__init__(detail)
        self.code = code
