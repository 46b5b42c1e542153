"""References and functions in values: which are understood where, and what they stand for.

Understood in an input: `$Now()`, `$DateAdd(time, amount, "unit")`, `$Secret{KEY}`,
`$Variable{app}{key}`, `$Constant{app}{key}`; in the values of the catalog the last three. Anything
else that begins like an expression (`$Session{…}`) is told apart from plain text, so that it is
refused instead of being sent as it was written; `$$` in its place is a plain `$`. Bounded: no eval,
no recursion into what a reference stands for, no queries.
"""

from executors.expressions.errors import ExpressionError
from executors.expressions.finding import LAST_RUN, Expressions, check_expressions, has_expressions, never_computable
from executors.expressions.moments import Moment
from executors.expressions.syntax import (
    NAME,
    SECRET_KEY,
    Reference,
    begins_one,
    is_only_a_reference,
    parse,
    references_of,
)
from executors.expressions.values import (
    MAX_RESOLVED_CHARACTERS,
    Scalar,
    Scope,
    Unknown,
    open_references,
    plain,
    references_in,
    resolve,
    resolve_known,
)

__all__ = [
    "LAST_RUN",
    "MAX_RESOLVED_CHARACTERS",
    "NAME",
    "SECRET_KEY",
    "ExpressionError",
    "Expressions",
    "Moment",
    "Reference",
    "Scalar",
    "Scope",
    "Unknown",
    "begins_one",
    "check_expressions",
    "has_expressions",
    "is_only_a_reference",
    "never_computable",
    "open_references",
    "parse",
    "plain",
    "references_in",
    "references_of",
    "resolve",
    "resolve_known",
]
