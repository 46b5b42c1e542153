"""The tables of `docs/api-errors.md`, for tests that hold them to the code and to each answer."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


@dataclass
class Codes:
    """Codes of answers, and those that only fields have."""

    answers: set[str]
    fields: set[str]


@cache
def documented_codes() -> Codes:
    answers, fields = (ROOT / "docs" / "api-errors.md").read_text().split("\n## Codes of fields\n")
    return Codes(*(set(re.findall(r"^\| `([a-z_]+)` \|", table, re.MULTILINE)) for table in (answers, fields)))


def check_problem(body: dict[str, object]) -> None:
    """Fail where an answer says a code that its table does not have."""
    known = documented_codes()
    assert body["code"] in known.answers, body
    errors = body["errors"]
    assert isinstance(errors, list)
    for error in errors:
        assert error["code"] in known.answers | known.fields or error["code"].startswith("schema_"), body
