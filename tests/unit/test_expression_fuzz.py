"""Whatever is written, it is a value or an ExpressionError, soon; what is escaped comes back as it was.

Texts are drawn from nothing but chance, from the signs of the grammar, and from expressions that are right and
then cut, doubled, or mixed. All is run as a dispatch and a run do it: checked, known before, resolved.
"""

from __future__ import annotations

import contextlib
import json
import re
import time
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from executors.expressions import (
    FUNCTIONS,
    OF_A_RUN,
    ExpressionError,
    InputScope,
    ScopeChain,
    SessionScope,
    StepsScope,
    Unknown,
    VariablesScope,
    budget,
    check_expressions,
    has_expressions,
    never_computable,
    parse,
    resolve,
    resolve_known,
    syntax,
)
from executors.expressions.finding import MAX_TERMS
from executors.expressions.kinds import FORMS, IN_A_FEATURE
from executors.expressions.terms import size_of

NOW = datetime(2026, 1, 31, tzinfo=UTC)
SECONDS = 2.0  # for one text of a few hundred characters, on a busy machine

JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**20), 10**20) | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(["a", "b", "[0]", "é"]), inner, max_size=4),
    max_leaves=12,
)  # fmt: skip
QUOTED = st.builds(
    lambda text, quote: quote + text.replace("\\", "\\\\").replace(quote, "\\" + quote) + quote,
    st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00"), max_size=12),
    st.sampled_from("'\""),
)
NUMBERS = st.integers(-1000, 1000).map(str) | st.sampled_from(["0.5", "-1.25", "999999999999999999"])
REFERENCES = st.one_of(
    st.sampled_from(
        ["$Input{a}", "$Input{b}{0}", "$Step{a}{[0]}", "$Sequence{main}{b}", "$Session{s}{a}", "$Session{a}"]
    ),
    st.sampled_from([f"$Var({name})" for name in OF_A_RUN] + ["$Now", "$Default", "$Secret{KEY}", "$Auth{a}"]),
)
OPERATORS = st.sampled_from([f"'{operator}'" for operator in (">", "<", ">=", "<=", "==", "!==", "~")])
UNITS = st.sampled_from(["'days'", "'MMM D, YYYY [at] hh:mm A'", "'Europe/Paris'", "'month'", "','", "''"])
WORDS = st.sampled_from(["true", "false", "null"])


