"""Placeholders of messages, and the text that stands beside an HTML page."""

from __future__ import annotations

import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from executors.providers.notification.templates import filled, filled_html, filled_value, text_of


@pytest.mark.parametrize(
    ("template", "values", "expected"),
    [
        ("Hi {{name}}", {"name": "Ann"}, "Hi Ann"), ("Hi {{ name }}!", {"name": "Ann"}, "Hi Ann!"),
        ("Hi {{name}}", {}, "Hi {{name}}"), ("Hi {name}", {"name": "Ann"}, "Hi {name}"), ("{{n}}", {"n": 5}, "5"),
        ("{{on}}", {"on": True}, "true"), ("[{{none}}]", {"none": None}, "[]"), ("{{l}}", {"l": [1, "a"]}, '[1,"a"]'),
        ("{{a.b}}", {"a": {"b": 1}}, "1"), ("{{a.b}}", {"a.b": 2, "a": {"b": 1}}, "2"), ("{{a.c}}", {"a": {"b": 1}}, "{{a.c}}"),
        ("{{a}}{{b}}", {"a": "{{b}}", "b": "x"}, "{{b}}x"), ("{{a", {"a": 1}, "{{a"), ("{{a}}", {"a": r"\1"}, r"\1"),
        ("$5 {{a}}", {"a": "$Secret{X}"}, "$5 $Secret{X}"), ("$$Now() {{a}}", {"a": 1}, "$Now() 1"),
    ],
)  # fmt: skip
def test_placeholders_are_filled_once(template: str, values: dict[str, Any], expected: str) -> None:
    assert filled(template, values) == expected


def test_a_value_is_text_in_html_never_markup() -> None:
    values = {"name": "<script>alert('x')</script>&\""}

    assert filled_html('<p title="{{name}}">{{name}}</p>', values) == (
        '<p title="{0}">{0}</p>'.format("&lt;script&gt;alert(&#x27;x&#x27;)&lt;/script&gt;&amp;&quot;")
    )


def test_a_placeholder_that_is_the_whole_text_keeps_its_values_type() -> None:
    template = {"n": "{{n}}", "text": "n={{n}}", "{{k}}": ["{{list}}"], "left": "{{left}}", "fixed": 1}

    assert filled_value(template, {"n": 5, "list": [1], "k": "key"}) == {
        "n": 5, "text": "n=5", "key": [[1]], "left": "{{left}}", "fixed": 1,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("html", "text"),
    [
        ("<p>Due <b>Monday</b></p>", "Due Monday\n"), ("a<br>b<br/>c", "a\nb\nc\n"), ("&lt;1 &amp; 2&gt;", "<1 & 2>\n"),
        ("<style>p {}</style><script>x()</script><p>a</p>", "a\n"), ("<ul><li>a<li>b</ul>", "- a\n- b\n"),
        ('<a href="https://x.example/y">Open</a>', "Open (https://x.example/y)\n"),
        ('<a href="https://x.example">https://x.example</a>', "https://x.example\n"),
        ("<!-- no --><P>a</P><!DOCTYPE x>", "a\n"), ("1 < 2 <3", "1 < 2 <3\n"), ("a<!-- never ends", "a\n"), ("a<p", "a\n"),
        ("<a href='/here'>b</a><a HREF=https://y.example>c</a>", "bc (https://y.example)\n"),
        ("<p>a</p>\n\n\n<p>b</p>", "a\n\nb\n"), ("<p>unclosed <b>text", "unclosed text\n"), ("", "\n"),
    ],
)  # fmt: skip
def test_a_page_is_told_in_plain_text(html: str, text: str) -> None:
    assert text_of(html) == text


@pytest.mark.parametrize(
    "piece", ["<a ", "<!", "<!--", "</", "<", "&", "<a href='", "<script>", "<a href=https://x>", "{{ ", " ", "\n"]
)
def test_a_page_costs_its_length(piece: str) -> None:
    page = piece * (200_000 // len(piece))
    began = time.process_time()

    text_of(filled_html(page, {}))

    assert time.process_time() - began < 2.0  # seconds; a thousandth of what looking again and again would take


@given(
    st.text(max_size=200), st.dictionaries(st.text(max_size=5), st.none() | st.booleans() | st.integers() | st.text())
)
def test_any_value_and_any_page_are_taken(template: str, values: dict[str, Any]) -> None:
    text_of(filled_html("{{a}}" + template.replace("$", ""), {"a": template, **values}))
