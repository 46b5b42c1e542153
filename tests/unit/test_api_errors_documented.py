"""`docs/api-errors.md` lists exactly the codes that the code can answer."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

from core.errors import OF_ANSWERS, Invalid
from executors.catalog import kinds
from tests.documented import ROOT, Codes, documented_codes

FOLDERS = ("core", "executors", "jobs", "webhooks", "ductape_jobs")
CODE = re.compile(r"[a-z][a-z_]+")
# Calls whose `code=` is of a run that failed, not of an answer.
OF_RUNS = {"Failed", "Postponed", "Finished", "failed", "ended_attempt", "move_run", "lose"}
# What the REST framework itself may say.
OF_THE_FRAMEWORK = {"method_not_allowed", "unsupported_media_type"}
# Those that are put together: `<kind>_not_found`, in `executors.catalog`.
PUT_TOGETHER = {f"{kind}_not_found" for kind in (*kinds.names(), "event", "variable", "constant")}
# Calls that say what is wrong with one field, and where in them its code stands.
OF_FIELDS = {"FieldError": 1, "wrong": 2, "_wrong": 3, "add": 2, "problem": 2, "ExpressionError": 1}
# Calls that say how the whole request is answered; those of `core.errors` by a keyword.
OF_ANSWERS_AT = {"_with_status": 1}
ANSWERS = {
    "ApiError", "Invalid", "Unauthenticated", "Forbidden", "NotFound", "Conflict", "TooLarge", "Unavailable", "Unreadable",
    "IllegalTransition",
}  # fmt: skip


def gather(tree: ast.AST, codes: Codes) -> None:
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
            if name in OF_RUNS:
                continue
            of_answer = name in ANSWERS or name in OF_ANSWERS_AT
            for keyword in node.keywords:
                if keyword.arg == "code":
                    (codes.answers if of_answer else codes.fields).update(_texts(keyword.value))
            for table, found in ((OF_FIELDS, codes.fields), (OF_ANSWERS_AT, codes.answers)):
                position = table.get(name)
                if position is not None and len(node.args) > position:
                    found.update(_texts(node.args[position]))
        elif isinstance(node, ast.ClassDef):
            codes.answers.update(_of_class(node))
        elif isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            arguments = [*node.args.posonlyargs, *node.args.args][::-1]
            for argument, default in [
                *zip(arguments, node.args.defaults[::-1], strict=False),
                *zip(node.args.kwonlyargs, node.args.kw_defaults, strict=True),
            ]:
                if argument.arg == "code":
                    codes.fields.update(_texts(default))


def _of_class(node: ast.ClassDef) -> Iterator[str]:
    """`code = "…"` in a class of errors."""
    for statement in node.body:
        if isinstance(statement, ast.Assign):
            targets = statement.targets[0].elts if isinstance(statement.targets[0], ast.Tuple) else statement.targets
            values = statement.value.elts if isinstance(statement.value, ast.Tuple) else [statement.value]
            for target, value in zip(targets, values, strict=False):
                if isinstance(target, ast.Name) and target.id == "code":
                    yield from _texts(value)


def _texts(node: ast.AST | None) -> Iterator[str]:
    """The code that an expression is, or may be."""
    match node:
        case ast.Constant(value=str() as text) if CODE.fullmatch(text):
            yield text
        case ast.IfExp(body=body, orelse=orelse):
            yield from _texts(body)
            yield from _texts(orelse)
        case ast.BoolOp(values=values):
            for value in values:
                yield from _texts(value)


def told() -> Codes:
    """Every code that can be answered; of fields those that an answer never has."""
    codes = Codes(set(OF_THE_FRAMEWORK | PUT_TOGETHER | OF_ANSWERS), set())
    for folder in FOLDERS:
        for path in (ROOT / folder).rglob("*.py"):
            if not {"migrations", "admin", "backoffice", "management"} & set(path.parts):
                gather(ast.parse(path.read_text()), codes)
    codes.fields -= codes.answers
    return codes


def test_every_code_is_documented_in_its_table_and_no_other() -> None:
    listed, found = documented_codes(), told()
    assert (listed.answers - found.answers, found.answers - listed.answers) == (set(), set())
    assert (listed.fields - found.fields, found.fields - listed.fields) == (set(), set())


def test_a_code_that_a_field_hands_on_to_the_answer_is_one_of_fields() -> None:
    for code in sorted(OF_ANSWERS):
        assert Invalid.field("a", "is wrong", code=code).code == code
    for code in sorted(documented_codes().fields):
        assert Invalid.field("a", "is wrong", code=code).code == "invalid"
