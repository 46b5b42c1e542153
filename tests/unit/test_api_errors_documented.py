"""`docs/api-errors.md` lists exactly the codes that the code can answer."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
FOLDERS = ("core", "executors", "jobs", "webhooks", "ductape_jobs")
CODE = re.compile(r"[a-z][a-z_]+")
# Calls whose `code=` is of a run that failed, not of an answer.
OF_RUNS = {"Failed", "Postponed", "Finished", "failed", "ended_attempt", "move_run", "lose"}
# What the REST framework itself may say.
OF_THE_FRAMEWORK = {"method_not_allowed", "unsupported_media_type"}
# Those that are put together: `<kind>_not_found`, in `executors.catalog`.
PUT_TOGETHER = {"app_not_found", "event_not_found", "variable_not_found", "constant_not_found"}


def codes_in(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
            if name in OF_RUNS:
                continue
            for keyword in node.keywords:
                if keyword.arg == "code":
                    yield from _texts(keyword.value)
            position = {
                "FieldError": 1,
                "wrong": 2,
                "add": 2,
                "problem": 2,
                "_with_status": 1,
                "ExpressionError": 1,
            }.get(name)
            if position is not None and len(node.args) > position:
                yield from _texts(node.args[position])
        elif isinstance(node, ast.Assign):
            targets = node.targets[0].elts if isinstance(node.targets[0], ast.Tuple) else node.targets
            values = node.value.elts if isinstance(node.value, ast.Tuple) else [node.value]
            for target, value in zip(targets, values, strict=False):
                if isinstance(target, ast.Name) and target.id == "code":
                    yield from _texts(value)
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            arguments = [*node.args.posonlyargs, *node.args.args][::-1]
            for argument, default in [
                *zip(arguments, node.args.defaults[::-1], strict=False),
                *zip(node.args.kwonlyargs, node.args.kw_defaults, strict=True),
            ]:
                if argument.arg == "code":
                    yield from _texts(default)


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


def answered() -> set[str]:
    found = OF_THE_FRAMEWORK | PUT_TOGETHER
    for folder in FOLDERS:
        for path in (ROOT / folder).rglob("*.py"):
            if not {"migrations", "admin", "backoffice", "management"} & set(path.parts):
                found |= set(codes_in(ast.parse(path.read_text())))
    return found


def documented() -> set[str]:
    text = (ROOT / "docs" / "api-errors.md").read_text()
    return set(re.findall(r"^\| `([a-z_]+)` \|", text, re.MULTILINE))


def test_every_code_is_documented_and_no_other() -> None:
    assert documented() - answered() == set()
    assert answered() - documented() == set()
