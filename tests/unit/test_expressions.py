"""What begins like an expression is told apart from plain text, and stands for what it says."""

from __future__ import annotations

import re
import time
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.times import to_ms
from executors.expressions import (
    ExpressionError,
    Expressions,
    Moment,
    Reference,
    Unknown,
    budget,
    check_expressions,
    has_expressions,
    is_only_a_reference,
    never_computable,
    open_references,
    parse,
    references_in,
    resolve,
    resolve_known,
)

NOW = datetime(2026, 1, 31, 12, 0, 0, 500_000, tzinfo=UTC)
NOW_MS = to_ms(NOW)
DAY = 86_400_000


class Values:
    """A scope of three values."""

    held = {
        Reference("Secret", ("KEY",)): "s3cret",
        Reference("Variable", ("mail", "region")): "$Secret{KEY}",
        Reference("Constant", ("mail", "limit")): 5,
    }

    def value_of(self, reference: Reference) -> Any:
        if reference not in self.held:
            raise ExpressionError(f"{reference} is nothing")
        return self.held[reference]


def check(value: Any) -> Expressions:
    return check_expressions(value, "input")


def resolved(value: Any) -> Any:
    return resolve(value, Values(), now=NOW)


@pytest.mark.parametrize("text", ["$Now()", "$DateAdd($Now(), -30, 'days')", "$Secret{KEY}", "Bearer $Secret{KEY}"])
def test_an_expression_is_found_wherever_it_stands(text: str) -> None:
    for value in (text, {"a": text}, {"a": [1, {"b": text}]}):
        assert has_expressions(value)
        assert check(value).errors == []
    (error,) = check({text: 1}).errors
    assert (error.field, error.code) == (f"input.{text}", "expression_unsupported")


@pytest.mark.parametrize(
    ("text", "sent"),
    [
        ("$$Now()", "$Now()"),
        ("$$Session{user}{id}", "$Session{user}{id}"),
        ("a $$Concat( and $Now()", f"a $Concat( and {NOW_MS}"),
        ("$$$Now()", f"${NOW_MS}"),
        ("$$$$Now()", "$$Now()"),
        ("$$$$$Constant{mail}{limit}", "$$5"),
        ("$$DateAdd($Now(), 1, 'day')", f"$DateAdd({NOW_MS}, 1, 'day')"),
        ("$$Now()$$Now()", "$Now()$Now()"),
        ("$$ and $$now() and $$Nowhere", "$$ and $$now() and $$Nowhere"),
        ("$$Now and $$Default", "$Now and $Default"),
    ],
)
def test_two_dollars_before_what_begins_like_an_expression_are_a_plain_one(text: str, sent: str) -> None:
    assert check({"a": [text]}).errors == []
    assert resolved({"a": [text]}) == {"a": [sent]}


def test_a_fields_name_may_be_escaped_too() -> None:
    assert check({"$$Now()": 1}).errors == []
    assert resolved({"$$Now()": {"$$Secret{KEY}": "$Now()"}}) == {"$Now()": {"$Secret{KEY}": NOW_MS}}
    (error,) = check({"$$Now() $Now()": 1}).errors
    assert error.code == "expression_unsupported"


def test_the_catalogs_texts_are_escaped_alike() -> None:
    assert open_references("$$Secret{KEY} is $Secret{KEY}", Values()) == "$Secret{KEY} is s3cret"
    assert references_in("$$Secret{KEY} and $$Now()") == []
    assert not is_only_a_reference("$$Secret{KEY}")


@given(st.text(alphabet="$SecretNow{}()', 1a", max_size=40))
def test_any_text_can_be_sent_as_it_is(text: str) -> None:
    escaped = re.sub(r"\$+(?=[A-Z][A-Za-z0-9]*[({]|(?:Now|Default)(?![A-Za-z0-9_]))", lambda match: match[0] * 2, text)

    assert check([escaped])[1:] == ([], [])
    assert resolved([escaped]) == [text]


def test_many_dollars_cost_their_length() -> None:
    for text in ("$" * 1_000_000, "$" * 1_000_000 + "Now()", "$A" * 500_000):
        began = time.process_time()
        resolved([text])
        assert time.process_time() - began < 2


