"""References and functions in the input of an action: checked at dispatch, put in at the run, hidden where secret."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from pytest_django import Settings

from core.errors import Invalid
from core.shortcache import forget_everything
from executors.base import Done, Failed, Session
from jobs.models import Job
from tests.integration.action_world import SCHEDULED, World
from tests.integration.api import OPERATOR, Api
from tests.integration.dispatch_world import ACTIONS, BODY, catalog
from tests.servers.receiver import Answer, Receiver

pytestmark = pytest.mark.django_db

EVENTS: list[dict[str, Any]] = [
    {"tag": "free", "method": "POST", "resource": "/free"},
    {"tag": "path", "method": "POST", "resource": "/u/:userId"},
    {
        "tag": "typed", "method": "POST", "resource": "/typed",
        "body": {"type": "object", "properties": {
            "at": {"type": "string", "format": "date-time"}, "n": {"type": "integer"}, "user": {"type": "object"},
            "days": {"type": "array", "items": {"type": "string", "format": "date"}},
        }},
    },
]  # fmt: skip
SESSION = Session("user-session", {"user": {"id": "u_1", "email": "a@example.com"}, "q": {"a": 1, "b": "x"}})


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with Receiver() as running:
        yield running


@pytest.fixture
def world(receiver: Receiver) -> World:
    forget_everything()
    return World(receiver, events=EVENTS, constants={"limit": 5}, variables=[{"key": "region", "default": "eu"}])


def wrong(world: World, event: str, **input: Any) -> dict[str, str]:
    with pytest.raises(Invalid) as caught:
        world.check(event, **input)
    return {error.field: error.detail for error in caught.value.errors}


def test_the_sessions_values_are_put_in_whole_and_within_a_text(world: World) -> None:
    """S3's own: `recipients: ['$Session{user}{email}']`, with the session's tag `user-session`."""
    body = {
        "to": ["$Session{user}{email}"],
        "user": "$Session{user-session}{user}",
        "text": "$Uppercase($Session{user}{id})! $Session{q}",
    }
    world.check("free", body=body)
    world.run("free", session=SESSION, body=body)

    assert world.sent().json() == {
        "to": ["a@example.com"],
        "user": {"id": "u_1", "email": "a@example.com"},
        "text": 'U_1! {"a":1,"b":"x"}',
    }


def test_a_whole_part_of_a_request_may_be_what_a_reference_stands_for(world: World) -> None:
    world.check("path", params="$Session{user}", query="$Session{q}", headers="$Session{q}", body="$Session{q}")
    world.run(
        "path", session=Session("s", {"p": {"userId": "7"}, "q": {"a": 1}}), params="$Session{p}", query="$Session{q}"
    )

    assert world.sent().path == "/u/7?a=1"

    outcome = world.run("path", session=SESSION, params="$Session{q}")
    assert isinstance(outcome, Failed)
    assert outcome.code == "VALIDATION_ERROR"
    assert "input.params.userId" in outcome.message


def test_facts_of_the_run_are_its_own(world: World) -> None:
    body = {"week": "$Var(execution_count)", "try": "$Var(attempt) of $Var(job_id)", "for": "$Var(scheduled_at)"}
    world.check("free", body=body)
    world.run("free", attempt=2, body=body)

    assert world.sent().json() == {"week": 7, "try": "2 of job_1", "for": int(SCHEDULED.timestamp() * 1000)}


def test_a_computed_time_is_written_as_the_schema_types_it(world: World) -> None:
    """Contracts §5.2, row 29."""
    body = {
        "at": "$Add($Var(scheduled_at), 1000)",
        "days": ["$Var(scheduled_at)"],
        "n": "$Add('1', $Constant{mail}{limit})",
    }
    world.check("typed", body=body)
    world.run("typed", body=body)

    assert world.sent().json() == {"at": "2026-01-02T03:04:06.000Z", "days": ["2026-01-02"], "n": 6}


def test_what_is_known_at_dispatch_is_checked_against_the_schema(world: World) -> None:
    assert wrong(world, "typed", body={"n": "$Concat(['a', 'b'])"}) == {"input.body.n": "'ab' is not of type 'integer'"}
    assert "input.body.n" in wrong(world, "typed", body={"n": "$Add(0.5, 1)"})
    world.check("typed", body={"n": "$Length('abc')", "user": "$Session{user}"})
    world.check("typed", body={"n": "$Length{$Session{user}}"})


@pytest.mark.parametrize("reference", ["$Input{a}", "$Step{a}{b}", "$Sequence{a}{b}"])
def test_a_reference_of_features_is_refused_in_the_input_of_a_dispatch(world: World, reference: str) -> None:
    told = wrong(world, "free", body={"a": f"é $Trim({reference})"})["input.body.a"]
    assert told.startswith(f"at offset 8: {reference} can have no value in an input: only in a feature")


def test_what_is_missing_fails_the_run_with_its_field_and_its_reference(world: World) -> None:
    world.check("free", body={"user": [{"id": "x $Session{user}{name}"}]})
    outcome = world.run("free", session=SESSION, body={"user": [{"id": "x $Session{user}{name}"}]})

    assert isinstance(outcome, Failed)
    assert (outcome.code, outcome.retryable) == ("VALIDATION_ERROR", False)
    assert outcome.message.endswith(
        "the input cannot be resolved: input.body.user.0.id: at offset 2: "
        "$Session{user}{name} has no value: there is no 'name' in {user}"
    )
    assert len(world.receiver.requests) == 0


def test_a_missing_value_of_a_flat_input_is_told_at_the_field_that_was_written(world: World) -> None:
    flat: dict[str, Any] = {"userId": "u", "body:name": {"a": "$Session{nope}"}}
    outcome = world.run("path", session=SESSION, **flat)

    assert isinstance(outcome, Failed)
    assert "input.body:name.a: at offset 0: $Session{nope} has no value" in outcome.message


def test_what_a_function_makes_of_a_secret_is_hidden_too(world: World, receiver: Receiver) -> None:
    body = {
        "a": "$Uppercase($Secret{TOKEN})",
        "b": "x $Substring($Secret{TOKEN}, 0, 6)",
        "c": "$Split($Secret{TOKEN}, '-')",
        "d": "$Concat(['plain ', $Constant{mail}{limit}])",
    }
    receiver.answer("/free", Answer(body={"a": "TOK-LIVE", "b": "tok-li", "c": "live!", "d": "plain 5"}))
    outcome = world.run("free", body=body)

    assert world.sent().json() == {"a": "TOK-LIVE", "b": "x tok-li", "c": ["tok", "live"], "d": "plain 5"}
    assert isinstance(outcome, Done)
    assert outcome.result["body"] == {"a": "***", "b": "***", "c": "***!", "d": "plain 5"}


def test_a_session_is_needed_for_what_is_of_one(settings: Settings) -> None:
    settings.OPERATOR_API_KEY = OPERATOR
    settings.ROOT_URLCONF = "tests.integration.api"
    catalog()
    input = {"body": {"to": ["é $Session{user}{email}"], "again": "$Length{$Session{user}}"}}

    answer = Api().post(ACTIONS, {**BODY, "input": input})

    assert answer.status_code == 400
    errors = {error["field"]: error for error in answer.json()["errors"]}
    assert errors.keys() == {"input.body.to.0", "input.body.again"}
    assert errors["input.body.to.0"]["code"] == "session_required"
    assert errors["input.body.to.0"]["detail"] == (
        "at offset 2: $Session{user}{email} has no value without a session: give `session` with the dispatch"
    )
    assert Job.objects.count() == 0


@pytest.mark.parametrize("status", [200, 422])
def test_an_answer_that_is_cut_within_a_secret_shows_no_beginning_of_it(world: World, status: int) -> None:
    told = "you sent literal-token"
    world.receiver.answer("/list", Answer(status=status, body=told, headers={"Content-Type": "text/plain"}))
    for size in range(1, len(told) + 1):
        world.store(
            max_response_bytes=size, large_response="truncate", auth={"type": "bearer", "token": "literal-token"}
        )
        outcome = world.run("list")
        shown = outcome.result["body"] if isinstance(outcome, Done) else outcome.message
        assert "literal-" not in shown, (size, shown)
