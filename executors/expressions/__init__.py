"""References and functions in values: which are understood where, and what they stand for.

A text of an input, of a feature or of the catalog may hold them, alone or among other text; the grammar is
that of `executors.expressions.syntax`, the functions those of `executors.expressions.functions`, and
which references may stand where is said in `executors.expressions.kinds`. What begins like an expression and is
none is refused instead of being sent as it was written; `$$` in its place is a plain `$`.
Bounded in time, depth and length: no eval, no patterns of the user's, no queries, no recursion
into what a reference stands for.

Whoever resolves brings a scope: `ScopeChain(InputScope(…), StepsScope(…), …)`, or one of its own.
"""

from executors.expressions.budget import MAX_RESOLVED_CHARACTERS, MAX_STEPS, Budget
from executors.expressions.errors import ExpressionError
from executors.expressions.finding import (
    LAST_RUN,
    MAX_TERMS,
    Expressions,
    check_expressions,
    has_expressions,
    never_computable,
    references_anywhere,
)
from executors.expressions.functions import FUNCTIONS
from executors.expressions.kinds import (
    IN_A_FEATURE,
    IN_A_STEP_OF_AN_APP,
    IN_AN_INPUT,
    IN_THE_CATALOG,
    NAME,
    OF_A_RUN,
    SECRET_KEY,
    ReferenceKinds,
)
from executors.expressions.moments import Moment
from executors.expressions.scopes import (
    AuthScope,
    InputScope,
    Layer,
    Scope,
    ScopeChain,
    SessionScope,
    StepsScope,
    VariablesScope,
    texts_in,
    walk,
)
from executors.expressions.syntax import begins_one, is_only_a_reference, parse
from executors.expressions.terms import Function, Reference, Scalar, references_of
from executors.expressions.values import (
    Unknown,
    open_references,
    references_in,
    resolve,
    resolve_known,
)
from executors.expressions.writing import plain

__all__ = [
    "FUNCTIONS",
    "IN_AN_INPUT",
    "IN_A_FEATURE",
    "IN_A_STEP_OF_AN_APP",
    "IN_THE_CATALOG",
    "LAST_RUN",
    "MAX_RESOLVED_CHARACTERS",
    "MAX_STEPS",
    "MAX_TERMS",
    "NAME",
    "OF_A_RUN",
    "SECRET_KEY",
    "AuthScope",
    "Budget",
    "ExpressionError",
    "Expressions",
    "Function",
    "InputScope",
    "Layer",
    "Moment",
    "Reference",
    "ReferenceKinds",
    "Scalar",
    "Scope",
    "ScopeChain",
    "SessionScope",
    "StepsScope",
    "Unknown",
    "VariablesScope",
    "begins_one",
    "check_expressions",
    "has_expressions",
    "is_only_a_reference",
    "never_computable",
    "open_references",
    "parse",
    "plain",
    "references_anywhere",
    "references_in",
    "references_of",
    "resolve",
    "resolve_known",
    "texts_in",
    "walk",
]
