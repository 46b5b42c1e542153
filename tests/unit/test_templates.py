"""Placeholders in what a catalog has saved: a value keeps its type, a text is written, nothing given is looked into."""

from __future__ import annotations

from typing import Any

import pytest

from executors.expressions import Unknown
from executors.templates import MISSING, filled, names_in, within

GIVEN: dict[str, Any] = {
    "list": [1, "{{text}}"], "text": "{{number}}", "number": 1.5, "yes": True, "none": None, "a.b-c": "dotted",
    "object": {"ü": [None]}, "known-later": Unknown("$Secret{A}"),
}  # fmt: skip


@pytest.mark.parametrize(
    ("template", "becomes"),
    [
        ("{{list}}", [1, "{{text}}"]), ("{{ object }}", {"ü": [None]}), ("{{none}}", None), ("{{number}}", 1.5),
        ("{{yes}}", True), ("{{text}}", "{{number}}"), ("{{a.b-c}}", "dotted"),
        ("<{{text}}>", "<{{number}}>"), ("{{number}}{{yes}}", "1.5true"), ("a{{none}}b", "ab"),
        ("of {{object}}", 'of {"ü":[null]}'), ("{text} {{ text", "{text} {{ text"), ("{{1}} {{}}", "{{1}} {{}}"),
        ("", ""), (5, 5), (None, None),
        ({"{{text}}": ["{{number}}", {"a": "{{yes}}"}]}, {"{{text}}": [1.5, {"a": True}]}),
    ],
)  # fmt: skip
def test_a_placeholder_alone_keeps_its_type_and_within_a_text_is_written(template: Any, becomes: Any) -> None:
    made = filled(template, GIVEN.__getitem__)

    assert made == becomes
    assert type(made) is type(becomes)


@pytest.mark.parametrize("template", ["{{known-later}}", "a {{number}} {{known-later}}"])
def test_what_is_not_known_yet_makes_its_text_unknown(template: str) -> None:
    assert isinstance(filled(template, GIVEN.__getitem__), Unknown)


def test_a_text_that_refers_to_something_stays_unknown() -> None:
    assert isinstance(filled(Unknown("$Secret{A} {{number}}"), GIVEN.__getitem__), Unknown)
    assert isinstance(filled(Unknown("$Secret{A}"), GIVEN.__getitem__), Unknown)


def test_what_is_missing_is_told_or_left_as_it_is_written() -> None:
    with pytest.raises(KeyError, match="nothing"):
        filled(["{{nothing}}"], GIVEN.__getitem__)
    assert filled("{{ nothing }}", lambda name: MISSING) == "{{ nothing }}"
    assert filled("{{nothing}}-{{x}}", {"nothing": MISSING, "x": 1}.__getitem__) == "{{nothing}}-1"


def test_each_placeholder_is_named_as_often_as_it_stands_there() -> None:
    template = {"{{key}}": "{{a}}", "b": ["{{ b }}", "{{a}}-{{b}}", 5], "c": {"d": "{x}"}}

    assert list(names_in(template)) == ["a", "b", "a", "b"]


def test_how_a_value_is_written_is_its_users() -> None:
    assert within("{{text}}!", GIVEN.__getitem__, lambda name, value: f"{name}={value}") == "text={{number}}!"
