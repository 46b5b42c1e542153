"""Secrets in texts: every form of one is replaced, and a short one where it stands alone."""

from __future__ import annotations

import pytest

from core.errors import Invalid
from executors.base import redacted
from executors.catalog.schema import read_document
from executors.catalog.sealed import secret_forms
from executors.namespaces.component import redacted_value


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("token=s3cret&x", "token=***&x"),
        ("xs3cretx", "x***x"),
        ('{"pin": "a1"}', '{"pin": "***"}'),
        ("pin=a1&b=a12", "pin=***&b=a12"),
        ("data1", "data1"),
        ("a1", "***"),
        ("Zoë sent a1.", "Zoë sent ***."),
        ("öa1", "öa1"),
    ],
)
def test_a_short_piece_of_a_secret_is_replaced_where_it_stands_alone(text: str, told: str) -> None:
    assert redacted(text, secret_forms(["s3cret", "a1"])) == told


def test_a_short_piece_is_replaced_in_values_and_names_of_a_result() -> None:
    result = {"pin": "a1", "a1": ["for a1", 7], "a1b": None}
    assert redacted_value(result, secret_forms(["a1"])) == {"pin": "***", "***": ["for ***", 7], "a1b": None}


def test_what_is_one_character_or_no_word_hides_nothing() -> None:
    assert secret_forms(["", "a", "--", " ", "\n"]) == ()


@pytest.mark.parametrize("given", [{"value": "abc"}, {"envs": {"prd": "1"}}])
def test_a_secret_that_is_too_short_to_be_kept_out_of_texts_is_refused(given: dict[str, object]) -> None:
    with pytest.raises(Invalid) as refused:
        read_document({"envs": [{"slug": "prd"}], "secrets": [{"key": "PIN", **given}]}, "shop")
    (error,) = refused.value.errors
    assert error.field == ("secrets.0.value" if "value" in given else "secrets.0.envs.prd")
    assert error.detail.startswith("has fewer than 4 characters: ")
    read_document({"envs": [{"slug": "prd"}], "secrets": [{"key": "PIN", "value": "abcd"}]}, "shop")
