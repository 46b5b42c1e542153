"""The description shows the documents' own examples, and they are what the acceptance test runs."""

from __future__ import annotations

from typing import Any

import pytest

from jobs.api import examples
from jobs.api.dispatch_schemas import dispatch_body
from jobs.operations.targets import TARGETS
from tests.acceptance import test_s3_examples as documents


def without_moved(body: dict[str, Any]) -> dict[str, Any]:
    """A body without what cannot stay as the page says it: times that are past, and a token that is cut off."""
    schedule = {name: value for name, value in body.get("schedule", {}).items() if name not in {"start_at", "endDate"}}
    session = {"tag": body["session"]["tag"]} if "session" in body else None
    return {**body, "schedule": schedule, "session": session}


def test_the_bodies_of_dispatch_show_the_ten_examples_of_the_document() -> None:
    shown = {
        (names.path, str(without_moved(body)))
        for names in TARGETS.values()
        for body in dispatch_body(names).get("examples", ())
    }
    assert shown == {(each.path, str(without_moved(each.body))) for each in documents.EXAMPLES.values()}
    assert len(shown) == 10


@pytest.mark.parametrize("namespace", examples.DISPATCH)
def test_an_example_names_only_fields_that_its_dispatch_knows(namespace: str) -> None:
    body = dispatch_body(TARGETS[namespace])
    for example in body["examples"]:
        assert set(body.get("required", ())) <= set(example) <= set(body["properties"])