@pytest.mark.parametrize(
    "text", ["", "5 $", "$5.00", "US$ {a}", "$price", "$(a)", "${HOME}", "{{name}}", "$now()", "$Nowhere", "$$", "a$"]
)
def test_plain_text_is_left_alone(text: str) -> None:
    assert not has_expressions({"a": text})
    assert resolved({"a": [text]}) == {"a": [text]}


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("$Input{a}{b}", "$Input{a}{b} can have no value in an input: only in a feature"),
        ("$Trim($Step{a})", "at offset 9: $Step{a} can have no value in an input: only in a feature"),
        ("$Default", "$Default can have no value in an input: write the value itself"),
        ("$Response{a}", "at offset 3: $Response{…} is not supported"),
        ("$Round(1)", "at offset 3: $Round(…) is not supported"),
        ("$Secrets{KEY}", "did you mean $Secret?"),
        ("$Nwo()", "did you mean $Now?"),
        ("$Secret{}", "is not the key of a secret"),
        ("$Secret{a b}", "is not the key of a secret"),
        ("$Secret{A}{B}", "must be $Secret{KEY}"),
        ("$Variable{key}", "must be $Variable{app}{key}"),
        ("$Secret{A", "is not an expression"),
        ("$Now(1)", "takes 0 arguments, 1 are given"),
        ("$Now(", "is not an expression"),
        ("$DateAdd($Now(), 1)", "takes 3 arguments, 2 are given"),
        ("$DateAdd($Now(), 1, 'dayz')", "did you mean 'day'?"),
        ("$DateAdd($Now(), 'one', 'days')", "must be a number, not 'one'"),
        ("$DateAdd($Now(), 1, 5)", "must be a text in quotes"),
        ("$DateAdd('tomorrow', 1, 'days')", "the time of $DateAdd"),
        ("$DateAdd($Now() 1, 'days')", "a comma or a bracket is missing"),
        ("$DateAdd(" * 30, "is nested too deeply"),
        ("$DateAdd($Now(), 1, '" + "d" * 20_000 + "')", "is too long"),
    ],
)
def test_what_is_not_understood_is_refused_with_its_place(text: str, told: str) -> None:
    (error,) = check({"body": {"at": ["x", f"so {text}"]}}).errors

    assert error.field == "input.body.at.1"
    assert told in error.detail
    assert error.code in ("expression_unsupported", "expression_invalid")


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("$Now()", NOW_MS),
        ("$Now( )", NOW_MS),
        ("at $Now()!", f"at {NOW_MS}!"),
        ("$DateAdd($Now(), -30, \"days\")", NOW_MS - 30 * DAY),
        ("$DateAdd($Now(), 1.5, 'hours')", NOW_MS + 5_400_000),
        ("$DateAdd($Now(), 1, 'month')", to_ms(datetime(2026, 2, 28, 12, 0, 0, 500_000, tzinfo=UTC))),
        ("$DateAdd($Now(), -1, 'years')", to_ms(datetime(2025, 1, 31, 12, 0, 0, 500_000, tzinfo=UTC))),
        ("$DateAdd($DateAdd($Now(), 1, 'Weeks'), 250, 'ms')", NOW_MS + 7 * DAY + 250),
        ("$DateAdd('2026-01-01T00:00:00Z', 1, 'days')", to_ms(datetime(2026, 1, 2, tzinfo=UTC))),
        ("$DateAdd(0, 1, 'second')", 1000),
        ("$DateAdd($Now(), $Constant{mail}{limit}, 'minutes')", NOW_MS + 300_000),
        ("$Secret{KEY}", "s3cret"),
        ("Bearer $Secret{KEY}$Secret{KEY}", "Bearer s3crets3cret"),
        ("$Variable{mail}{region}", "$Secret{KEY}"),
        ("$Constant{mail}{limit}", 5),
        ("n=$Constant{mail}{limit}", "n=5"),
    ],
)  # fmt: skip
def test_an_expression_stands_for_its_value(text: str, value: Any) -> None:
    assert resolved({"a": [text]}) == {"a": [value]}


