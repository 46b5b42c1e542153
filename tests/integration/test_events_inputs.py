"""What is wrong with an input of `events` is told at dispatch, at its field and with the way out."""

from __future__ import annotations

from typing import Any

import pytest

from core.errors import Invalid, NotFound
from executors.base import Failed
from tests.integration.broker_world import World
from tests.servers.local import free_port

pytestmark = pytest.mark.django_db

SCHEMA = {
    "type": "object", "required": ["id"], "additionalProperties": False,
    "properties": {"id": {"type": "integer"}, "at": {"type": "integer"}, "secret": {"type": "string"}},
}  # fmt: skip


@pytest.fixture
def world() -> World:
    url = f"amqp://guest:p4ssw0rd@127.0.0.1:{free_port()}//"
    return World("rabbitmq", {"url": url}, {"tag": "news"}, {"tag": "strict", "schema": SCHEMA})


@pytest.mark.parametrize(
    ("input", "field", "told"),
    [
        ({}, "input.message", "is required"),
        ({"message": [1]}, "input.message", "must be an object, or text"),
        ({"mesage": {}, "message": {}}, "input.mesage", "did you mean 'message'?"),
        ({"message": {}, "headers": "x"}, "input.headers", "must be an object"),
        ({"message": {}, "headers": {"a": [1]}}, "input.headers.a", "must be text"),
        ({"message": {}, "headers": {"a": "x\r\ny"}}, "input.headers.a", "line break"),
        ({"message": {}, "headers": {"Idempotency-Key": "x"}}, "input.headers.Idempotency-Key", "leave it out"),
        ({"message": {}, "key": {"a": 1}}, "input.key", "must be text"),
        ({"message": {}, "options": {"prioritty": 1}}, "input.options.prioritty", "did you mean 'priority'?"),
        ({"message": {}, "options": {"priority": 300}}, "input.options.priority", "between 0 and 255"),
    ],
)
def test_a_wrong_field_is_told(world: World, input: dict[str, Any], field: str, told: str) -> None:
    with pytest.raises(Invalid) as caught:
        world.check(**input)

    (error,) = caught.value.errors
    assert (error.field, told in error.detail) == (field, True), error


def test_a_message_is_checked_by_the_schema_of_its_topic(world: World) -> None:
    world.check("strict", message={"id": 1, "at": "$Now()", "secret": "$Secret{TOKEN}"})
    with pytest.raises(Invalid) as caught:
        world.check("strict", message={"secret": 5, "idd": 1})

    assert {error.field: error.code for error in caught.value.errors} == {
        "input.message.id": "schema_required",
        "input.message.secret": "schema_type",
        "input.message.idd": "schema_additionalProperties",
    }


def test_what_only_a_run_knows_is_checked_in_the_run(world: World) -> None:
    world.check("strict", message={"id": "$Secret{TOKEN}"})

    outcome = world.run("strict", message={"id": "$Secret{TOKEN}"})

    assert isinstance(outcome, Failed)
    assert (outcome.code, outcome.retryable) == ("VALIDATION_ERROR", False)
    assert "input.message.id" in outcome.message
    assert "tok-everywhere" not in outcome.message


def test_a_broker_that_carries_no_headers_says_so() -> None:
    world = World("redis", {"url": "redis://127.0.0.1", "mode": "list"}, {"tag": "news"})

    with pytest.raises(Invalid) as caught:
        world.check(message={}, headers={"a": "b"}, key="k")

    assert {error.field for error in caught.value.errors} == {"input.headers", "input.key"}
    assert "set `envelope: true` on the topic" in caught.value.errors[0].detail


def test_an_unknown_topic_is_told_with_the_one_that_was_meant(world: World) -> None:
    world.check("main:news", message={})
    with pytest.raises(NotFound) as caught:
        world.check("newz", message={})

    assert "did you mean 'news'?" in caught.value.detail


def test_no_failure_shows_the_login(world: World) -> None:
    outcome = world.run(message={"a": 1})

    assert isinstance(outcome, Failed)
    assert "p4ssw0rd" not in str(outcome)
