"""How an input becomes a request, and an answer a result: every request type, on a real receiver."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from typing import Any

import pytest

from core.errors import Invalid, NotFound
from core.shortcache import forget_everything
from executors.base import Done, Failed
from tests.integration.action_world import World
from tests.servers.receiver import Answer, Receiver

pytestmark = pytest.mark.django_db

SCHEMA: dict[str, Any] = {
    "type": "object",
    "required": ["email"],
    "additionalProperties": False,
    "properties": {
        "email": {"type": "string"},
        "age": {"type": "integer"},
        "at": {"type": "string", "format": "date-time"},
        "day": {"type": "string", "format": "date"},
        "hour": {"type": "string", "format": "time"},
        "userId": {"type": "string"},
    },
}
EVENTS: list[dict[str, Any]] = [
    {"tag": "send", "method": "POST", "resource": "/u/:userId", "body": SCHEMA, "query": {"v": 1}, "headers": {"X-From": "shop"}},
    {"tag": "free", "method": "POST", "resource": "/free"},
    {"tag": "get", "method": "GET", "resource": "/get"},
    *[
        {"tag": kind, "method": "POST", "resource": f"/{kind}", "request_type": kind}
        for kind in ("formdata", "xml", "soap", "html", "text", "urlencoded")
    ],
]  # fmt: skip


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with Receiver() as running:
        yield running


@pytest.fixture
def world(receiver: Receiver) -> World:
    forget_everything()
    return World(
        receiver,
        events=EVENTS,
        constants={"limit": 5, "key": "$Secret{TOKEN}"},
        variables=[{"key": "region", "default": "eu"}],
        headers={"X-Region": "$Variable{mail}{region}"},
    )


def told(caught: pytest.ExceptionInfo[Invalid]) -> dict[str, str]:
    return {error.field: error.code for error in caught.value.errors}


@pytest.mark.parametrize(
    "input",
    [
        {"params": {"userId": "u1"}, "query": {"q": "x"}, "body": {"email": "a@b.c", "age": 3}, "headers": {"X-A": "1"}},
        {"params:userId": "u1", "query:q": "x", "body:email": "a@b.c", "body:age": 3, "headers:X-A": "1"},
        {"userId": "u1", "query:q": "x", "email": "a@b.c", "age": 3, "headers:X-A": "1"},
        {"userId": "u1", "query": {"q": "x"}, "email": "a@b.c", "body": {"age": 3}, "headers": {"X-A": "1"}},
    ],
    ids=["nested", "prefixed", "flat", "mixed"],
)  # fmt: skip
def test_an_input_may_be_nested_flat_or_say_its_places(world: World, input: dict[str, Any]) -> None:
    before = json.dumps(input)
    world.check("send", **input)
    assert isinstance(world.run("send", **input), Done)

    sent = world.sent()
    assert sent.path == "/u/u1?v=1&q=x"
    assert sent.json() == {"email": "a@b.c", "age": 3}
    assert (sent.headers["x-a"], sent.headers["x-from"], sent.headers["x-region"]) == ("1", "shop", "eu")
    assert json.dumps(input) == before


def test_bare_fields_go_where_the_action_declares_them(world: World) -> None:
    given: dict[str, Any] = {"userId": "u1", "email": "a@b.c", "v": 2, "x-from": "me"}
    world.run("send", **given)

    assert world.sent().path == "/u/u1?v=2"
    assert world.sent().headers["x-from"] == "me"


def test_bare_fields_that_nobody_declares_go_to_the_body_or_without_one_to_the_query(world: World) -> None:
    world.check("free", a=1, b={"c": 2})
    world.run("free", a=1, b={"c": 2})
    assert world.sent().json() == {"a": 1, "b": {"c": 2}}
    world.check("get", page=2)
    world.run("get", page=2)
    assert world.sent().path == "/get?page=2"


def test_what_the_input_says_comes_before_shared_credentials(receiver: Receiver) -> None:
    world = World(receiver, events=EVENTS, auth={"type": "query", "name": "key", "value": "shared"})
    world.run("get")
    assert world.sent().path == "/get?key=shared"
    world.run("get", query={"key": "mine"})
    assert world.sent().path == "/get?key=mine"


@pytest.mark.parametrize(
    ("event", "input", "field", "code"),
    [
        ("send", {"userId": "u", "emial": "a"}, "input.emial", "schema_additionalProperties"),
        ("send", {"userId": "u", "body": {"emial": "a"}}, "input.body.emial", "schema_additionalProperties"),
        ("send", {"userId": "u"}, "input.body.email", "schema_required"),
        ("send", {"userId": "u", "email": "a", "age": "3"}, "input.age", "schema_type"),
        ("send", {"userId": "u", "email": "a", "at": "tomorrow"}, "input.at", "schema_format"),
        ("send", {"userId": "u", "email": "a", "day": "2026-02-30"}, "input.day", "schema_format"),
        ("send", {"email": "a"}, "input.params.userId", "required"),
        ("send", {"userId": "u", "email": "a", "body:email": "b"}, "input.body:email", "duplicate"),
        ("send", {"userId": "u", "body": "text", "body:email": "b"}, "input.body:email", "invalid"),
        ("send", {"userId": "u", "email": "a", "headers:Host": "x"}, "input.headers:Host", "invalid"),
        ("send", {"userId": "u", "email": "a", "headers": {"X-A": "1", "x-a": "2"}}, "input.headers.x-a", "duplicate"),
        ("send", {"userId": "u", "email": "a", "headers:X-A": "1", "header:x-a": "2"}, "input.header:x-a", "duplicate"),
        ("send", {"userId": "u", "email": "a", "headers:X-A": "1", "headers": {"x-a": "2"}}, "input.headers:X-A", "duplicate"),
        ("send", {"userId": "u", "email": "a", "X-From": "1", "x-from": "2"}, "input.x-from", "duplicate"),
        ("free", {"haeders": {"A": "b"}}, "input.haeders", "unknown_field"),
        ("free", {"body:": 1}, "input.body:", "invalid"),
        ("get", {"filter": {"a": 1}}, "input.filter", "unknown_field"),
        ("text", {"body": {"a": 1}}, "input.body", "invalid"),
        ("urlencoded", {"body": {"a": {"b": 1}}}, "input.body.a", "invalid"),
        ("formdata", {"body": "text"}, "input.body", "invalid"),
        ("formdata", {"body": {"f": {"content": "not base 64!"}}}, "input.body.f", "invalid"),
        ("formdata", {"body": {"f": {"content": "YQ==", "content_type": "a\r\nb"}}}, "input.body.f", "invalid"),
        ("xml", {"body": {"a": 1, "b": 2}}, "input.body", "invalid"),
        ("xml", {"body": {"a": {"b c": 1}}}, "input.body.a.b c", "invalid"),
        ("xml", {"body": {"a": {"b><x": 1}}}, "input.body.a.b><x", "invalid"),
        ("xml", {"body": {"a": {"": 1}}}, "input.body.a.", "invalid"),
        ("xml", {"body": {"a": {"b": [[1]]}}}, "input.body.a.b.0", "invalid"),
        ("xml", {"body": {"a": "\x01"}}, "input.body.a", "invalid"),
        ("xml", {"body": {"a": {"@id": {}}}}, "input.body.a.@id", "invalid"),
    ],
)  # fmt: skip
def test_a_wrong_input_is_told_at_the_field_as_it_was_written(
    world: World, event: str, input: dict[str, Any], field: str, code: str
) -> None:
    with pytest.raises(Invalid) as caught:
        world.check(event, **input)

    assert told(caught)[field] == code


def test_a_form_with_files_is_sent_as_multipart(world: World) -> None:
    body = {"a": [1, True], "who": 'ü"', "meta": {"k": 1}, "file": {"content": base64.b64encode(b"\x00\xff").decode(), "filename": 'a"b\r\n.pdf', "content_type": "application/pdf"}}  # fmt: skip
    world.check("formdata", body=body)
    world.run("formdata", body=body)
    first = world.sent()
    world.run("formdata", body=body, attempt=2)

    boundary = first.headers["content-type"].removeprefix("multipart/form-data; boundary=")
    assert first.body == (
        f'--{boundary}\r\nContent-Disposition: form-data; name="a"\r\n\r\n1\r\n'
        f'--{boundary}\r\nContent-Disposition: form-data; name="a"\r\n\r\ntrue\r\n'
        f'--{boundary}\r\nContent-Disposition: form-data; name="who"\r\n\r\nü"\r\n'
        f'--{boundary}\r\nContent-Disposition: form-data; name="meta"\r\nContent-Type: application/json\r\n\r\n{{"k":1}}\r\n'
        f'--{boundary}\r\nContent-Disposition: form-data; name="file"; filename="a%22b%0D%0A.pdf"\r\n'
        "Content-Type: application/pdf\r\n\r\n"
    ).encode() + b"\x00\xff" + f"\r\n--{boundary}--\r\n".encode()  # fmt: skip
    assert world.sent().body == first.body  # another attempt of the run sends the same bytes


@pytest.mark.parametrize(
    ("kind", "body", "sent", "content_type"),
    [
        ("xml", {"order": {"@id": 1, "item": ["a&b", {"#text": "<c>", "@q": '"'}], "none": None, "ok": True}},
         '<order id="1"><item>a&amp;b</item><item q=\'"\'>&lt;c&gt;</item><none/><ok>true</ok></order>', "application/xml; charset=utf-8"),
        ("xml", "<as>is</as>", "<as>is</as>", "application/xml; charset=utf-8"),
        ("soap", {"soap:Envelope": {"@xmlns:soap": "urn:x", "soap:Body": "ü"}}, '<soap:Envelope xmlns:soap="urn:x"><soap:Body>ü</soap:Body></soap:Envelope>', "text/xml; charset=utf-8"),
        ("html", "<p>ü</p>", "<p>ü</p>", "text/html; charset=utf-8"),
        ("text", "plain", "plain", "text/plain; charset=utf-8"),
    ],
)  # fmt: skip
def test_xml_and_texts_are_sent_as_they_are_written_down(
    world: World, kind: str, body: Any, sent: str, content_type: str
) -> None:
    world.check(kind, body=body)
    world.run(kind, body=body)

    assert world.sent().body.decode().removeprefix("<?xml version='1.0' encoding='utf-8'?>\n") == sent
    assert world.sent().headers["content-type"] == content_type


@pytest.mark.parametrize(
    ("content_type", "body", "result"),
    [
        ("application/json", b'{"a": 1}', {"a": 1}),
        ("application/problem+json; charset=utf-8", b"[1]", [1]),
        ("application/json", b"not json", "not json"),
        ("application/xml", b"<a>1</a>", "<a>1</a>"),
        ("text/html; charset=latin-1", b"\xfc", "ü"),
        ("text/plain", b'{"a": 1}', '{"a": 1}'),
        ("text/plain; charset=base64", b"YQ==", "YQ=="),
        ("application/x-www-form-urlencoded", b"a=1&a=2&b=%C3%BC&c=%00", {"a": ["1", "2"], "b": "ü", "c": "\ufffd"}),
        ("application/pdf", b"%PDF\x00", {"base64": "JVBERgA=", "size": 5, "content_type": "application/pdf"}),
        ("image/png", b"abc", {"base64": "YWJj", "size": 3, "content_type": "image/png"}),
        ("application/octet-stream", b"", None),
    ],
)
def test_an_answer_is_told_by_its_content_type(world: World, content_type: str, body: bytes, result: Any) -> None:
    world.receiver.answer("/get", Answer(body=body, headers={"Content-Type": content_type}))

    outcome = world.run("get")

    assert isinstance(outcome, Done)
    assert outcome.result["body"] == result


def test_expressions_are_resolved_in_each_run_and_what_is_secret_is_not_shown(world: World) -> None:
    input: dict[str, Any] = {
        "userId": "$Constant{mail}{limit}",
        "email": "$Secret{TOKEN}",
        "age": "$Constant{mail}{limit}",
        "at": "$DateAdd(0, 1, 'hours')",
        "day": "$DateAdd($Now(), 0, 'days')",
        "hour": "$DateAdd(0, 90, 'minutes')",
        "headers:X-Region": "in-$Variable{mail}{region}",
    }
    world.receiver.answer("/u/5", Answer(echo=True))

    world.check("send", **input)
    outcome = world.run("send", **input)

    sent = world.sent()
    assert sent.json() | {"day": "?"} == {
        "email": "tok-live", "age": 5, "at": "1970-01-01T01:00:00.000Z", "day": "?", "hour": "01:30:00.000Z"
    }  # fmt: skip
    assert len(sent.json()["day"]) == len("2026-01-01")
    assert (sent.path, sent.headers["x-region"]) == ("/u/5?v=1", "in-eu")
    assert isinstance(outcome, Done)
    assert "tok-live" not in repr(outcome)


@pytest.mark.parametrize(
    ("event", "input", "field", "code"),
    [
        ("free", {"body": {"at": "$DateAdd($Now(), 99999999999, 'days')"}}, "input.body.at", "expression_invalid"),
        ("get", {"query": {"a": "x" * 17_000, "b": "1"}}, "input.query.a", "invalid"),
        ("get", {"query:a": "ü" * 3_000}, "input.query:a", "invalid"),
        ("send", {"params": {"userId": "x" * 17_000}, "email": "a"}, "input.params.userId", "invalid"),
        ("send", {"body": {"userId": "x" * 17_000, "email": "a"}}, "input.body.userId", "invalid"),
        ("send", {"userId": "u", "email": "$Now()"}, None, None),
        ("send", {"userId": "u", "email": "a", "age": "$$Now()"}, "input.age", "schema_type"),
        ("send", {"userId": "u", "email": "a", "age": "so $Now()"}, "input.age", "schema_type"),
        ("send", {"userId": "u", "email": "a", "age": "$Now()"}, None, None),
        ("send", {"userId": "u", "email": "a", "age": "$Secret{TOKEN}"}, None, None),
        ("send", {"userId": "u", "email": "a", "$$Map{x}": 1}, "input.body.$Map{x}", "schema_additionalProperties"),
        ("get", {"query": {"a": "$Secret{TOKEN}" * 2_000}}, None, None),
        ("xml", {"body": {"a": "$$Now()", "b": 1}}, "input.body", "invalid"),
        ("formdata", {"body": {"f": {"content": "$Now()"}}}, "input.body.f", "invalid"),
    ],
)
def test_what_is_known_of_an_expression_before_a_run_is_checked_at_dispatch(
    world: World, event: str, input: dict[str, Any], field: str | None, code: str | None
) -> None:
    if field is None:
        world.check(event, **input)
        return
    with pytest.raises(Invalid) as caught:
        world.check(event, **input)
    assert told(caught)[field] == code


def test_what_only_the_time_of_a_run_decides_is_left_to_it(receiver: Receiver) -> None:
    def dispatch(**limits: int) -> None:
        schema = {"type": "object", "properties": {"at": {"type": "integer", **limits}}}
        world = World(receiver, events=[{"tag": "at", "method": "POST", "resource": "/at", "body": schema}])
        world.check("at", body={"at": "$Now()"})

    dispatch(minimum=1_900_000_000_000)  # wrong until 2030
    with pytest.raises(Invalid, match="greater than the maximum"):
        dispatch(maximum=1_000)


UNKNOWN = "$Secret{TOKEN}"


@pytest.mark.parametrize(
    ("schema", "body", "wrong"),
    [
        ({"anyOf": [{"properties": {"a": {"const": 1}}}]}, {"a": UNKNOWN}, None),
        ({"anyOf": [{"properties": {"a": {"const": 1}}}]}, {"a": 2, "b": 3}, "schema_anyOf"),
        ({"oneOf": [{"required": ["a"]}, {"properties": {"a": {"type": "string"}}}]}, {"a": UNKNOWN}, None),
        ({"not": {"properties": {"a": {"type": "string"}}}}, {"a": UNKNOWN}, None),
        ({"properties": {"a": {"enum": [["x"], ["y"]]}}}, {"a": [UNKNOWN]}, None),
        ({"properties": {"a": {"const": {"b": "x"}}}}, {"a": {"b": UNKNOWN}}, None),
        ({"properties": {"a": {"contains": {"const": "x"}}}}, {"a": ["y", UNKNOWN]}, None),
        ({"properties": {"a": {"contains": {"const": "x"}}}}, {"a": ["y", "z"], "b": UNKNOWN}, "schema_contains"),
        ({"properties": {"a": {"uniqueItems": True}}}, {"a": [UNKNOWN, UNKNOWN]}, None),
        ({"if": {"properties": {"a": {"const": "x"}}}, "else": {"required": ["b"]}}, {"a": UNKNOWN}, None),
        ({"if": {"properties": {"a": {"const": "x"}}}, "else": {"required": ["b"]}}, {"a": "y"}, "schema_required"),
        ({"required": ["b"]}, {"a": UNKNOWN}, "schema_required"),
        ({"properties": {"a": {"maxItems": 1}}}, {"a": [UNKNOWN, UNKNOWN]}, "schema_maxItems"),
    ],
)
def test_a_schema_that_weighs_the_whole_waits_for_what_is_unknown_of_it(
    receiver: Receiver, schema: dict[str, Any], body: dict[str, Any], wrong: str | None
) -> None:
    event = {"tag": "weighed", "method": "POST", "resource": "/w", "body": {"type": "object", **schema}}
    world = World(receiver, events=[event])
    if wrong is None:
        world.check("weighed", body=body)
        return
    with pytest.raises(Invalid) as caught:
        world.check("weighed", body=body)
    assert list(told(caught).values()) == [wrong]


def test_what_looks_like_an_expression_can_be_sent_as_text(world: World) -> None:
    body = {"script": "$$Now() or $$Session{a}{b}", "$$Map{x}": "US$ 5, $$"}
    world.check("free", body=body, query={"q": "$$Secret{TOKEN}"})
    world.run("free", body=body, query={"q": "$$Secret{TOKEN}"})

    assert world.sent().json() == {"script": "$Now() or $Session{a}{b}", "$Map{x}": "US$ 5, $$"}
    assert world.sent().path == "/free?q=%24Secret%7BTOKEN%7D"


def test_a_time_is_a_number_of_ms_where_nothing_types_it(world: World) -> None:
    """Contracts §5.2, row 29."""
    world.run("free", body={"at": "$DateAdd(0, 1, 'second')"})

    assert world.sent().json() == {"at": 1000}


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("$Secret{NOPE}", "secret_not_found"),
        ("$Variable{mail}{nope}", "variable_not_found"),
        ("$Constant{other}{limit}", "constant_not_found"),
    ],
)
def test_a_reference_to_nothing_is_told_at_dispatch(world: World, text: str, code: str) -> None:
    with pytest.raises(NotFound) as caught:
        world.check("free", body={"a": text})

    (error,) = caught.value.errors
    assert (error.field, error.code) == ("input.body.a", code)
    assert "in environment 'prd' of product 'shop': set it with PUT" in error.detail


def test_a_value_that_does_not_fit_once_it_is_known_fails_the_run(world: World) -> None:
    world.check("send", userId="u", email="a", age="$Secret{TOKEN}")
    outcome = world.run("send", userId="u", email="a", age="$Secret{TOKEN}")

    assert isinstance(outcome, Failed)
    assert (outcome.code, outcome.retryable) == ("VALIDATION_ERROR", False)
    assert "tok-live" not in outcome.message
    assert len(world.receiver.requests) == 0
