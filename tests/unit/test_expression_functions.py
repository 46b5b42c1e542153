"""Each function gives what the documents' own examples say, and tells what it cannot compute.

D is the documents of Ductape at docs/operators (operators.mdx §1–14, nesting.mdx) and docs/jobs/examples.mdx, as in
contracts §2.2 and §2.3; S3 the scheduling page.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from core.times import to_ms
from executors.expressions import (
    FUNCTIONS,
    ExpressionError,
    InputScope,
    Moment,
    Reference,
    ScopeChain,
    SessionScope,
    StepsScope,
    check_expressions,
    never_computable,
    resolve,
    resolve_known,
)
from executors.expressions.kinds import IN_A_FEATURE

NOW = datetime(2026, 1, 31, 15, 4, 9, 500_000, tzinfo=UTC)
NOW_MS = to_ms(NOW)

ORDERS = [
    {"id": 1, "status": "pending", "amount": 50},
    {"id": 2, "status": "completed", "amount": 100},
    {"id": 3, "status": "completed", "amount": 75},
]


class Config:
    """`$Constant{config}{currency}`."""

    kinds = frozenset({"Constant"})

    def value_of(self, reference: Reference) -> Any:
        return "USD"


SCOPE = ScopeChain(
    InputScope(
        {
            "firstName": "  Jane  ", "lastName": "Doe", "email": "JANE@EXAMPLE.COM  ", "baseAmount": 100,
            "orderDate": "2024-07-15", "items": [1, 2, 3], "user": {"a": 1, "b": 2}, "phone": " 555-1234-5 ",
            "number": 5, "text": "5", "nothing": None, "on": True, "list": ["b", "a"], "prices": [0.1, "0.2", 0.3],
        }
    ),
    StepsScope(
        {
            "create-user": {"id": "usr_123abc456def", "created_at": "2024-07-15T10:30:00Z"},
            "calculate-discount": {"value": 20},
            "fetch-orders": {"orders": ORDERS},
            "fetch-pending": {"orders": [{"id": 4}]},
            "create-order": {"id": "ord_456", "total": 250.5},
        }
    ),
    SessionScope("user", {"name": "john Doe"}),
    Config(),
)  # fmt: skip


def value_of(text: str) -> Any:
    assert check_expressions(text, "input", known=IN_A_FEATURE).errors == []
    return resolve(text, SCOPE, now=NOW)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        # D operators.mdx §1 to §14
        ("$Add(10, 20, 30)", 60),
        ("$Subtract(100, 20, 30)", 50),
        ('$Concat(["Hello", "World"], " ")', "Hello World"),
        ('$Concat(["2024", "07", "15"], "-")', "2024-07-15"),
        ('$Substring("Ductape", 0, 4)', "Duct"),
        ('$Substring("Operator", 2, 6)', "erat"),
        ('$Trim("  Ductape  ")', "Ductape"),
        (r'$Trim("\nNewLine\t")', "NewLine"),
        ('$Split("apple,banana,cherry", ",")', ["apple", "banana", "cherry"]),
        ('$Split("one-two-three", "-")', ["one", "two", "three"]),
        ('$Pick("Hello", 1)', "e"),
        ('$Pick(["apple", "banana", "cherry"], 2)', "cherry"),
        ("$Join([[{id: 1}, {id: 2}], [{id: 3}]])", [{"id": 1}, {"id": 2}, {"id": 3}]),
        ('$Uppercase("ductape")', "DUCTAPE"),
        ('$Lowercase("Ductape")', "ductape"),
        ('$Dateformat("2024-02-09", "DD/MM/YYYY")', "09/02/2024"),
        ('$Dateformat("2024-02-09T15:30:00", "hh:mm A")', "03:30 PM"),
        ('$Replace("Hello World", "World", "Ductape")', "Hello Ductape"),
        ('$Replace("2024-02-09", "-", "/")', "2024/02/09"),
        ('$Filter([1, 2, 3, 4, 5], ">", 3)', [4, 5]),
        ('$Filter(["apple", "banana"], "==", "apple")', ["apple"]),
        ('$Find([1, 2, 3, 4, 5], "==", 3)', 3),
        ('$Find(["apple", "banana"], "==", "banana")', "banana"),
        ('$Find([1, 4, 6], ">", 4)', 6),
        # D operators.mdx, the table of references and example 4
        ("$Size{$Input{user}}", 2),
        ("$Length{$Input{items}}", 3),
        ("$Length{$Input{lastName}}", 3),
        ('$Filter([$Size{$Input{user}}], ">", 0)', [2]),
        ('$Filter([$Length{$Input{lastName}}], ">=", 3)', [3]),
        # D nesting.mdx
        ('$Lowercase($Trim($Input{email}))', "jane@example.com"),
        ("$Substring($Sequence{main}{create-user}{id}, 4, 12)", "123abc45"),
        ('$Dateformat($Sequence{main}{create-user}{created_at}, "DD/MM/YYYY")', "15/07/2024"),
        (
            ('$Concat(["User ", $Substring($Sequence{main}{create-user}{id}, 4, 12), " created on ", $Dateformat('
            '$Sequence{main}{create-user}{created_at}, "DD/MM/YYYY")], "")'),
            "User 123abc45 created on 15/07/2024",
        ),
        ("$Subtract($Input{baseAmount}, $Sequence{main}{calculate-discount}{value})", 80),
        ('$Find($Sequence{main}{fetch-orders}{orders}, "==", "completed")', ORDERS[1]),
        (
            ('$Join([$Filter($Sequence{main}{fetch-orders}{orders}, "==", "completed"), '
            "$Sequence{main}{fetch-pending}{orders}])"),
            [ORDERS[1], ORDERS[2], {"id": 4}],
        ),
        (
            ('$Concat([\n  "Order ",\n  $Substring($Sequence{main}{create-order}{id}, 4),\n  " for ",\n'
            '  $Uppercase($Pick($Session{user}{name}, 0)),\n  $Substring($Session{user}{name}, 1),\n  " on ",\n'
            '  $Dateformat($Input{orderDate}, "MMM DD, YYYY"),\n  " - Total: ",\n  $Constant{config}{currency},\n'
            '  " ",\n  $Sequence{main}{create-order}{total}\n], "")'),
            "Order 456 for John Doe on Jul 15, 2024 - Total: USD 250.5",
        ),
        ("$Add( $Pick('12345', 0), $Substring('98765', 2, 4) )", 77),
        ("$Concat([$Trim('  hello  '), $Pick($Split('a,b,c', ','), 1)], '-')", "hello-b"),
        ("$Subtract( $Add(2, 3), $Pick('678', 1) )", -2),
        ("$Join([$Trim(' John '), $Pick($Split('Jane,Doe', ','), 1)], ' & ')", "John & Doe"),
        (
            "$Concat([\n  $Add( $Pick('12', 0), 5 ),\n  $Substring('abcdef', 2, 5),\n  $Trim(' xyz ')\n], '_')",
            "6_cde_xyz",
        ),
        ('$Pick($Split($Lowercase($Trim($Input{email})), "@"), 1)', "example.com"),
        ('$Replace($Trim($Input{phone}), "-", "")', "55512345"),
        ("$Uppercase($Pick($Input{lastName}, 0))$Substring($Input{lastName}, 1)", "Doe"),
        # D jobs/examples.mdx and S3
        ('$Format($Now(), "MMMM D, YYYY")', "January 31, 2026"),
        ('$Format($DateAdd($Now(), -1, "days"), "YYYY-MM-DD")', "2026-01-30"),
        ('$Format($Now(), "YYYY-MM-DD")', "2026-01-31"),
        ('$DateAdd($Now(), -24, "hours")', NOW_MS - 86_400_000),
        ('$DateAdd($Now(), -30, "days")', NOW_MS - 30 * 86_400_000),
    ],
)  # fmt: skip
def test_an_example_of_the_documents_gives_what_they_say(text: str, value: Any) -> None:
    """`$Format` and `$DateAdd` as in their examples: contracts §5.2, row 28."""
    assert value_of(text) == value


@pytest.mark.parametrize(
    ("token", "early", "late"),
    [
        ("YYYY", "0987", "2024"), ("YY", "87", "24"), ("MMMM", "February", "October"), ("MMM", "Feb", "Oct"),
        ("MM", "02", "10"), ("M", "2", "10"), ("DD", "09", "30"), ("D", "9", "30"), ("dddd", "Friday", "Wednesday"),
        ("ddd", "Fri", "Wed"), ("HH", "00", "15"), ("H", "0", "15"), ("hh", "12", "03"), ("h", "12", "3"),
        ("mm", "05", "45"), ("m", "5", "45"), ("ss", "07", "59"), ("s", "7", "59"), ("A", "AM", "PM"),
        ("a", "am", "pm"), ("[at] h", "at 12", "at 3"), ("[]Q!", "Q!", "Q!"),
    ],
)  # fmt: skip
def test_each_token_of_a_date_is_written(token: str, early: str, late: str) -> None:
    """`$Format` and `$Dateformat` are one: contracts §5.2, row 28."""
    for name in ("Format", "Dateformat"):
        assert value_of(f"${name}('0987-02-09T00:05:07', '{token}')") == early
        assert value_of(f"${name}('2024-10-30T15:45:59Z', '{token}')") == late


def test_a_date_is_written_in_utc_or_in_the_time_zone_that_is_given() -> None:
    assert value_of("$Format('2026-01-01T00:30:00+01:00', 'YYYY-MM-DD HH:mm')") == "2025-12-31 23:30"
    assert value_of("$Format($Now, 'HH:mm', 'America/New_York')") == "10:04"
    assert value_of("$Format(0, 'YYYY-MM-DD H', 'Asia/Kathmandu')") == "1970-01-01 5"
    assert value_of("$Format('1769871849500', 'YYYY')") == "2026"
    assert value_of("$Format('20260131', 'D.M.')") == "31.1."


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("$Add(0.1, 0.2)", 0.3),
        ("$Add('1.50', 1)", 2.5),
        ("$Add($Input{text}, 1)", 6),
        ("$Add(0.5, 0.5)", 1),
        ("$Add(999999999999999999, 1)", 10**18),
        ("$Add('123456789012345678901234567890', 1)", 123456789012345678901234567891),
        ("$Add(5)", 5),
        ("$Subtract('-1e2', 0.25)", -100.25),
        ("$Concat(['a', 1, true, null, {b: [1.5]}])", 'a1truenull{"b":[1.5]}'),
        ("$Concat([], ', ')", ""),
        ("$Substring('abcdef', -4)", "cdef"),
        ("$Substring('abcdef', -4, -1)", "cde"),
        ("$Substring('abc', 3)", ""),
        ("$Substring($Input{number}, 0, 1)", "5"),
        ("$Split('abc', '')", ["a", "b", "c"]),
        ("$Split('', ',')", [""]),
        ("$Pick('héé', 2)", "é"),
        ("$Join([])", []),
        ("$Uppercase($Input{on})", "TRUE"),
        ("$Replace('aaa', 'a', 'aa')", "aaaaaa"),
        ("$Replace('a.c', '.', '\\\\1')", "a\\1c"),
        ("$Filter(['5', 6, 4.5], '>=', 5)", ["5", 6]),
        ("$Filter(['a', 'b', 'c'], '<', 'c')", ["a", "b"]),
        ("$Filter([1, '1', true, null, 2], '==', 1)", [1, "1"]),
        ("$Filter([1, '1', true, null, 2], '!==', 1)", [True, None, 2]),
        ("$Filter([null, 0, false, ''], '==', null)", [None]),
        ("$Filter([[1], [2], {a: [1]}], '==', [1])", [[1], {"a": [1]}]),
        ("$Filter([{a: 1}, {a: 2}], '==', {a: 2})", [{"a": 2}]),
        ("$Find([1, 2], '!=', 1)", 2),
        ("$Size({a: 1, 'b': 2})", 2),
        ("$Length([1, [2, 3]])", 2),
        ("$Length('')", 0),
        ("$Length{$Filter($Input{items}, '<=', 2)}", 2),
        ("$Size{$Pick([{}], 0)}", 0),
        ("$Trim('\\u00e9\\ud83d\\ude00 ')", "é😀"),
        ("$Concat([\"it's\", 'a \"b\"', 'c\\'d'], ' ')", "it's a \"b\" c'd"),
        ("$Trim(\"$Now() stays\")", "$Now() stays"),
    ],
)  # fmt: skip
def test_a_function_gives_its_value(text: str, value: Any) -> None:
    found = value_of(text)
    assert (found, type(found)) == (value, type(value))


def test_a_time_and_milliseconds_are_a_time_and_two_times_are_not() -> None:
    for text, value, kind in (
        ("$Add($Now(), 1000)", NOW_MS + 1000, Moment),
        ("$Add(1000, $Now)", NOW_MS + 1000, Moment),
        ("$Subtract($Now(), 1000)", NOW_MS - 1000, Moment),
        ("$Subtract($Now(), $DateAdd($Now(), -1, 'hour'))", 3_600_000, int),
        ("$Subtract(1, $Now())", 1 - NOW_MS, int),
        ("$Subtract($Now(), $Now(), -5)", 5, int),
        ("$Add($Now(), 0.5)", NOW_MS + 0.5, float),
    ):
        found = value_of(text)
        assert (found, type(found)) == (value, kind)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("$Add(1, 'x')", "$Add: argument 2 is a text that is no number"),
        ("$Add(true, 1)", "argument 1 is true or false"),
        ("$Add('1e99', '" + "9" * 41 + "')", "argument 2 is a text"),
        ("$Concat('a', 'b')", "$Concat takes a list, not a text"),
        ("$Concat(['a'], [])", "$Concat takes a text, not a list"),
        ("$Substring('abc', 4)", "$Substring: its start is outside of the text"),
        ("$Substring('abc', 0, 4)", "its end is outside of the text"),
        ("$Substring('abc', 2, 1)", "its start is behind its end"),
        ("$Substring('abc', 0.5)", "must be a whole number"),
        ("$Trim(null)", "$Trim takes a text, not null"),
        ("$Split([], ',')", "$Split takes a text, not a list"),
        ("$Pick('abc', 3)", "there is nothing at its index"),
        ("$Pick([1], -1)", "there is nothing at its index"),
        ("$Pick({}, 0)", "$Pick takes a text, not an object"),
        ("$Join([[1], 2])", "one of them is a number"),
        ("$Replace('abc', '', 'x')", "must not be empty"),
        ("$Filter({}, '==', 1)", "$Filter takes a list, not an object"),
        ("$Filter([{a: 1}], '>', 0)", "an object and a number have no order"),
        ("$Filter([null], '<', 0)", "null and a number have no order"),
        ("$Find([1], '==', 2)", "$Find: nothing in the list matches"),
        ("$Size([])", "$Size counts the fields of an object, and this is a list: see $Length"),
        ("$Length({})", "$Length is of a list or a text, and this is an object: see $Size"),
        ("$Format('tomorrow', 'D')", "is no time: give milliseconds or ISO 8601"),
        ("$Format($Now(), $Trim('D'), $Trim('Mars/Base'))", "must be an IANA name"),
        ("$Format($Now(), [])", "the format of a date must be a text"),
        ("$DateAdd($Now(), true, 'days')", "$DateAdd cannot be computed"),
        ("$DateAdd($Now(), 1, $Trim('eon'))", "the unit of $DateAdd must be one of day, hour"),
    ],
)
def test_what_a_function_cannot_compute_is_told_before_there_is_a_run(text: str, told: str) -> None:
    assert check_expressions([text], "input").errors == []

    (error,) = never_computable({"a": [f"é {text}"]}, "input", now=NOW)

    assert (error.field, error.code) == ("input.a.0", "expression_invalid")
    assert error.detail.startswith("at offset ")
    assert told in error.detail


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("$Filter([1], '=', 1)", "'=' is not one of > < >= <= == === != !=="),
        ("$Find($Secret{A}, 1, 1)", "'1' is not one of"),
        ("$Format($Now(), 5)", "must be a text in quotes"),
        ("$Format($Now(), 'D', 'Paris')", "must be an IANA name, such as 'Europe/Paris'"),
        ("$Format($Now(), 'D', '../../etc/passwd')", "must be an IANA name"),
        ("$Trim()", "$Trim takes 1 arguments, 0 are given"),
        ("$Concat(['a'], '', '')", "$Concat takes 1 to 2 arguments, 3 are given"),
        ("$Add()", "$Add takes at least 1 arguments, 0 are given"),
        ("$Var(executions)", "$Var(executions) is not known: did you mean execution_count?"),
        ("$Var(x)", "$Var(x) is not known: execution_count, attempt, job_id, scheduled_at"),
        ("$Var()", "$Var takes one name"),
        ("$Var(attempt, 1)", "$Var takes one name"),
        ("$Trim(text)", "at offset 6: 'text' is not an expression: a text stands in quotes"),
        ("$Trim('a\\d')", "at offset 8: '\\d' is no escape: a backslash is written '\\\\'"),
        ("$Trim('\\ud800')", "half of a surrogate pair"),
        ("$Trim('\\u0000')", "cannot hold a NUL"),
        ("$Trim('abc)", "is not an expression"),
        ("$Concat(['a' 'b'])", "at offset 12: after \"$Concat(['a'\" a comma or a bracket is missing"),
        ("$Concat(['a',])", "is not an expression"),
        ("$Size{'a'}", "$Size{…} must hold one expression, such as $Size{$Input{a}}"),
        ("$Length{$Secret{A}, 1}", "$Length{…} must hold one expression"),
        ("$Size({1: 2})", "a member of an object is a name, a colon and a value"),
        ("$Secret(KEY)", "it is written $Secret{KEY}"),
        ("$Trim{$Secret{A}}", "it is written $Trim(…)"),
        ("$Add(1.2.3)", "is not an expression"),
        ("$Add(12abc)", "is not an expression"),
        ("$Session{a}" + "{b}" * 32, "with at most 32 names"),
        ("$Session{}", "is not the name of a field"),
    ],
)
def test_what_is_not_written_right_is_told_with_its_offset(text: str, told: str) -> None:
    (error,) = check_expressions({"a": text}, "input").errors

    assert error.field == "input.a"
    assert error.detail.startswith("at offset ")
    assert told in error.detail


def test_an_offset_counts_the_characters_before_it() -> None:
    (error,) = check_expressions("é😀 $Now() and $Trim($Upppercase('a'))", "input").errors
    assert error.detail.startswith("at offset 20: $Upppercase(…) is not supported: did you mean $Uppercase?")


def test_no_error_of_a_run_quotes_a_value() -> None:
    scope = InputScope({"a": "s3cret-value", "b": ["s3cret-value"], "c": {"s3cret-value": 1}})
    told: list[str] = []
    for name, signature in FUNCTIONS.items():
        for argument in ("$Input{a}", "$Input{b}", "$Input{c}"):
            text = f"${name}(" + ", ".join([argument] * signature.least) + ")"
            try:
                resolve([text], scope, now=NOW)
            except ExpressionError as error:
                told.append(str(error))

    assert len(told) > 30
    assert [text for text in told if "s3cret" in text] == []


def test_what_refers_to_nothing_is_computed_before_a_run_and_what_refers_is_not() -> None:
    known = resolve_known(["$Trim(' a ')", "$Concat(['a', $Var(attempt)])", "$Join([[1], [$Now]])"], now=NOW)

    assert known == ["a", "$Concat(['a', $Var(attempt)])", [1, NOW_MS]]


def test_a_wrong_part_of_what_refers_to_something_is_told_before_a_run() -> None:
    (error,) = never_computable("$Concat([$Secret{A}, $Pick('a', 5)], '')", "input", now=NOW)
    assert error.detail.startswith("at offset 21: $Pick")
