"""Secrets in what a run tells: every form of one is replaced, a short one where it stands alone, and the
beginning of one that was cut off at the end."""

from __future__ import annotations

import base64
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from core.errors import Invalid
from core.http import HttpResponse
from executors.base import Failed, longest_first, redacted, redacted_message, redacted_value
from executors.catalog.schema import read_document
from executors.catalog.sealed import secret_forms
from executors.exchange.answers import failed_answer, result_of
from executors.namespaces.component import without_secrets

SECRET = "Tr0ub4dor-and-3"


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


SIGNS = "wJalrXUtnFEMI/K7 RfiCY&<KEY>é"
WRITTEN = {
    "as it is": SIGNS,
    "as JSON": r"wJalrXUtnFEMI/K7 RfiCY&<KEY>\u00e9",
    "as PHP writes JSON": r"wJalrXUtnFEMI\/K7 RfiCY&<KEY>\u00e9",
    "as Go writes JSON": r"wJalrXUtnFEMI/K7 RfiCY\u0026\u003cKEY\u003eé",
    "percent-encoded": "wJalrXUtnFEMI%2FK7%20RfiCY%26%3CKEY%3E%C3%A9",
    "as a form": "wJalrXUtnFEMI%2FK7+RfiCY%26%3CKEY%3E%C3%A9",
    "in HTML": "wJalrXUtnFEMI/K7 RfiCY&amp;&lt;KEY&gt;é",
}


@pytest.mark.parametrize("written", WRITTEN)
def test_a_secret_is_replaced_in_a_text_however_that_is_written(written: str) -> None:
    assert redacted(f"it said {WRITTEN[written]}.", secret_forms([SIGNS])) == "it said ***."


def test_a_secret_without_signs_is_looked_for_once() -> None:
    assert secret_forms(["wJalrXUtnFEMI-K7.R_f"]) == ("wJalrXUtnFEMI-K7.R_f",)


def answer(body: bytes, content_type: str, *, truncated: bool = False) -> HttpResponse:
    return HttpResponse(status=500, reason="", headers={"content-type": content_type}, body=body, truncated=truncated)


@pytest.mark.parametrize("secret", [SIGNS, "a+b/c=d", 'quo"ted\\back'])
def test_a_secret_is_replaced_in_values_whatever_escapes_they_were_written_with(secret: str) -> None:
    escaped = "".join(f"\\u{ord(sign):04X}" for sign in secret)
    response = answer(f'{{"k": "<{escaped}>", "{escaped}": 1}}'.encode(), "application/json")
    forms = secret_forms([secret])

    assert result_of(response, forms)["body"] == {"k": "<***>", "***": 1}
    for kept in (replace(response, truncated=True), replace(response, headers={"content-type": "text/plain"})):
        assert result_of(kept, forms)["body"] == '{"k": "<***>", "***": 1}'
    failed = failed_answer("it", response, now=datetime.now(UTC), redact=lambda text: redacted(text, forms))
    assert failed.message == 'it answered 500: {"k": "<***>", "***": 1}'


@pytest.mark.parametrize(
    ("body", "truncated", "kept"),
    [
        (b"\x00Tr0ub4dor-and-3\xff", False, b"\x00***\xff"),
        (b"\x00Tr0ub4dor-an", True, b"\x00***"),
        (b"\x00Tr0ub4dor-an", False, b"\x00Tr0ub4dor-an"),
    ],
)
def test_a_secret_is_replaced_in_bytes_before_they_are_told_in_base64(
    body: bytes, truncated: bool, kept: bytes
) -> None:
    told = result_of(answer(body, "application/octet-stream", truncated=truncated), (SECRET,))["body"]

    assert base64.b64decode(told["base64"]) == kept
    assert told["size"] == len(body)
