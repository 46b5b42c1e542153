"""What is wrong with an expression."""

from __future__ import annotations


class ExpressionError(ValueError):
    """An expression is not understood, or what it says cannot be computed. The text is for the caller.

    `at` is where it begins: characters from the start of the text that it stands in, from 0. `path` leads to
    that text in the JSON value that is resolved; it is set where a value is resolved, and is then whole.
    No text of a function quotes a value that it was given: it may be a part of a secret.
    """

    def __init__(self, detail: str, code: str = "expression_invalid", *, at: int | None = None) -> None:
        super().__init__(detail)
        self.detail = detail
        self.code = code
        self.at = at
        self.path: tuple[str | int, ...] = ()

    def __str__(self) -> str:
        return self.detail if self.at is None else f"at offset {self.at}: {self.detail}"
