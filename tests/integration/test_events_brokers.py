"""What single brokers do besides what all do: routing, modes, deduplication, and their own ways to fail."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import Iterator
from typing import Any
from uuid import uuid4

import boto3
import jwt
import nats
import pytest
import redis
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from google.pubsub_v1.types import PublishRequest, PublishResponse
from kombu.connection import Connection
from moto.server import ThreadedMotoServer

from executors.base import AttemptFailed, Done, Failed
from executors.providers.broker.check import check
from executors.providers.broker.nats import open_publisher as open_nats
from executors.providers.broker.sqs import failure
from tests.integration.broker_systems import Kafka
from tests.integration.broker_world import World, together
from tests.servers.machine import needs
from tests.servers.receiver import Answer, Receiver

pytestmark = pytest.mark.django_db


@pytest.fixture
def name() -> str:
    return f"t-{uuid4().hex[:12]}"


def failed(outcome: Any) -> tuple[str, bool]:
    assert isinstance(outcome, Failed), outcome
    return outcome.code, outcome.retryable


@pytest.fixture
def rabbit() -> Iterator[Any]:
    host, port = needs("rabbitmq")
    with Connection(f"amqp://guest:guest@{host}:{port}//") as connection:
        yield connection.channel()


RABBIT = {"url": "amqp://guest:guest@127.0.0.1:5672//"}


def test_rabbitmq_fails_where_no_queue_takes_the_message_or_there_is_no_exchange(rabbit: Any, name: str) -> None:
    world = World(
        "rabbitmq", RABBIT, {"tag": "nowhere", "topic": name}, {"tag": "lost", "exchange": name, "routing_key": "a"}
    )

    nowhere, lost = world.run("nowhere", message={}), world.run("lost", message={})

    assert failed(nowhere) == failed(lost) == ("NOT_FOUND", False)
    assert f"no queue takes the message (queue {name!r}): declare or bind one" in str(nowhere)
    assert "no exchange" in str(lost)


def test_rabbitmq_publishes_to_an_exchange_by_the_key_and_with_its_properties(rabbit: Any, name: str) -> None:
    rabbit.exchange_declare(name, "topic", durable=False, auto_delete=True)
    rabbit.queue_declare(name, durable=False, exclusive=True)
    rabbit.queue_bind(name, name, "orders.*")
    world = World("rabbitmq", RABBIT, {"tag": "orders", "exchange": name, "priority": 3, "expiration": 60_000})

    outcome = world.run("main:orders", message="plain text", key="orders.new", options={"persistent": False})

    assert outcome == Done(
        {
            "success": True, "process_id": "job_1:7", "exchange": name, "routing_key": "orders.new",
            "message_id": "job_1:7",
        }
    )  # fmt: skip
    message = rabbit.basic_get(name, no_ack=True)
    properties = message.properties
    assert (message.body, properties["content_type"]) == ("plain text", "text/plain; charset=utf-8")
    wanted = {"priority": 3, "expiration": "60000", "delivery_mode": 1, "message_id": "job_1:7"}
    assert {key: properties[key] for key in wanted} == wanted


def test_rabbitmq_says_that_a_full_queue_did_not_take_the_message(rabbit: Any, name: str) -> None:
    rabbit.queue_declare(
        name, durable=False, exclusive=True, arguments={"x-max-length": 1, "x-overflow": "reject-publish"}
    )
    world = World("rabbitmq", RABBIT, {"tag": "full", "topic": name})

    outcomes = [world.run("full", message={}) for _ in range(3)]

    assert failed(outcomes[-1]) == ("SERVICE_UNAVAILABLE", True)


@pytest.fixture
def store() -> Iterator[redis.Redis]:
    host, port = needs("redis")
    client = redis.Redis(host=host, port=port, db=9)
    yield client
    client.close()


def test_redis_pushes_and_tells_receivers(store: Any, name: str) -> None:
    world = World(
        "redis", {"url": "redis://127.0.0.1:6379/9", "mode": "list"}, {"tag": "list", "topic": name},
        {"tag": "wrapped", "topic": name, "envelope": True}, {"tag": "channel", "topic": name, "mode": "pubsub"},
        {"tag": "stream", "topic": name, "mode": "stream"},
    )  # fmt: skip
    listening = store.pubsub(ignore_subscribe_messages=True)
    listening.subscribe(name)

    pushed, wrapped = world.run("list", message={"n": 1}), world.run("wrapped", message={"n": 2}, key="k")
    told = world.run("channel", message={"n": 3})
    mistaken = world.run("stream", message={})

    assert isinstance(pushed, Done)
    assert pushed.result == {"success": True, "process_id": "job_1:7", "list": name, "length": 1}
    assert isinstance(wrapped, Done)
    first, second = (json.loads(entry) for entry in store.lrange(name, 0, -1))
    assert first == {"n": 1}
    assert (second["id"], second["key"], second["message"]) == ("job_1:7", "k", {"n": 2})
    assert isinstance(told, Done)
    assert told.result["receivers"] == 1
    assert failed(mistaken) == ("VALIDATION_ERROR", False)
    listening.close()
    store.delete(name)


def test_nats_needs_a_stream_and_drops_repetitions(name: str) -> None:
    host, port = needs("nats")
    at = {"servers": [f"{host}:{port}"]}

    async def managed(work: str, **given: Any) -> None:
        client = await nats.connect(f"nats://{host}:{port}")
        await getattr(client.jetstream(), work)(name=name, **given)
        await client.close()

    world = World("nats", at, {"tag": "news", "topic": f"{name}.a"})
    homeless = world.run(message={})
    asyncio.run(managed("add_stream", subjects=[f"{name}.>"]))
    first, second = world.run(message={}), world.run(attempt=2, message={})
    asyncio.run(managed("delete_stream"))
    world = World("nats", {**at, "jetstream": False}, {"tag": "news", "topic": f"{name}.a"})
    core = world.run(message={})
    large = world.run(message={"text": "x" * 1_100_000})

    assert failed(homeless) == ("NOT_FOUND", False)
    assert isinstance(first, Done)
    assert isinstance(second, Done)
    assert first.result == {
        "success": True, "process_id": "job_1:7", "stream": name, "sequence": 1, "duplicate": False,
    }  # fmt: skip
    assert (second.result["sequence"], second.result["duplicate"]) == (1, True)
    assert isinstance(core, Done)
    assert core.result["subject"] == f"{name}.a"
    assert failed(large) == ("VALIDATION_ERROR", False)


@pytest.mark.parametrize("qos", [0, 1, 2])
@pytest.mark.parametrize("protocol", ["5", "3.1.1"])
def test_mqtt_publishes_at_each_quality(protocol: str, qos: int, name: str) -> None:
    host, port = needs("mosquitto")
    world = World(
        "mqtt", {"host": host, "port": port, "protocol": protocol, "qos": qos}, {"tag": "news", "topic": name}
    )

    outcome = world.run(message={})

    assert isinstance(outcome, Done), outcome
    assert (outcome.result["qos"], outcome.result["confirmed"]) == (qos, qos > 0)


def test_kafka_tells_of_a_message_that_is_too_large_and_of_a_topic_that_nobody_made() -> None:
    broker = Kafka("127.0.0.1", 0)
    broker.open()
    world = World("kafka", broker.connection(), broker.topic(), {"tag": "few", "topic": broker.name, "partition": 999})

    large, nowhere = world.run(message={"text": "x" * 1_100_000}), world.run("few", message={})

    assert failed(large) == ("VALIDATION_ERROR", False)
    assert failed(nowhere) == ("NOT_FOUND", False)
    broker.close()


def test_a_fifo_queue_takes_a_run_once_and_in_its_group(name: str) -> None:
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    _, port = server.get_host_and_port()
    sqs = boto3.client(
        "sqs", region_name="eu-west-1", endpoint_url=f"http://127.0.0.1:{port}", aws_access_key_id="a",
        aws_secret_access_key="b",
    )  # fmt: skip
    url = sqs.create_queue(QueueName=f"{name}.fifo", Attributes={"FifoQueue": "true"})["QueueUrl"]
    at = {"region": "eu-west-1", "accessKeyId": "a", "secretAccessKey": "b", "endpoint_url": f"http://127.0.0.1:{port}"}
    world = World(
        "aws_sqs", at, {"tag": "orders", "queueUrls": [{"env_slug": "prd", "url": url}]}, {"tag": "none", "topic": "no"}
    )

    outcomes = [world.run("orders", attempt=attempt, message={"n": 1}, key="customer-1") for attempt in (1, 2)]
    missing = world.run("none", message={})
    messages = sqs.receive_message(QueueUrl=url, AttributeNames=["All"], MaxNumberOfMessages=10)["Messages"]

    assert all(isinstance(outcome, Done) for outcome in outcomes), outcomes
    (message,) = messages
    assert message["Attributes"]["MessageGroupId"] == "customer-1"
    assert failed(missing) == ("NOT_FOUND", False)
    sqs.close()
    server.stop()


@pytest.mark.parametrize(
    ("error", "status", "told"),
    [
        ("QueueDoesNotExist", 400, ("NOT_FOUND", False)), ("RequestThrottled", 400, ("RATE_LIMITED", True)),
        ("ThrottlingException", 400, ("RATE_LIMITED", True)), ("InvalidClientTokenId", 403, ("UNAUTHORIZED", False)),
        ("AccessDeniedException", 400, ("FORBIDDEN", False)), ("InvalidMessageContents", 400, ("VALIDATION_ERROR", False)),
        ("", 503, ("SERVICE_UNAVAILABLE", True)), ("SignatureDoesNotMatch", 403, ("UNAUTHORIZED", False)),
    ],
)  # fmt: skip
def test_each_error_of_sqs_has_its_code(error: str, status: int, told: tuple[str, bool]) -> None:
    assert failure(error, status) == told


def test_pubsub_is_asked_as_googles_schema_says_with_a_token_that_its_account_signed() -> None:
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    pem = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    ).decode()
    with Receiver() as receiver:
        receiver.answer("/v1/projects/p-1/topics/news:publish", Answer(
            body=json.loads(PublishResponse.to_json(PublishResponse(message_ids=["42"])))
        ))  # fmt: skip
        account = {"type": "service_account", "client_email": "a@p-1.iam", "private_key": pem, "private_key_id": "k1"}
        world = World(
            "google_pubsub", {"projectId": "p-1", "credentials": account, "endpoint_url": receiver.url},
            {"tag": "news"},
        )  # fmt: skip

        outcome = world.run(message={"n": 1}, key="k")
        receiver.answer("/v1/projects/p-1/topics/news:publish", Answer(status=403))
        denied = world.run(message={"n": 1})

    assert outcome == Done(
        {"success": True, "process_id": "job_1:7", "topic": "projects/p-1/topics/news", "message_id": "42"}
    )
    assert failed(denied) == ("FORBIDDEN", False)
    request = receiver.requests[0]
    sent = PublishRequest.from_json(request.body)
    assert (json.loads(sent.messages[0].data), sent.messages[0].ordering_key) == ({"n": 1}, "k")
    assert sent.messages[0].attributes["idempotency-key"] == "job_1:7"
    token = request.headers["authorization"].removeprefix("Bearer ")
    claims = jwt.decode(token, key.public_key(), algorithms=["RS256"], audience="https://pubsub.googleapis.com/")
    assert (claims["iss"], claims["sub"], jwt.get_unverified_header(token)["kid"]) == ("a@p-1.iam", "a@p-1.iam", "k1")
    assert base64.b64decode(json.loads(request.body)["messages"][0]["data"]) == b'{"n":1}'


@pytest.mark.parametrize("by", ["the connection", "the worker's variable"])
def test_pubsubs_emulator_is_asked_in_googles_place_and_nobody_logs_in(
    by: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Receiver() as receiver:
        at = receiver.url.removeprefix("http://")
        receiver.answer("/v1/projects/p-1/topics/news:publish", Answer(body={"messageIds": ["7"]}))
        receiver.answer("/v1/projects/p-1/topics", Answer(body={"topics": []}))
        if by == "the connection":
            monkeypatch.delenv("PUBSUB_EMULATOR_HOST", raising=False)
            connection = {"projectId": "p-1", "emulatorHost": at}
        else:
            monkeypatch.setenv("PUBSUB_EMULATOR_HOST", at)
            connection = {"projectId": "p-1"}
        world = World("pubsub", connection, {"tag": "news"})

        outcome, reached = world.run(message={"n": 1}), together(check(world.opened()))

    assert isinstance(outcome, Done), outcome
    assert outcome.result["message_id"] == "7"
    assert reached == "connected: Pub/Sub, project p-1"
    assert [request.headers.get("authorization") for request in receiver.requests] == [None, None]


def test_nats_leaves_no_socket_of_a_connection_that_was_refused() -> None:
    hung_up: list[bytes] = []
    gone = asyncio.Event()

    async def refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b'INFO {"server_id":"x","version":"2.9.0","max_payload":1000,"auth_required":true}\r\n')
        writer.write(b"-ERR 'Authorization Violation'\r\n")
        hung_up.append(await reader.read())  # until the other side hangs up
        writer.close()
        gone.set()

    async def story() -> Failed:
        server = await asyncio.start_server(refuse, "127.0.0.1", 0)
        connection = {"servers": [f"127.0.0.1:{server.sockets[0].getsockname()[1]}"]}
        with pytest.raises(AttemptFailed) as refused:
            await open_nats(connection)
        async with asyncio.timeout(5), server:
            await gone.wait()
        return refused.value.failed

    failed = asyncio.run(story())

    assert (failed.code, failed.retryable) == ("UNAUTHORIZED", False)
    assert len(hung_up) == 1
