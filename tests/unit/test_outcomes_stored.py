"""What an outcome may hold that a database cannot: NUL and halves of surrogate pairs."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobs.lifecycle.settle import result_text, storable


@pytest.mark.parametrize(
    ("text", "stored"),
    [
        ("plain", "plain"),
        ("a\0b", "a\ufffdb"),
        ("\ud83d\ude00", "\ufffd\ufffd"),  # two halves, not a character
        ("😀", "😀"),
        ("\ud83d", "\ufffd"),
        ("\\u0000", "\\u0000"),  # six characters of text
        ("\\\0", "\\\ufffd"),
        ("\\ud800", "\\ud800"),
    ],
)
def test_what_cannot_be_stored_is_replaced_and_nothing_else(text: str, stored: str) -> None:
    assert storable(text) == stored
    if text != "\ud83d\ude00":  # which JSON cannot tell from the character
        assert json.loads(result_text({text: text})) == {stored: stored}


@given(st.text(alphabet=st.characters()) | st.text(alphabet="\\u0d8c\0\ud800\udc00😀"))
def test_every_result_is_text_a_database_takes(text: str) -> None:
    told = json.loads(result_text({"text": text}))["text"]
    assert "\0" not in told
    told.encode()
