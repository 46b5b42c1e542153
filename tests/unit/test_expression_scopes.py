"""References stand for what their scope holds, of any type; what is missing is told with its path."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Any

import pytest

from executors.expressions import (
    AuthScope,
    ExpressionError,
    InputScope,
    Reference,
    ScopeChain,
    SessionScope,
    StepsScope,
    Unknown,
    VariablesScope,
    check_expressions,
    resolve,
    resolve_known,
)
from executors.expressions.kinds import IN_A_FEATURE, IN_A_STEP_OF_AN_APP, IN_AN_INPUT

NOW = datetime(2026, 1, 31, tzinfo=UTC)

INPUT = {"email": "a@example.com", "a": {"b": [{"c": None}, "x"]}, "first name": "Ada", "0": "zero", "é.$": 1}
AUTH = AuthScope({"access_token": "t0ken", "keys": {"a": "k3y"}})
SCOPE = ScopeChain(
    InputScope(INPUT),
    StepsScope({"fetch": {"id": 7, "rows": [{"n": 1}, {"n": 2}]}, "list": [1, 2]}),
    SessionScope("user-session", MappingProxyType({"user": {"id": "u_1"}, "email": "s@example.com"})),
    AUTH,
    VariablesScope({"execution_count": 3, "attempt": 1}),
)


def value_of(text: str) -> Any:
    return resolve(text, SCOPE, now=NOW)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("$Input{email}", "a@example.com"),
        ("$Input{a}", {"b": [{"c": None}, "x"]}),
        ("$Input{a}{b}", [{"c": None}, "x"]),
        ("$Input{a}{b}{[1]}", "x"),
        ("$Input{a}{b}{1}", "x"),
        ("$Input{a}{b}{[0]}{c}", None),
        ("$Input{first name}", "Ada"),
        ("$Input{0}", "zero"),
        ("$Input{é.$}", 1),
        ("$Step{fetch}{rows}{[1]}{n}", 2),
        ("$Step{fetch}", {"id": 7, "rows": [{"n": 1}, {"n": 2}]}),
        ("$Step{list}{0}", 1),
        ("$Sequence{main}{fetch}{id}", 7),
        ("$Sequence{main}{list}", [1, 2]),
        ("$Session{user-session}{user}{id}", "u_1"),
        ("$Session{user}{id}", "u_1"),
        ("$Session{email}", "s@example.com"),
        ("$Session{user-session}", {"user": {"id": "u_1"}, "email": "s@example.com"}),
        ("$Auth{keys}{a}", "k3y"),
        ("$Var(execution_count)", 3),
        ("$Var('attempt')", 1),
        ("Mail $Input{email}, run $Var(execution_count)", "Mail a@example.com, run 3"),
        ("rows: $Step{fetch}{rows}", 'rows: [{"n":1},{"n":2}]'),
        ("$Input{a}{b}{0}{c} and $Step{list}", "null and [1,2]"),
    ],
)
def test_a_reference_stands_for_any_json_value(text: str, value: Any) -> None:
    """The first name of `$Session` is its tag, else a field of its data: contracts §5.2, row 22."""
    assert check_expressions(text, "input", known=IN_A_STEP_OF_AN_APP).errors == []
    assert value_of(text) == value


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("$Input{nope}", "$Input{nope} has no value: there is no 'nope'"),
        ("$Input{a}{x}", "$Input{a}{x} has no value: there is no 'x' in {a}"),
        ("$Input{a}{b}{[2]}", "there is no '[2]' in {a}{b}"),
        ("$Input{a}{b}{-1}", "there is no '-1' in {a}{b}"),
        ("$Input{email}{x}", "there is no 'x' in {email}"),
        ("$Step{later}{id}", "there is no 'later'"),
        ("$Sequence{other}{fetch}", "there is no 'other'"),
        ("$Session{admin}{id}", "there is no 'admin'"),
        ("$Session{user-session}{email}{x}", "$Session{user-session}{email}{x} has no value: there is no 'x' in {email}"),
        ("$Var(job_id)", "$Var(job_id) has no value"),
        ("$Secret{KEY}", "$Secret{KEY} has no value here"),
    ],
)  # fmt: skip
def test_what_is_missing_is_told_with_the_path_of_its_field_and_of_its_reference(text: str, told: str) -> None:
    with pytest.raises(ExpressionError) as raised:
        resolve({"body": {"fine": "$Input{email}", "to": ["x", f"é {text}"]}}, SCOPE, now=NOW)

    assert raised.value.path == ("body", "to", 1)
    assert raised.value.at == 2
    assert told in str(raised.value)


def test_a_session_of_the_same_name_as_its_field_is_read_by_its_tag() -> None:
    scope = SessionScope("user", {"user": {"id": 1}, "id": 2})
    assert resolve(["$Session{user}{id}", "$Session{user}{user}{id}"], scope, now=NOW) == [2, 1]


def test_steps_may_stand_in_sequences() -> None:
    scope = StepsScope({"a": 1}, {"main": {}, "extra": {"a": 1}})
    assert resolve("$Sequence{extra}{a}", scope, now=NOW) == 1
    with pytest.raises(ExpressionError, match=r"there is no 'a' in {main}"):
        resolve("$Sequence{main}{a}", scope, now=NOW)


def test_what_is_put_in_is_a_copy() -> None:
    held = {"rows": [{"n": 1}]}
    found = resolve({"a": "$Input{rows}", "b": "$Input{rows}"}, InputScope(held), now=NOW)
    found["a"][0]["n"] = 2
    assert (held, found["b"]) == ({"rows": [{"n": 1}]}, [{"n": 1}])


def test_what_is_put_in_is_not_looked_into() -> None:
    scope = InputScope({"a": "$Now()", "b": {"c": "$Input{a}"}})
    assert resolve(["$Input{a}", "$Input{b}"], scope, now=NOW) == ["$Now()", {"c": "$Input{a}"}]


def test_a_reference_is_refused_where_it_can_have_no_value() -> None:
    texts = ["$Input{a}", "$Step{a}{b}", "$Sequence{a}{b}", "$Auth{a}", "$Default", "$Size{$Input{a}}"]
    assert [error.code for error in check_expressions(texts, "input").errors] == ["expression_unsupported"] * 6
    found = check_expressions(texts, "input", known=IN_A_STEP_OF_AN_APP).errors
    assert [(error.field, error.detail) for error in found] == [
        ("input.4", "at offset 0: $Default can have no value in the input of a step: write the value itself")
    ]
    found = check_expressions(texts, "output", known=IN_A_FEATURE).errors
    assert {error.field for error in found} == {"output.3", "output.4"}
    assert check_expressions(["$Session{a}{b}", "$Var(attempt)"], "input", known=IN_AN_INPUT).errors == []


def test_references_are_listed_with_their_places() -> None:
    found = check_expressions({"a": "$Concat([$Secret{A}, $Session{b}{c}])", "d": "$Var(attempt)"}, "input").references
    assert sorted((at, str(reference), reference.at) for at, reference in found) == [
        ("input.a", "$Secret{A}", 9),
        ("input.a", "$Session{b}{c}", 21),
        ("input.d", "$Var(attempt)", 0),
    ]


def test_a_scope_that_watches_is_told_what_became_of_its_references() -> None:
    told: list[tuple[Sequence[Reference], Any]] = []

    class Watched:
        kinds = frozenset({"Secret"})

        def value_of(self, reference: Reference) -> Any:
            return "s3cret"

        def computed(self, references: Sequence[Reference], value: Any) -> None:
            told.append((references, value))

    scope = ScopeChain(Watched(), SCOPE)
    resolve(["$Uppercase($Secret{KEY})!", "$Trim(' a ')", "$Secret{KEY}"], scope, now=NOW)

    assert told == [((Reference("Secret", ("KEY",)),), "S3CRET"), ((), "a")]


def test_what_is_read_of_a_login_is_remembered_to_be_hidden() -> None:
    auth = AuthScope({"token": "t0ken", "keys": {"a": "k3y"}, "n": 1})
    resolve(["$Auth{keys}", "$Auth{n}", "$Concat(['Bearer ', $Auth{token}])"], auth, now=NOW)
    assert auth.opened == {"k3y", "t0ken", "Bearer t0ken"}


def test_what_a_scope_knows_by_now_is_known_before_a_run() -> None:
    scope = InputScope({"a": 1, "later": Unknown("$Secret{A}"), "mixed": {"a": "x", "b": Unknown("$Now()")}})
    texts = [
        "$Add($Input{a}, 1)",
        "$Input{mixed}",
        "$Input{mixed}{a}",
        "$Input{later}",
        "is $Input{mixed}",
        "$Input{no}",
    ]
    known = resolve_known([*texts, "$Size{$Input{mixed}}"], now=NOW, scope=scope)

    assert known[:3] == [2, {"a": "x", "b": "$Now()"}, "x"]
    assert isinstance(known[1]["b"], Unknown)
    assert all(isinstance(value, Unknown) for value in known[3:])
