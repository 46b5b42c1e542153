"""The examples of docs/in-process.md, run as they stand."""

from __future__ import annotations

import re
from typing import Any

import pytest

from jobs.models import Job
from jobs.testing.running import MOST
from tests.documented import ROOT
from tests.integration.dispatch_world import catalog_with

pytestmark = pytest.mark.django_db

PAGE = (ROOT / "docs" / "in-process.md").read_text()
EXAMPLES = re.findall(r"^```python\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
MADE = (1, 3, 0, 1, 1)  # jobs, of each example


@pytest.mark.parametrize(("example", "made"), list(zip(EXAMPLES, MADE, strict=True)), ids=range(len(MADE)))
def test_an_example_does_what_it_says(example: str, made: int) -> None:
    catalog_with("receipt", "reminder", "report")
    said: list[Any] = []
    exec(
        compile(example, "docs/in-process.md", "exec"),
        {"save_order": lambda: 7, "print": lambda *all: said.append(all)},
    )
    assert Job.objects.count() == made
    if "# invalid retries" in example:
        assert said == [("invalid", "retries")]


def test_the_limit_that_is_told_is_the_limit() -> None:
    assert f"| `most` | attempts, {MOST // 1000} 000:" in PAGE
