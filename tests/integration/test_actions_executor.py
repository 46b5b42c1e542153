"""The actions executor on a real receiver: what it sends, how it ends, what it refuses at dispatch."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import pytest
from pytest_django import DjangoAssertNumQueries, Settings

from core.errors import ApiError, Invalid, NotFound
from core.shortcache import forget_everything
from core.tenancy.models import Environment
from executors import registry
from executors.base import Done, Failed
from executors.catalog.models import SavedEvent, Secret
from tests.integration.action_world import World
from tests.servers.receiver import Answer, Receiver

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def _fresh() -> Iterator[None]:
    forget_everything()
    yield
    forget_everything()


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with Receiver() as running:
        yield running


@pytest.fixture
def world(receiver: Receiver) -> World:
    return World(receiver)


def fields(caught: pytest.ExceptionInfo[Any]) -> dict[str, str]:
    return {error.field: error.code for error in caught.value.errors}


def test_a_call_is_sent_as_the_event_and_the_input_say(world: World) -> None:
    world.check(
        "create", params={"userId": "a/b?c", "noteId": 7}, query={"tag": ["x", "y z"], "on": True}, body={"n": 1.5}
    )

    outcome = world.run(
        "create",
        params={"userId": "a/b?c", "noteId": 7},
        query={"tag": ["x", "y z"], "on": True},
        body={"n": 1.5, "ü": None},
        headers={"X-Mine": "1"},
    )

    assert isinstance(outcome, Done)
    request = world.sent()
    assert (request.method, request.path) == ("POST", "/users/a%2Fb%3Fc/notes/7?v=2&tag=x&tag=y%20z&on=true")
    assert request.json() == {"n": 1.5, "ü": None}
    expected = {
        "content-type": "application/json", "x-from": "shop", "x-mine": "1", "idempotency-key": "job_1:7",
        "x-job-id": "job_1", "x-attempt": "1", "x-scheduled-for": "1767323045000",
    }  # fmt: skip
    assert {name: request.headers.get(name) for name in expected} == expected


def test_a_json_answer_is_the_result(world: World) -> None:
    world.receiver.answer("/list", Answer(status=201, body={"id": 5}, headers={"ETag": "x", "Set-Cookie": "a=1"}))

    outcome = world.run("list")

    assert outcome == Done(
        {"status": 201, "headers": {"content-type": "application/json", "etag": "x"}, "body": {"id": 5}}
    )


@pytest.mark.parametrize(
    ("body", "shown"),
    [
        (b"plain", "plain"), (b"", None), (b'{"a": "\\u0000"}', '{"a": "\\u0000"}'), (b"a\x00b", "a\ufffdb"), (b"\xff", "\ufffd"),
        (b'{"a": NaN}', '{"a": NaN}'), (b"[" * 5000, "[" * 5000), (b'"\\ud800"', '"\\ud800"'), (b"[1, 2]", [1, 2]),
    ],
    ids=lambda value: repr(value)[:16],
)  # fmt: skip
def test_any_answer_becomes_a_result_that_can_be_stored(world: World, body: bytes, shown: Any) -> None:
    world.receiver.answer("/list", Answer(body=body))

    outcome = world.run("list")

    assert isinstance(outcome, Done)
    assert outcome.result["body"] == shown
    json.dumps(outcome.result, allow_nan=False).encode("utf-8")


def test_an_answer_that_is_too_long_is_a_failure_unless_it_may_be_cut(world: World) -> None:
    world.receiver.answer("/list", Answer(size=10_000_000))

    outcome = world.run("list")
    world.store(max_response_bytes=1000, large_response="truncate")
    cut = world.run("list")

    assert isinstance(outcome, Failed)
    assert (outcome.code, outcome.retryable) == ("RESPONSE_TOO_LARGE", False)
    assert "answered more than 1048576 bytes: raise max_response_bytes" in outcome.message
    assert isinstance(cut, Done)
    assert (cut.result["body"], cut.result["truncated"]) == ("x" * 1000, True)


@pytest.mark.parametrize(
    ("status", "code", "retryable"),
    [
        (302, "VALIDATION_ERROR", False), (400, "VALIDATION_ERROR", False), (401, "UNAUTHORIZED", False),
        (403, "FORBIDDEN", False), (404, "NOT_FOUND", False), (408, "TIMEOUT", True), (409, "VALIDATION_ERROR", False),
        (410, "NOT_FOUND", False), (422, "VALIDATION_ERROR", False), (425, "TIMEOUT", True), (429, "RATE_LIMITED", True),
        (500, "SERVICE_UNAVAILABLE", True), (502, "SERVICE_UNAVAILABLE", True), (503, "SERVICE_UNAVAILABLE", True),
        (504, "SERVICE_UNAVAILABLE", True),
    ],
)  # fmt: skip
def test_each_status_has_its_code(world: World, status: int, code: str, retryable: bool) -> None:
    world.receiver.answer("/list", Answer(status=status, body="because"))

    outcome = world.run("list")

    assert isinstance(outcome, Failed)
    assert (outcome.code, outcome.retryable, outcome.retry_after) == (code, retryable, None)
    assert outcome.message.startswith(f"GET of event 'list' of app 'mail' answered {status}")
    assert outcome.message.endswith("because")


@pytest.mark.parametrize(
    ("status", "given", "seconds"),
    [
        (429, "7", 7.0), (503, "0", 0.0), (429, "-1", None), (429, "soon", None), (429, "1e3", None), (500, "7", None),
        (503, format_datetime(datetime(2020, 1, 1, tzinfo=UTC), usegmt=True), 0.0), (429, "9" * 30, 86_400.0),
    ],
)  # fmt: skip
def test_retry_after_is_read(world: World, status: int, given: str, seconds: float | None) -> None:
    world.receiver.answer("/list", Answer(status=status, headers={"Retry-After": given}))

    outcome = world.run("list")

    assert isinstance(outcome, Failed)
    assert outcome.retry_after == seconds


def test_retry_after_as_a_date_counts_from_now(world: World) -> None:
    at = datetime.now(UTC) + timedelta(seconds=100)
    world.receiver.answer("/list", Answer(status=503, headers={"Retry-After": format_datetime(at, usegmt=True)}))

    outcome = world.run("list")

    assert isinstance(outcome, Failed)
    assert outcome.retry_after is not None
    assert 95 < outcome.retry_after <= 100


def test_an_upstream_that_fails_twice_then_works(world: World) -> None:
    world.receiver.answer("/list", Answer(status=500), Answer(reset=True), Answer(body={"ok": 1}))

    outcomes = [world.run("list", attempt=n) for n in (1, 2, 3)]

    assert [getattr(outcome, "code", "done") for outcome in outcomes] == [
        "SERVICE_UNAVAILABLE",
        "CONNECTION_ERROR",
        "done",
    ]
    assert [request.headers["x-attempt"] for request in world.receiver.requests] == ["1", "2", "3"]
    assert {request.headers["idempotency-key"] for request in world.receiver.requests} == {"job_1:7"}


def test_an_event_may_want_a_key_per_attempt_and_an_input_its_own(world: World) -> None:
    world.run("each", attempt=3)
    assert world.sent().headers["idempotency-key"] == "job_1:7:3"
    world.check("each", headers={"Idempotency-Key": "mine"})
    world.run("each", headers={"Idempotency-Key": "mine"})
    assert world.sent().headers["idempotency-key"] == "mine"


@pytest.mark.parametrize("name", ["X-Job-Id", "x-attempt", "X-SCHEDULED-FOR"])
@pytest.mark.parametrize("flat", [False, True])
def test_what_says_whose_call_it_is_is_not_an_inputs_to_say(world: World, name: str, flat: bool) -> None:
    input = {f"headers:{name}": "mine"} if flat else {"headers": {name: "mine"}}

    with pytest.raises(Invalid) as caught:
        world.check("list", **input)

    assert fields(caught) == {f"input.headers:{name}" if flat else f"input.headers.{name}": "invalid"}
    assert isinstance(world.run("list", **input), Done)  # of a job from before this was refused
    assert world.sent().headers[name.lower()] in ("job_1", "1", "1767323045000")


def test_every_run_of_a_recurring_job_has_a_key_of_its_own(world: World) -> None:
    with pytest.raises(Invalid, match="a key of its own") as caught:
        world.check("list", recurring=True, headers={"idempotency-KEY": "mine"})

    assert fields(caught) == {"input.headers.idempotency-KEY": "invalid"}


def test_a_catalog_from_before_cannot_hide_the_key_of_a_run(world: World) -> None:
    saved = SavedEvent.objects.get(tag="list")
    saved.settings |= {"headers": {"Idempotency-Key": "fixed", "X-Attempt": "9"}}
    saved.save()

    world.run("list", attempt=2)

    assert world.sent().headers["idempotency-key"] == "job_1:7"
    assert world.sent().headers["x-attempt"] == "2"


def test_an_upstream_that_hangs_is_a_timeout(world: World) -> None:
    world.receiver.answer("/list", Answer(hang=True))

    for outcome in (world.run("list", timeout=0.2), world.run("quick", timeout=30)):
        assert isinstance(outcome, Failed)
        assert (outcome.code, outcome.retryable) == ("TIMEOUT", True)
        assert "within 0.2 s" in outcome.message


def test_a_private_address_is_forbidden_and_not_retried(world: World, settings: Settings) -> None:
    settings.EGRESS_ALLOW_CIDRS = []

    outcome = world.run("list")

    assert isinstance(outcome, Failed)
    assert (outcome.code, outcome.retryable) == ("FORBIDDEN", False)
    assert "127.0.0.1 is not public" in outcome.message
    assert len(world.receiver.requests) == 0


def test_success_is_what_the_event_says(world: World) -> None:
    world.receiver.answer("/list", Answer(status=404), Answer(status=200))

    assert isinstance(world.run("created_only"), Done)
    assert isinstance(world.run("created_only"), Failed)


@pytest.mark.parametrize(
    ("auth", "name", "value"),
    [
        ({"type": "bearer", "token": "$Secret{TOKEN}"}, "authorization", "Bearer tok-live"),
        ({"type": "bearer", "token": "literal-token"}, "authorization", "Bearer literal-token"),
        ({"type": "basic", "username": "u", "password": "$Secret{TOKEN}"}, "authorization", "Basic " + base64.b64encode(b"u:tok-live").decode()),
        ({"type": "header", "name": "X-Api-Key", "value": "k-$Secret{TOKEN}"}, "x-api-key", "k-tok-live"),
    ],
    ids=["bearer", "literal", "basic", "header"],
)  # fmt: skip
def test_auth_is_sent_and_never_shown(receiver: Receiver, auth: dict[str, str], name: str, value: str) -> None:
    world = World(receiver, auth=auth)
    receiver.answer("/list", Answer(echo=True), Answer(status=400, echo=True), Answer(status=500, body=f"no: {value}"))

    outcomes = [world.run("list") for _ in range(3)]

    assert world.sent().headers[name] == value
    told = f"{outcomes!r} {world.executor.resolve(**world.where('list'))!r}"
    for secret in ("tok-live", "literal-token", value.removeprefix("Bearer ").removeprefix("Basic ")):
        assert secret not in told


def test_a_secret_in_the_query_is_encoded_and_never_shown(receiver: Receiver) -> None:
    world = World(receiver, auth={"type": "query", "name": "key", "value": "a b&c=tok-live"})
    receiver.answer("/list", Answer(status=400, echo=True))

    outcome = world.run("list", query={"q": "1"})

    assert world.sent().path == "/list?key=a%20b%26c%3Dtok-live&q=1"
    assert "tok-live" not in repr(outcome)


def test_an_environment_may_log_in_its_own_way(receiver: Receiver) -> None:
    world = World(
        receiver,
        auth={"type": "bearer", "token": "of-the-app"},
        envs={"prd": {"base_url": receiver.url, "auth": {"type": "bearer", "token": "of-the-environment"}}},
    )
    world.run("list")
    assert world.sent().headers["authorization"] == "Bearer of-the-environment"


def test_a_secret_of_the_environment_comes_before_that_for_all(receiver: Receiver) -> None:
    world = World(receiver, envs={"prd": {"base_url": receiver.url, "headers": {"X-Token": "$Secret{TOKEN}"}}})
    world.run("list")
    assert world.sent().headers["x-token"] == "tok-live"
    Secret.objects.filter(environment=world.env).delete()
    forget_everything()
    world.run("list")
    assert world.sent().headers["x-token"] == "tok-everywhere"


def test_a_form_is_sent_as_one(world: World) -> None:
    world.check("form", body={"a": ["1", 2], "b": "ü&"})
    world.run("form", body={"a": ["1", 2], "b": "ü&"})

    assert world.sent().headers["content-type"] == "application/x-www-form-urlencoded"
    assert world.sent().body == b"a=1&a=2&b=%C3%BC%26"
    with pytest.raises(Invalid, match="sent as a form"):
        world.check("form", body={"a": {"b": 1}})


def test_the_documents_own_example_takes_the_path_from_the_body(world: World) -> None:
    world.check("welcome", body={"userId": "user_123", "email": "john@example.com"})
    world.run("welcome", body={"userId": "user_123", "email": "john@example.com"})

    assert world.sent().path == "/users/user_123/welcome"
    assert world.sent().json() == {"userId": "user_123", "email": "john@example.com"}


@pytest.mark.parametrize(
    ("event", "input", "field", "code"),
    [
        ("list", {"qurey": {}}, "input.qurey", "unknown_field"),
        ("list", {"query": []}, "input.query", "invalid"),
        ("list", {"query": {"a": {}}}, "input.query.a", "invalid"),
        ("list", {"query": {"a": None}}, "input.query.a", "invalid"),
        ("list", {"headers": {"X-A": "a\r\nb"}}, "input.headers.X-A", "invalid"),
        ("list", {"headers": {"Host": "evil"}}, "input.headers.Host", "invalid"),
        ("list", {"headers": {"X-A": ["a"]}}, "input.headers.X-A", "invalid"),
        ("list", {"params": {"x": 1}}, "input.params.x", "unknown_field"),
        ("list", {"body": {"at": "$Nwo()"}}, "input.body.at", "expression_unsupported"),
        ("list", {"body": {"at": "$DateAdd($Now(), 1, 'dayz')"}}, "input.body.at", "expression_invalid"),
        ("create", {"params": {"userId": "u"}}, "input.params.noteId", "required"),
        ("create", {"params": {"userId": "..", "noteId": 1}}, "input.params.userId", "invalid"),
        ("create", {"params": {"userId": "", "noteId": 1}}, "input.params.userId", "invalid"),
        ("create", {"params": {"userId": {}, "noteId": 1}}, "input.params.userId", "invalid"),
        ("welcome", {"params": {"userId": "u"}}, "input.body.email", "schema_required"),
        ("welcome", {"params": {"userId": "u"}, "body": {"email": 5}}, "input.body.email", "schema_type"),
        ("welcome", {"params": {"userId": "u"}, "body": "text"}, "input.body", "schema_type"),
    ],
)  # fmt: skip
def test_a_wrong_input_is_told_at_dispatch(
    world: World, event: str, input: dict[str, Any], field: str, code: str
) -> None:
    with pytest.raises(Invalid) as caught:
        world.check(event, **input)

    assert fields(caught)[field] == code


def test_a_target_that_is_not_there_is_told_with_the_way_out(world: World) -> None:
    where = world.where("list")

    def told(**changes: Any) -> ApiError:
        with pytest.raises(ApiError) as caught:
            world.executor.check(**{**where, **changes}, input={}, recurring=False)
        with pytest.raises(ApiError):
            world.executor.resolve(**{**where, **changes})
        return caught.value

    assert (
        told(target={"app": "mial", "event": "list"}).detail == "no app 'mial' in product 'shop': did you mean 'mail'?"
    )
    missing = told(target={"app": "mail", "event": "xyz"})
    assert (missing.status, missing.code) == (404, "event_not_found")
    assert (
        missing.detail == "app 'mail' of product 'shop' has no event 'xyz': add it with PUT /v1/products/shop/catalog"
    )
    dev = Environment.objects.get(slug="dev")
    assert told(environment_id=dev.pk).detail == (
        "environment 'dev' of product 'shop' has no connection for app 'mail': PUT /v1/products/shop/apps/mail/envs/dev"
    )
    assert fields_of(told(target={"app": 5})) == {"app": "invalid", "event": "required"}
    assert fields_of(told(target={"event": "a\x00"})) == {"app": "required"}


def fields_of(error: ApiError) -> dict[str, str]:
    return {field.field: field.code for field in error.errors}


def test_a_secret_that_is_not_set_is_told_at_dispatch(receiver: Receiver) -> None:
    world = World(receiver, auth={"type": "bearer", "token": "$Secret{NOT_THERE}"})

    with pytest.raises(NotFound, match="the secret 'NOT_THERE' has no value in environment 'prd' of product 'shop'"):
        world.check("list")


@pytest.mark.parametrize(
    ("written", "told"),
    [
        ("$Secret{TOKN}", "the secret 'TOKN' has no value in {}, or did you mean 'TOKEN'?"),
        ("$Secret{ELSE}", "the secret 'ELSE' has no value in {}"),
        ("$Variable{mail}{colr}", "app 'mail' has no variable 'colr' in {}, or did you mean 'color'?"),
        ("$Constant{mail}{colr}", "app 'mail' has no constant 'colr' in {}, or did you mean 'colour'?"),
    ],
)
def test_a_value_that_there_is_none_of_is_told_with_the_nearest_name(
    receiver: Receiver, written: str, told: str
) -> None:
    world = World(
        receiver,
        variables=[{"key": "color", "default": "red", "type": "string"}],
        constants=[{"key": "colour", "value": "blue", "type": "string"}],
    )
    with pytest.raises(NotFound) as refused:
        world.check("list", headers={"X-Note": written})
    where = "environment 'prd' of product 'shop': set it with PUT /v1/products/shop/catalog"
    assert refused.value.detail == told.format(where)
    assert [error.field for error in refused.value.errors] == ["input.headers.X-Note"]


def test_other_names_of_a_target_are_understood(world: World) -> None:
    for target in ({"app": "mail", "action": "list"}, {"app": "mail", "event": "mail:list"}):
        world.executor.check(**{**world.where("list"), "target": target}, input={}, recurring=False)


def test_a_busy_target_costs_no_query(world: World, django_assert_num_queries: DjangoAssertNumQueries) -> None:
    world.check("list")
    with django_assert_num_queries(0):
        world.check("list", query={"a": 1})


def test_a_changed_catalog_counts_at_once_in_its_process(world: World) -> None:
    world.check("list")
    world.store(events=[{"tag": "other", "resource": "/x"}])
    with pytest.raises(NotFound, match="has no event 'list'"):
        world.check("list")


def test_an_unknown_namespace_names_the_known_ones(settings: Settings) -> None:
    settings.EXTRA_EXECUTORS = {"probe": "executors.namespaces.actions.ActionsExecutor"}

    with pytest.raises(Invalid) as caught:
        registry.get("action")
    assert f"did you mean 'actions'? (known: {', '.join(registry.known())})" in caught.value.detail
    assert registry.get("probe") is registry.get("probe")
