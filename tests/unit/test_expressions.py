"""What begins like an expression is told apart from plain text."""

from __future__ import annotations

import pytest

from core.errors import Invalid
from executors.expressions import find_expressions, is_only_a_secret, open_secrets, refuse_expressions, secret_keys


@pytest.mark.parametrize(
    "text",
    [
        "$Now()",
        "$DateAdd($Now(), -30, 'days')",
        "$Session{user}{id}",
        "$Secret{KEY}",
        "Bearer $Secret{KEY}",
        "$Input{a}",
    ],
)
def test_an_expression_is_found_wherever_it_stands(text: str) -> None:
    for value, path in (
        (text, "input"),
        ({"a": text}, "input.a"),
        ({"a": [1, {"b": text}]}, "input.a.1.b"),
        ({text: 1}, f"input.{text}"),
    ):
        assert [at for at, _ in find_expressions(value, "input")] == [path]


@pytest.mark.parametrize(
    "text", ["", "5 $", "$5.00", "US$ {a}", "$price", "$(a)", "${HOME}", "{{name}}", "$now()", "$Now"]
)
def test_plain_text_is_left_alone(text: str) -> None:
    assert list(find_expressions({"a": text}, "input")) == []


def test_an_input_with_an_expression_is_refused_with_its_place() -> None:
    with pytest.raises(Invalid) as caught:
        refuse_expressions({"body": {"at": "$Now()", "who": ["$Session{user}"]}}, "input")

    assert {(error.field, error.code) for error in caught.value.errors} == {
        ("input.body.at", "expression_unsupported"),
        ("input.body.who.0", "expression_unsupported"),
    }
    assert "$Now(…)" in str(caught.value) or "$Session{…}" in str(caught.value)


def test_secrets_are_opened_once_and_their_values_not_looked_into() -> None:
    values = {"A": "$Secret{B}", "B": "b"}

    assert open_secrets("x-$Secret{A}-$Secret{B}", values.__getitem__) == "x-$Secret{B}-b"
    assert open_secrets("plain", values.__getitem__) == "plain"


def test_the_keys_of_secrets_are_listed() -> None:
    assert secret_keys("https://$Secret{HOST}/$Secret{PATH.v1}") == ["HOST", "PATH.v1"]
    for wrong in ("$Secret{}", "$Secret{a b}", "$Now()", "$Secret{A$Now()}"):
        with pytest.raises(ValueError):
            secret_keys(wrong)


def test_a_bare_reference_hides_nothing() -> None:
    assert is_only_a_secret("$Secret{KEY}")
    assert not is_only_a_secret("abc$Secret{KEY}")
