"""docs/graphs.md says what the code does: its operations, its operators, its types."""

from __future__ import annotations

import re
from pathlib import Path

from executors.providers.graph.backends import TYPES
from executors.providers.graph.kind import KIND
from executors.providers.graph.requests import OPERATIONS, operation_named
from executors.providers.graph.where import LOGICAL, OPERATORS, folded

PAGE = (Path(__file__).resolve().parent.parent.parent / "docs" / "graphs.md").read_text()


def section(title: str) -> str:
    return PAGE.partition(f"## {title}\n")[2].partition("\n## ")[0]


def first_cells(text: str) -> list[str]:
    rows = re.findall(r"^\| (.*?) \|", text, re.MULTILINE)
    return [name for row in rows for name in re.findall(r"`([^`]+)`", row)]


def test_every_operation_is_told_with_its_options() -> None:
    text = section("Operations")

    assert sorted(first_cells(text)) == sorted(OPERATIONS)
    for name, options in OPERATIONS.items():
        (row,) = [line for line in text.splitlines() if re.search(rf"^\|[^|]*`{re.escape(name)}`", line)]
        needed = {option for option, each in options.items() if each.required}
        assert needed <= set(re.findall(r"\w+", row)), name


def test_every_operator_is_told() -> None:
    told = {folded(name) for name in first_cells(section("Conditions")) if name.startswith("$")}

    assert told == {*OPERATORS, *LOGICAL}


def test_every_other_name_is_one() -> None:
    named = section("Operations").partition("Other names:")[2].partition(";")[0]

    assert [name for name in re.findall(r"`([^`]+)`", named) if operation_named(name) is None] == []


def test_every_type_is_told_with_its_fields() -> None:
    table = section("In the catalog")

    assert {*first_cells(table)} - {"type"} == {*TYPES} == {*KIND.connections}
    for type, shape in KIND.connections.items():
        (row,) = [line for line in table.splitlines() if line.startswith("| `") and f"`{type}`" in line]
        assert {*shape} <= set(re.findall(r"`([^`]+)`", row))
