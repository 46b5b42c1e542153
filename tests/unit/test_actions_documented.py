"""docs/actions.md says what the code does: its codes, its kinds of auth, its request types."""

from __future__ import annotations

import re
from pathlib import Path

from executors import base
from executors.catalog.app_schema import REQUEST_TYPES
from executors.catalog.auth_schema import AUTH_FIELDS
from executors.catalog.formats import CHECKED

PAGE = (Path(__file__).resolve().parent.parent.parent / "docs" / "actions.md").read_text()


def section(title: str) -> str:
    return PAGE.partition(f"## {title}\n")[2].partition("\n## ")[0]


def first_cells(text: str) -> set[str]:
    return {
        name for row in re.findall(r"^\| (`[^|]*) \|", text, re.MULTILINE) for name in re.findall(r"`([^`]+)`", row)
    }


def test_every_code_is_told_and_no_other() -> None:
    codes = {value for name, value in vars(base).items() if name.isupper() and value == name}
    assert codes == base.CODES

    assert first_cells(section("Codes")) == codes


def test_every_format_that_is_checked_is_told() -> None:
    listed = section("Bodies").partition("Of `format` are checked")[2].partition(";")[0]

    assert set(re.findall(r"`([^`]+)`", listed)) == set(CHECKED)


def test_every_kind_of_auth_is_told_with_its_fields() -> None:
    text = section("Logging in")

    assert first_cells(text) - {"type"} == set(AUTH_FIELDS)
    for kind, (shown, secret) in AUTH_FIELDS.items():
        (row,) = [line for line in text.splitlines() if line.startswith(f"| `{kind}` |")]
        assert {*shown, *secret} <= set(re.findall(r"`([^`]+)`", row)), kind


def test_every_request_type_is_told() -> None:
    assert first_cells(section("Bodies")) - {"request_type"} == set(REQUEST_TYPES)
