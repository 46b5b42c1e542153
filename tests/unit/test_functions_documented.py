"""docs/functions.md says what the code does: its codes, and the fields of each type."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from executors.namespaces.functions import FunctionsExecutor
from executors.providers.function.kind import KIND

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "functions.md").read_text()
SECTIONS = {"http": "HTTP", "lambda": "AWS Lambda", "celery": "Tasks of your own Celery app"}


def section(title: str) -> str:
    return PAGE.partition(f"## {title}\n")[2].partition("\n## ")[0]


def test_every_code_is_told_and_no_other() -> None:
    assert set(re.findall(r"^\| `([A-Z_]+)` \|", section("Codes"), re.MULTILINE)) == FunctionsExecutor.codes


@pytest.mark.parametrize("type", SECTIONS)
def test_every_field_is_told(type: str) -> None:
    assert KIND.connections.keys() <= SECTIONS.keys()
    told = set(re.findall(r"`([a-z_]+)`", section(SECTIONS[type])))
    assert KIND.connections[type].keys() <= told


def test_every_field_of_a_function_is_told() -> None:
    assert KIND.component.keys() <= set(re.findall(r"`([a-z_]+)`", PAGE))
