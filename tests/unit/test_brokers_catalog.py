"""Brokers in a catalog: what is read, what is secret, and how each mistake is told."""

from __future__ import annotations

from typing import Any

import pytest

from core.errors import Invalid
from executors.catalog.schema import read_document

RABBIT = {"url": "amqp://u:pw@127.0.0.1"}


def document(type: str | None, connection: dict[str, Any], *topics: dict[str, Any]) -> dict[str, Any]:
    typed = {"type": type} if type else {}
    return {"brokers": [{"tag": "main", **typed, "envs": {"prd": connection}, "topics": list(topics)}]}


def problems(*given: Any) -> dict[str, str]:
    with pytest.raises(Invalid) as caught:
        read_document(document(*given), "shop")
    return {error.field.removeprefix("brokers.0."): error.detail for error in caught.value.errors}


@pytest.mark.parametrize(
    ("type", "connection", "shown", "secret"),
    [
        ("RABBITMQ", RABBIT, set(), {"url"}),
        ("redis", {"host": "h", "port": "6379", "password": "pw"}, {"host", "port"}, {"password"}),
        ("kafka", {"brokers": ["a:9092", "b"], "clientId": "c", "ssl": True,
                   "sasl": {"mechanism": "PLAIN", "username": "u", "password": "pw"}},
         {"brokers", "clientId", "tls", "sasl"}, {"sasl.password"}),
        ("nats", {"servers": ["a:4222"], "user": "u", "pass": "pw"}, {"servers", "username"}, {"password"}),
        ("mqtt", {"connection_url": "mqtts://h"}, set(), {"url"}),
        ("AWS_SQS", {"region": "eu-west-1", "accessKeyId": "a", "secretAccessKey": "s"},
         {"region", "accessKeyId"}, {"secretAccessKey"}),
        ("google_pubsub", {"projectId": "p", "credentials": {"client_email": "e", "private_key": "k"}},
         {"projectId", "credentials"}, {"credentials.private_key"}),
    ],
)  # fmt: skip
def test_each_type_is_read_and_its_secrets_are_told_apart(
    type: str, connection: dict[str, Any], shown: set[str], secret: set[str]
) -> None:
    read = read_document(document(type, connection, {"tag": "main:news", "sample": {"a": 1}}), "shop")

    (broker,) = read.components["broker"]
    assert (set(broker.connections[0].settings), set(broker.connections[0].secrets)) == (shown, secret)
    assert [event.tag for event in broker.events] == ["news"]


@pytest.mark.parametrize(
    ("given", "field", "told"),
    [
        (("rabbit", RABBIT), "type", "did you mean 'rabbitmq'?"),
        (("rabbitmq", {}), "envs.prd.url", "is required"),
        (("rabbitmq", {"url": "http://h"}), "envs.prd.url", "must begin with amqp:// or amqps://"),
        (("kafka", {"brokers": ["u:pw@h"]}), "envs.prd.brokers", "a login is written in fields of its own"),
        (("sqs", {"region": "eu-west-1/x", "accessKeyId": "a", "secretAccessKey": "s"}), "envs.prd.region", "not such"),
        (("pubsub", {"projectId": "p"}), "envs.prd.credentials", "service account"),
        (("kafka", {"brokers": ["h"]}, {"tag": "a", "topic": "no spaces"}), "topics.0.topic", "is no topic there"),
        (("mqtt", {"url": "mqtt://h"}, {"tag": "a", "topic": "a/#"}), "topics.0.topic", "wildcards"),
        (("nats", {"servers": ["h"]}, {"tag": "a", "topic": "a.*"}), "topics.0.topic", "is no topic there"),
        (("mqtt", {"url": "mqtt://h"}, {"tag": "a", "exchange": "x"}), "topics.0.exchange", "means nothing to mqtt"),
        (("rabbitmq", RABBIT, {"tag": "a", "type": "consumer"}), "topics.0.type", "a job publishes"),
        (("rabbitmq", RABBIT, {"tag": "a", "headers": {"X-Job-Id": "1"}}), "topics.0.headers.X-Job-Id", "leave it out"),
        (("rabbitmq", RABBIT, {"tag": "a", "schema": {"type": "nothing"}}), "topics.0.schema.type", "not JSON Schema"),
        (("rabbitmq", RABBIT, {"tag": "a", "schema": {"$ref": "#"}}), "topics.0.schema.$ref", "not supported"),
        (("sqs", {"region": "e", "accessKeyId": "a", "secretAccessKey": "s"},
          {"tag": "a", "headers": {f"h{n}": "1" for n in range(6)}}), "topics.0.headers", "at most 5"),
    ],
)  # fmt: skip
def test_each_mistake_is_told_at_its_field(given: Any, field: str, told: str) -> None:
    assert told in problems(*given)[field]


def test_no_problem_shows_a_password() -> None:
    assert "hunter2" not in str(problems("rabbitmq", {"url": "ftp://u:hunter2@h"}))