def test_a_time_is_known_as_one() -> None:
    assert isinstance(resolved("$Now()"), Moment)
    assert isinstance(resolved("$DateAdd($Now(), 1, 'days')"), Moment)


@pytest.mark.parametrize(
    "text",
    [
        "$DateAdd($Secret{KEY}, 1, 'days')",
        "$DateAdd($Now(), $Secret{KEY}, 'days')",
        "$DateAdd($Now(), 1, $Secret{KEY})",
        "$Secret{NOPE}",
    ],
)
def test_what_cannot_be_computed_is_told(text: str) -> None:
    assert check(text).errors == []
    with pytest.raises(ExpressionError):
        resolved(text)


@pytest.mark.parametrize(
    "text",
    [
        "$DateAdd($Now(), 99999999999, 'days')",
        "$DateAdd($Now(), 999999999, 'years')",
        "$DateAdd($Now(), -999999999, 'days')",
        "$DateAdd($DateAdd(0, 1, 'day'), -2, 'days')",
        "$DateAdd('9999-12-31T00:00:00Z', 1, 'month')",
    ],
)
def test_what_no_run_could_compute_is_told_before_there_is_one(text: str) -> None:
    assert check(text).errors == []
    (error,) = never_computable({"a": f"at {text}"}, "input", now=NOW)

    assert (error.field, error.code) == ("input.a", "expression_invalid")
    assert "cannot be computed" in error.detail


def test_what_a_later_run_may_compute_is_left_to_it() -> None:
    for text in ("$DateAdd($Now(), -57, 'years')", "$DateAdd($Secret{KEY}, 1, 'day')", "$Secret{NOPE}", "$$Now()"):
        assert never_computable([text], "input", now=NOW) == []


def test_what_refers_to_nothing_is_known_before_a_run() -> None:
    a, b, c = resolve_known(["$$Now()", "$DateAdd(0, 1, 'sec')", "x $Secret{KEY}"], now=NOW)
    assert (a, b, c) == ("$Now()", 1000, "x $Secret{KEY}")
    assert (isinstance(a, Unknown), isinstance(c, Unknown)) == (False, True)

    known = resolve_known({"$$Now()": "$DateAdd($Now(), -57, 'years')"}, now=NOW)
    assert isinstance(known["$Now()"], Unknown)


def test_references_cannot_blow_an_input_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(budget, "MAX_RESOLVED_CHARACTERS", 60)

    assert resolved(["$Secret{KEY}"] * 10) == ["s3cret"] * 10
    with pytest.raises(ExpressionError, match="longer than 60 characters"):
        resolved(["$Secret{KEY}"] * 11)


def test_references_in_the_catalog_are_opened_once_and_their_values_not_looked_into() -> None:
    assert open_references("x-$Variable{mail}{region}-$Secret{KEY}", Values()) == "x-$Secret{KEY}-s3cret"
    assert open_references("plain", Values()) == "plain"
    with pytest.raises(ExpressionError, match="in an input only"):
        open_references("$Now()", Values())


def test_the_references_of_a_text_are_listed() -> None:
    assert [str(found) for found in references_in("https://$Secret{HOST}/$Constant{mail}{v.1}")] == [
        "$Secret{HOST}",
        "$Constant{mail}{v.1}",
    ]
    for wrong in ("$Secret{}", "$Secret{a b}", "$Now()", "$Secret{A$Now()}"):
        with pytest.raises(ExpressionError):
            references_in(wrong)


def test_a_bare_reference_hides_nothing() -> None:
    assert is_only_a_reference("$Secret{KEY}")
    assert not is_only_a_reference("abc$Secret{KEY}")
    assert not is_only_a_reference("$Now()")


@given(st.text(alphabet="$SecretNowDadt{}()',\" -1a", max_size=60))
def test_any_text_is_parsed_or_refused(text: str) -> None:
    try:
        parts = parse(text)
    except ExpressionError:
        return
    plain = [part for part in parts if isinstance(part, str)]
    assert all(part in text for part in plain if "$" not in part)
    assert has_expressions(text) == (list(parts) != ([text] if text else []))
