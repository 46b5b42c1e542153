"""The kinds of reference: how each is written, and where it has a value.

Owns what is told of a reference in a place where it never has one.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from executors.expressions.errors import ExpressionError
from executors.expressions.terms import Function, Part, Reference, references_of

SECRET_KEY = re.compile(r"[A-Za-z_][A-Za-z0-9_.\-]{0,119}")
NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.\-]{0,119}")
# A field of JSON may have nearly any name; `[0]` or `0` is a position in a list.
FIELD = re.compile(r"(?!\s)[^{}\x00-\x1f]{1,120}(?<!\s)")
_LONGEST_PATH = 32  # names in braces


@dataclass(frozen=True, slots=True)
class Form:
    """How a reference is written: how many names in braces, and what each may be."""

    shape: str
    least: int
    most: int
    name: re.Pattern[str] = FIELD
    what: str = "the name of a field: up to 120 characters, without braces, no space at its ends"


_TAG = "a tag or key: letters, digits, _ . - and no sign first"
FORMS: Final[Mapping[str, Form]] = {
    "Input": Form("{field}{…}", 1, _LONGEST_PATH),
    "Sequence": Form("{sequence}{event}{field}{…}", 2, _LONGEST_PATH),
    "Step": Form("{step}{field}{…}", 1, _LONGEST_PATH),
    "Variable": Form("{app}{key}", 2, 2, NAME, _TAG),
    "Constant": Form("{app}{key}", 2, 2, NAME, _TAG),
    "Session": Form("{tag}{field}{…}", 1, _LONGEST_PATH),
    "Secret": Form("{KEY}", 1, 1, SECRET_KEY, "the key of a secret: letters, digits, _ . - and no digit or sign first"),
    "Auth": Form("{field}{…}", 1, _LONGEST_PATH),
}
# What `$Var(name)` may name: facts of the run.
OF_A_RUN: Final = ("execution_count", "attempt", "job_id", "scheduled_at")

_WHERE = {
    "Input": "in a feature",
    "Sequence": "in a feature",
    "Step": "in a feature",
    "Auth": "in the input of a feature's step of type action",
    "Session": "in the input of a job that was dispatched with a session",
    "Var": "in the input of a job",
}


@dataclass(frozen=True, slots=True)
class ReferenceKinds:
    """Which references may have a value in a place, and whether functions are computed there."""

    place: str  # "an input"
    kinds: frozenset[str]
    functions: bool = True

    def refuse(self, part: Part) -> None:
        """Raise ExpressionError (`expression_unsupported`) for what can never have a value here."""
        if isinstance(part, Function) and not self.functions:
            raise ExpressionError(
                f"${part.name}(…) is understood in an input only", "expression_unsupported", at=part.at
            )
        if isinstance(part, str):
            return
        for reference in references_of(part):
            if reference.kind not in self.kinds:
                where = _WHERE.get(reference.kind)
                told = f"only {where}" if where else "write the value itself"
                raise ExpressionError(
                    f"{reference} can have no value in {self.place}: {told}",
                    "expression_unsupported",
                    at=reference.at,
                )


_CATALOG = frozenset({"Secret", "Variable", "Constant"})
IN_THE_CATALOG: Final = ReferenceKinds("a value of the catalog", _CATALOG, functions=False)
IN_AN_INPUT: Final = ReferenceKinds("an input", _CATALOG | {"Session", "Var"})
IN_A_FEATURE: Final = ReferenceKinds("this part of a feature", frozenset({*FORMS, "Var"}) - {"Auth"})
IN_A_STEP_OF_AN_APP: Final = ReferenceKinds("the input of a step", IN_A_FEATURE.kinds | {"Auth"})


def check_names(kind: str, names: tuple[str, ...], *, at: int) -> None:
    """Raise ExpressionError where a reference of a known kind is written in another way."""
    form = FORMS[kind]
    if not form.least <= len(names) <= form.most:
        written = Reference(kind, names)
        detail = f"{str(written)[:80]} must be ${kind}{form.shape}"
        if len(names) > form.most > 2:
            detail += f", with at most {form.most} names"
        raise ExpressionError(detail, at=at)
    for name in names:
        if not form.name.fullmatch(name):
            raise ExpressionError(f"{name[:60]!r} is not {form.what}", at=at)
