"""Secrets in what a run tells: replaced, and so is the beginning of one that was cut off at the end."""

from __future__ import annotations

import pytest

from executors.base import Failed, longest_first, redacted, redacted_message
from executors.namespaces.component import without_secrets

SECRET = "Tr0ub4dor-and-3"


@pytest.mark.parametrize(
    ("told", "shown"),
    [
        ("refused: Tr0ub4dor-and-", "refused: ***"),
        ("refused: Tr0ub4do", "refused: ***"),
        ("refused: Tr0ub4d", "refused: Tr0ub4d"),  # so little tells nothing, and words begin like that by chance
        ("refused: Tr0ub4dor, it said", "refused: Tr0ub4dor, it said"),  # not cut off: another word
        ("refused", "refused"),
        ("", ""),
    ],
)
def test_the_beginning_of_a_secret_at_the_end_is_not_shown(told: str, shown: str) -> None:
    assert redacted_message(told, (SECRET,)) == shown


@pytest.mark.parametrize("size", range(1, 60))
def test_a_failure_cut_off_anywhere_shows_none_of_a_secret(size: int) -> None:
    told = f"FATAL: no such thing as {SECRET}, or {SECRET}"[:size]
    failed = Failed(code="VALIDATION_ERROR", message=told, retryable=False, result={"told": SECRET})

    shown = without_secrets(failed, (SECRET,))

    assert SECRET[:8] not in shown.message
    assert shown.result == {"told": "***"}


def test_a_secret_that_begins_as_another_leaves_no_rest() -> None:
    secrets = longest_first(("key",), (SECRET[:9], SECRET), ("key-2",))

    assert secrets == (SECRET, SECRET[:9], "key-2", "key")
    assert redacted(f"{SECRET} {SECRET[:9]} key-2", secrets) == "*** *** ***"