def _calls(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    return st.one_of(
        st.builds(
            lambda name, arguments: f"${name}({', '.join(arguments)})",
            st.sampled_from([*FUNCTIONS, "Nope"]),
            st.lists(inner, min_size=0, max_size=3),
        ),
        st.builds(lambda a, operator, b: f"$Filter({a}, {operator}, {b})", inner, OPERATORS, inner),
        st.builds(lambda members: f"[{', '.join(members)}]", st.lists(inner, max_size=4)),
        st.builds(lambda names, member: "{" + ",".join(f"{n}: {member}" for n in names) + "}", st.lists(WORDS), inner),
        st.builds(lambda name, member: f"${name}{{{member}}}", st.sampled_from(["Size", "Length"]), inner),
    )


TERMS = st.recursive(QUOTED | NUMBERS | REFERENCES | OPERATORS | UNITS | WORDS, _calls, max_leaves=15)
EXPRESSIONS = _calls(TERMS) | REFERENCES
SIGNS = st.text(alphabet="$SecretNowVarInputAddJoin{}()[]',\":\\ -10.a\n", max_size=80)


@st.composite
def mutated(draw: st.DrawFn) -> str:
    """Expressions that were right, and were then damaged."""
    text = draw(EXPRESSIONS)
    for _ in range(draw(st.integers(0, 4))):
        at = draw(st.integers(0, len(text)))
        to = draw(st.integers(at, min(len(text), at + 8)))
        kind = draw(st.sampled_from(["cut", "put", "twice", "swap"]))
        if kind == "cut":
            text = text[:at] + text[to:]
        elif kind == "put":
            text = text[:at] + draw(SIGNS)[:8] + text[at:]
        elif kind == "twice":
            text = text[:to] + text[at:to] + text[to:]
        else:
            text = text[to:] + text[:at]
    return text


def scope(value: Any) -> ScopeChain:
    return ScopeChain(
        InputScope({"a": value, "b": [value]}),
        StepsScope({"a": [value], "b": value}),
        SessionScope("s", {"a": value}),
        VariablesScope(dict.fromkeys(OF_A_RUN, value)),
    )


def resolved(text: str, value: Any) -> tuple[Any, tuple[str | int, ...] | None]:
    """What the text became, or where the error says that it is."""
    try:
        return resolve({"x": [text]}, scope(value), now=NOW)["x"][0], None
    except ExpressionError as error:
        return None, error.path


def run(text: str, value: Any) -> None:
    """As a dispatch and a run do it."""
    began = time.process_time()
    found = check_expressions({"x": [text]}, "input", known=IN_A_FEATURE)
    assert found.found == has_expressions(text)
    for error in found.errors:
        assert error.field == "input.x.0"
        assert re.match(r"at offset \d+: ", error.detail)
    if not found.errors:
        for told in never_computable({"x": [text]}, "input", now=NOW):
            assert told.field == "input.x.0"
        known = resolve_known({"x": [text]}, now=NOW)["x"][0]
        found_by_run, path = resolved(text, value)
        if path is not None:
            assert path == ("x", 0)
            assert isinstance(known, Unknown)  # what is known before a run is what the run finds
        else:
            json.dumps(found_by_run)
            assert isinstance(known, Unknown) or known == found_by_run
    assert time.process_time() - began < SECONDS


many = settings(max_examples=1000, deadline=None, suppress_health_check=list(HealthCheck))


@many
@given(st.text(max_size=200), JSON)
def test_a_text_of_chance_is_a_value_or_an_error(text: str, value: Any) -> None:
    run(text, value)


@many
@given(SIGNS, JSON)
def test_a_text_of_the_grammars_signs_is_a_value_or_an_error(text: str, value: Any) -> None:
    run("$Concat([" + text, value)
    run(text, value)


@many
@given(EXPRESSIONS, JSON)
def test_an_expression_is_a_value_or_an_error(text: str, value: Any) -> None:
    run(text, value)


@many
@given(mutated(), JSON)
def test_a_damaged_expression_is_a_value_or_an_error(text: str, value: Any) -> None:
    run(text, value)


@given(st.text(max_size=40), EXPRESSIONS, st.text(max_size=40))
def test_what_is_escaped_comes_back_as_it_was(before: str, expression: str, after: str) -> None:
    text = before + expression + after
    escaped = re.sub(r"\$+(?=[A-Z][A-Za-z0-9]*[({]|(?:Now|Default)(?![A-Za-z0-9_]))", lambda m: m[0] * 2, text)

    assert check_expressions([escaped], "input")[1:] == ([], [])
    assert resolve([escaped], scope(None), now=NOW) == [text]


@given(
    st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00"), max_size=60), st.sampled_from("'\"")
)
def test_a_text_in_either_quotes_comes_back_as_it_was(text: str, quote: str) -> None:
    quoted = quote + text.replace("\\", "\\\\").replace(quote, "\\" + quote) + quote

    assert resolve(f"$Concat([{quoted}])", scope(None), now=NOW) == text
    assert resolve(f"$Concat([{json.dumps(text)}])", scope(None), now=NOW) == text


@given(JSON)
def test_a_value_comes_through_a_reference_and_through_its_text_as_it_was(value: Any) -> None:
    assert resolve("$Input{a}", scope(value), now=NOW) == value
    if value is None or isinstance(value, (dict, list)):
        assert json.loads(resolve(" $Input{a} ", scope(value), now=NOW)) == value


@given(st.lists(st.text("ab,", max_size=5), min_size=1, max_size=6))
def test_what_is_joined_is_split_again(texts: list[str]) -> None:
    held = ScopeChain(InputScope({"a": texts}))
    assert resolve("$Split($Concat($Input{a}, '|'), '|')", held, now=NOW) == texts


@given(st.lists(st.integers(-(10**9), 10**9) | st.decimals(-1000, 1000, places=3).map(float), min_size=1, max_size=6))
def test_what_is_added_is_taken_away_again(numbers: list[float]) -> None:
    held = ScopeChain(InputScope({"a": numbers}))
    terms = ", ".join(f"$Input{{a}}{{{index}}}" for index in range(len(numbers)))
    assert resolve(f"$Subtract($Add({terms}), {terms})", held, now=NOW) == 0


@given(st.lists(st.integers(0, 5)), st.sampled_from([(">", "<="), ("<", ">="), ("==", "!==")]), st.integers(0, 5))
def test_an_operator_and_its_opposite_part_a_list(members: list[int], pair: tuple[str, str], value: int) -> None:
    held = ScopeChain(InputScope({"a": members}))
    one, other = (resolve(f"$Filter($Input{{a}}, '{sign}', {value})", held, now=NOW) for sign in pair)
    assert sorted(one + other) == sorted(members)


# --- Budgets ---------------------------------------------------------------------------------


def test_an_expression_has_a_greatest_depth_and_length() -> None:
    def nested(depth: int) -> str:
        return "$Trim(" * depth + "'a'" + ")" * depth

    assert resolve(nested(syntax.DEEPEST), scope(None), now=NOW) == "a"
    with pytest.raises(ExpressionError, match=r"at offset 126: .* nested too deeply: 20 levels"):
        parse(nested(syntax.DEEPEST + 1))
    assert len(parse("$Trim('" + "a" * (syntax.LONGEST - 9) + "')")) == 1
    with pytest.raises(ExpressionError, match="too long: 10000 characters"):
        parse("$Trim('" + "a" * (syntax.LONGEST - 8) + "')")


def test_a_text_and_an_input_have_a_greatest_number_of_terms() -> None:
    assert len(parse("$Now" * syntax.MAX_TERMS)) == syntax.MAX_TERMS
    with pytest.raises(ExpressionError, match="more than 10000"):
        parse("$Now" * (syntax.MAX_TERMS + 1))

    most = ["$Trim(' a ')"] * (MAX_TERMS // 2)
    assert size_of(parse(most[0])[0]) == 2
    assert check_expressions(most, "input").errors == []
    (error,) = check_expressions([*most, "$Now"], "input").errors
    assert "more than 20000 references, functions and values" in error.detail


@pytest.mark.parametrize(
    "text",
    [
        "$Replace($Input{a}, 'a', $Input{a})",
        "$Concat([$Input{a}, $Input{a}, $Input{a}, $Input{a}, $Input{a}])",
        "$Concat($Split($Input{a}, ''), $Input{a})",
        "$Input{a}$Input{a}$Input{a}$Input{a}$Input{a}",
        "$Uppercase($Input{a})" * 5,
    ],
)
def test_what_is_put_in_has_a_greatest_length(text: str) -> None:
    held = ScopeChain(InputScope({"a": "a" * 1_000_000}))
    began = time.process_time()
    with pytest.raises(ExpressionError, match=r"longer than 4194304 characters|more than 500000 steps"):
        resolve(text, held, now=NOW)
    assert time.process_time() - began < SECONDS


@pytest.mark.parametrize(
    "text",
    [
        "$Length($Filter($Input{a}, '==', 1))" * 60,
        "$Length($Join([" + ", ".join(["$Input{a}"] * 60) + "]))",
        "$Find($Input{b}, '==', 'x')",
        "$Length($Trim($Input{c}))" * 40,
        "$Length($Filter($Input{d}, '==', $Input{d}))" * 60,
    ],
)
def test_what_is_computed_has_a_greatest_number_of_steps(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    many = list(range(20_000))
    held = ScopeChain(
        InputScope(
            {"a": many, "b": [dict.fromkeys(map(str, range(1000)), 1)] * 1001, "c": "c" * 2_000_000, "d": [many]}
        )
    )
    began = time.process_time()
    with pytest.raises(ExpressionError, match="more than 500000 steps"):
        resolve(text, held, now=NOW)
    assert time.process_time() - began < SECONDS


LONG = {
    "text": "a" * 4_000_000, "same": "".join(["a"] * 4_000_000), "digits": "9" * 4_000_000, "spaces": " " * 4_000_000,
    "list": ["a" * 4_000_000],
}  # fmt: skip


@pytest.mark.parametrize(
    "each",
    [
        "$Replace($Input{text}, 'a', '')", "$Length($Split($Input{text}, 'b'))", "$Pick($Input{text}, 0)",
        "$Substring($Input{text}, 0, 1)", "$Length($Trim($Input{spaces}))", "$Filter([$Input{text}], '==', $Input{same})",
        "$Filter([$Input{text}], '>', $Input{same})", "$Filter([$Input{spaces}], '==', 1)",
        "$Filter([$Input{digits}], '==', 1)", "$Filter([$Input{list}], '==', [$Input{same}])",
        "$Filter([{a: $Input{text}}], '==', $Input{same})", "$Add($Input{digits}, 1)", "$Add($Input{spaces}, 1)",
        "$Format($Input{digits}, 'D')", "$Format($Input{text}, 'D')", "$Format(0, $Input{text})",
        "$Format(0, 'D', $Input{text})", "$DateAdd($Input{digits}, 1, 'day')", "$DateAdd(0, $Input{digits}, 'day')",
        "$DateAdd(0, 1, $Input{text})", "$Concat([''], $Input{text})", "$Size($Input{text})", "$Pick($Input{text}, $Input{digits})",
        "$Length($Uppercase($Input{text}))", "$Find([$Input{text}], $Input{text}, 1)",
    ],
)  # fmt: skip
def test_many_functions_of_a_long_text_end_soon(each: str) -> None:
    """As many as a dispatch takes; whether that is past the budget or not."""
    held = ScopeChain(InputScope(LONG))
    one = f"$Length([{', '.join([each] * 150)}])"
    texts = [one] * (MAX_TERMS // size_of(parse(one)[0]))
    began = time.process_time()
    with contextlib.suppress(ExpressionError):
        resolve(texts, held, now=NOW)
    assert time.process_time() - began < SECONDS


def test_what_is_computed_before_a_run_has_one_budget() -> None:
    texts = ["$Length($Replace('" + "a" * 1000 + "', 'a', '" + "b" * 4000 + "'))"] * 200
    assert check_expressions(texts, "input").errors == []
    began = time.process_time()
    told = never_computable(texts, "input", now=NOW)
    assert time.process_time() - began < SECONDS
    assert len(told) == 20
    assert "more than 500000 steps" in told[0].detail


def test_a_text_of_escaped_expressions_costs_its_length() -> None:
    text = "$$Now()" * 150_000
    began = time.process_time()
    assert resolve([text], scope(None), now=NOW) == [text.replace("$$", "$")]
    assert time.process_time() - began < SECONDS


def test_what_is_put_in_has_a_greatest_depth() -> None:
    deep: Any = 1
    for _ in range(budget.MAX_DEPTH):
        deep = [deep]
    assert resolve("$Input{a}", ScopeChain(InputScope({"a": deep})), now=NOW) == deep
    for _ in range(100_000):
        deep = [deep]
    for text in ("$Input{a}", "is $Input{a}", "$Concat([$Input{a}])", "$Filter([$Input{a}], '==', $Input{a})"):
        with pytest.raises(ExpressionError, match="more than 100 deep"):
            resolve(text, ScopeChain(InputScope({"a": deep})), now=NOW)


def test_long_texts_are_not_remembered() -> None:
    before = syntax._remembered.cache_info().currsize
    parse("$Now " + "a" * 5000)
    assert syntax._remembered.cache_info().currsize == before
    assert len(FORMS) == 8


def test_an_input_without_expressions_is_looked_through_quickly() -> None:
    """A hundred thousand fields: the walk is what it was before there were functions."""
    value = {f"f{n}": {"text": "no $ here", "n": n, "list": ["a", 1]} for n in range(30_000)}
    began = time.process_time()
    assert not has_expressions(value)
    assert time.process_time() - began < 0.5
