"""The formats of JSON Schema that are checked: what they take, what not, and that no text costs much."""

from __future__ import annotations

import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from executors.catalog.formats import CHECKED, FORMATS

RIGHT = {
    "email": ["a@b.c", "john.o'neil+x@example.co.uk", "a@localhost", '"a b"@example.org', "a@[127.0.0.1]", "a@[IPv6:::1]"],
    "date": ["2026-02-28", "2024-02-29", "0001-01-01"],
    "time": ["00:00:00Z", "23:59:60Z", "15:59:60-08:00", "08:30:06.283185+02:00", "12:00:00z"],
    "date-time": ["2026-11-25T21:00:00Z", "1985-04-12T23:20:50.52Z", "1990-12-31T15:59:60-08:00", "1937-01-01t12:00:27.87+00:20"],
    "uri": ["https://a.example/b?c=d#e", "mailto:a@b.c", "urn:isbn:0451450523", "http://[::1]:8000/%C3%BC", "tel:+1-816"],
    "uuid": ["2eb8aa08-aa98-11ea-b4aa-73b441d16380", "2EB8AA08-AA98-11EA-B4AA-73B441D16380"],
    "ipv4": ["127.0.0.1", "255.255.255.255"],
    "ipv6": ["::1", "2001:db8::ff00:42:8329", "::ffff:192.0.2.1"],
    "hostname": ["example.org", "localhost", "xn--mnchen-3ya.de", "1.example", "a" * 63 + ".x"],
}  # fmt: skip
WRONG = {
    "email": ["", "a", "@b.c", "a@", "a b@c.d", "a@b..c", ".a@b.c", "a@b@c.d", "a@-b.c", "a@[300.0.0.1]", "ü@b.c", "a@b.c\n"],
    "date": ["2026-02-29", "2026-2-1", "26-02-01", "2026-13-01", "2026-02-01T00:00:00Z", "２026-02-01", "2026-W01-1", "20260201"],
    "time": ["12:00:00", "24:00:00Z", "12:00Z", "12:00:60Z", "23:59:61Z", "22:59:60-08:00", "12:00:00+24:00", "12:00:00.Z"],
    "date-time": ["2026-11-25", "2026-11-25 21:00:00Z", "2026-11-25T21:00:00", "2026-02-30T00:00:00Z", "tomorrow", ""],
    "uri": ["", "a.example/b", "//a.example", "http://a b", "http://a/ü", "http://a/%zz", "http://[::1", "http://a:port/", "http://a\\b"],
    "uuid": ["", "2eb8aa08aa9811eab4aa73b441d16380", "2eb8aa08-aa98-11ea-b4aa-73b441d1638", "{2eb8aa08-aa98-11ea-b4aa-73b441d16380}"],
    "ipv4": ["", "127.0.0", "256.0.0.1", "01.2.3.4", "0x7f.0.0.1", "127.0.0.1/8", "١.1.1.1"],
    "ipv6": ["", "1.2.3.4", "::1%eth0", ":::1", "12345::", "[::1]"],
    "hostname": ["", "-a.example", "a_b.example", "a..b", "a.example.", "a" * 64, "ü.example", "a." * 127 + "aa"],
}  # fmt: skip


def is_right(value: Any, name: str) -> bool:
    return bool(Draft202012Validator({"format": name}, format_checker=FORMATS).is_valid(value))


@pytest.mark.parametrize("name", sorted(CHECKED))
def test_a_format_takes_what_its_standard_says(name: str) -> None:
    assert [text for text in RIGHT[name] if not is_right(text, name)] == []
    assert [text for text in WRONG[name] if is_right(text, name)] == []


@pytest.mark.parametrize("name", sorted(CHECKED))
def test_a_format_says_nothing_of_what_is_no_text(name: str) -> None:
    others: list[Any] = [None, 5, 1.5, True, [], {"a": 1}]

    assert all(is_right(value, name) for value in others)


def test_any_other_format_is_a_note() -> None:
    assert is_right("anything", "password")
    assert is_right("(", "regex")


@pytest.mark.parametrize("name", sorted(CHECKED))
@given(text=st.text(max_size=40))
def test_any_text_is_answered(name: str, text: str) -> None:
    assert is_right(text, name) in (True, False)


@pytest.mark.parametrize("name", sorted(CHECKED))
@pytest.mark.parametrize("piece", ["a", "a.", "1", "a@", ":", "%", "%20", "-", "0:", '"\\', "["])
def test_a_long_text_costs_its_length(name: str, piece: str) -> None:
    began = time.process_time()
    for lead in ("", "http://", "12:00:00."):
        is_right(lead + piece * (200_000 // len(piece)) + "\x00", name)
    assert time.process_time() - began < 1
