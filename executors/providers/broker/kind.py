"""Message brokers in the catalog: how each type is reached, and the topics that jobs publish to. Imports no driver."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from typing import Any, Final

from core.fields import not_one_of
from core.http import InvalidRequest, check_headers, check_url
from executors.catalog.app_schema import read_json_schema
from executors.catalog.kinds import ShapedKind
from executors.catalog.reading import Reader
from executors.catalog.shapes import Anything, Field, Flag, Inner, Pairs, Shape, Text, Texts, Whole
from executors.own_headers import EVERY_CALL, IN_THE_CATALOG
from executors.providers.broker.endpoints import Schemes, host_ports, url_of

AMQP: Final[Schemes] = {"amqp": (5672, False), "amqps": (5671, True)}
REDIS: Final[Schemes] = {"redis": (6379, False), "rediss": (6379, True)}
NATS: Final[Schemes] = {"nats": (4222, False), "tls": (4222, True)}
MQTT: Final[Schemes] = {"mqtt": (1883, False), "mqtts": (8883, True)}
KAFKA_PORT: Final = 9092

_URL_NAMES = ("connection_url",)
_MOST_SQS_HEADERS = 10 - len(EVERY_CALL) - 1  # a message has ten attributes; ours and its content type are among them


def _reached(schemes: Schemes) -> dict[str, Field]:
    """A server by its URL or its host, the login, and TLS."""
    return {
        "url": Text(secret=True, aliases=_URL_NAMES, check=url_of(schemes)),
        "host": Text(),
        "port": Whole(low=1, high=65_535),
        "username": Text(aliases=("user",)),
        "password": Text(secret=True, aliases=("pass",)),
        **_tls(),
    }


def _tls() -> dict[str, Field]:
    return {"tls": Flag(aliases=("ssl",)), "ca": Text(limit=100_000)}


CONNECTIONS: Final[Mapping[str, Shape]] = {
    "rabbitmq": {**_reached(AMQP), "vhost": Text()},
    "redis": {
        **_reached(REDIS),
        "db": Whole(low=0, high=100_000, aliases=("database",)),
        "mode": Text(choices=("stream", "pubsub", "list"), fold=str.lower),
    },
    "kafka": {
        "brokers": Texts(required=True, aliases=("servers", "url", "connection_url"), most=50),
        "clientId": Text(aliases=("client_id",)),
        "groupId": Text(aliases=("group_id",)),
        "sasl": Inner(
            shape={
                "mechanism": Text(
                    required=True, choices=("plain", "scram-sha-256", "scram-sha-512"), fold=str.lower
                ),
                "username": Text(required=True),
                "password": Text(required=True, secret=True),
            }
        ),
        **_tls(),
    },
    "nats": {
        "url": Text(secret=True, aliases=_URL_NAMES, check=url_of(NATS)),
        "servers": Texts(most=50),
        "token": Text(secret=True),
        "username": Text(aliases=("user",)),
        "password": Text(secret=True, aliases=("pass",)),
        "jetstream": Flag(),
        **_tls(),
    },
    "mqtt": {
        **_reached(MQTT),
        "clientId": Text(aliases=("client_id",)),
        "protocol": Text(choices=("5", "3.1.1")),
        "qos": Whole(low=0, high=2),
    },
    "sqs": {
        "region": Text(required=True, pattern=re.compile(r"[a-z0-9\-]{1,40}")),
        "accessKeyId": Text(required=True, aliases=("access_key_id",)),
        "secretAccessKey": Text(required=True, secret=True, aliases=("secret_access_key",)),
        "sessionToken": Text(secret=True, aliases=("session_token",)),
        "endpoint_url": Text(aliases=("endpoint", "endpointUrl")),
        "queueUrls": Pairs(aliases=("queue_urls",)),
    },
    "pubsub": {
        "projectId": Text(required=True, aliases=("project_id",), pattern=re.compile(r"[A-Za-z0-9.:\-]{1,100}")),
        "credentials": Inner(
            shape={
                "client_email": Text(required=True),
                "private_key": Text(required=True, secret=True),
                **{
                    name: Text()
                    for name in (
                        "private_key_id", "type", "project_id", "client_id", "auth_uri", "token_uri",
                        "auth_provider_x509_cert_url", "client_x509_cert_url", "universe_domain",
                    )
                },
            }
        ),
        "credentialsJson": Text(secret=True, aliases=("credentials_json",)),
        "emulatorHost": Text(aliases=("emulator_host",)),
        "endpoint_url": Text(aliases=("endpoint", "endpointUrl")),
    },
}  # fmt: skip

# What a topic may say for all its messages, and an input's `options` for one.
OPTIONS: Final[Mapping[str, Shape]] = {
    "rabbitmq": {
        "exchange": Text(limit=255),
        "routing_key": Text(limit=255, aliases=("routingKey",)),
        "priority": Whole(low=0, high=255),
        "expiration": Whole(low=0, high=2**32 - 1),  # ms
        "persistent": Flag(),
    },
    "redis": {"max_length": Whole(low=1, high=2**53, aliases=("maxlen",))},
    "kafka": {"partition": Whole(low=0, high=1_000_000)},
    "nats": {"stream": Text(limit=255)},
    "mqtt": {"qos": Whole(low=0, high=2), "retain": Flag()},
    "sqs": {
        "group_id": Text(limit=128, aliases=("messageGroupId", "MessageGroupId")),
        "delay_seconds": Whole(low=0, high=900, aliases=("delaySeconds", "DelaySeconds")),
    },
    "pubsub": {},
}
_ONLY_OF_TOPICS: Final[Mapping[str, Shape]] = {
    "redis": {"mode": Text(choices=("stream", "pubsub", "list"), fold=str.lower), "envelope": Flag()},
    "mqtt": {"envelope": Flag()},
    "sqs": {"queueUrls": Anything(types=(dict, list), told="{environment: URL}", aliases=("queue_urls",))},
}
_TOPIC: Final[Shape] = {
    "topic": Text(limit=512),
    "type": Text(choices=("producer", "consumer", "both"), fold=str.lower),
    "sample": Anything(),
    "schema": Anything(types=(dict,), told="a JSON Schema, an object"),
    "headers": Pairs(),
    "key": Text(limit=2048),
}
EVENT: Final[Shape] = {
    **_TOPIC,
    **{name: field for shape in (*OPTIONS.values(), *_ONLY_OF_TOPICS.values()) for name, field in shape.items()},
}

# Names of topics that a broker never takes.
_NAMES: Final[Mapping[str, tuple[re.Pattern[str], str]]] = {
    "kafka": (re.compile(r"(?!\.{1,2}$)[A-Za-z0-9._\-]{1,249}"), "1 to 249 letters, digits, '.', '_' and '-'"),
    "nats": (re.compile(r"[^\s.*>\x00]+(\.[^\s.*>\x00]+)*"), "words divided by '.', without spaces, '*' and '>'"),
    "mqtt": (re.compile(r"[^+#\x00]+"), "a topic without the wildcards '+' and '#'"),
    "rabbitmq": (re.compile(r"[^\x00]{1,255}"), "at most 255 characters"),
    "pubsub": (
        re.compile(r"(projects/[A-Za-z0-9.:\-]+/topics/)?(?!goog)[A-Za-z][A-Za-z0-9\-_.~+%]{2,254}"),
        "a topic's id: a letter, then letters, digits and -_.~+%",
    ),
}
_KEYLESS: Final = frozenset({"nats", "mqtt"})


def wrong_name(type: str, name: str) -> str | None:
    """Why a broker of that type has no topic of that name."""
    pattern, told = _NAMES.get(type, (None, ""))
    return None if pattern is None or pattern.fullmatch(name) else f"{name[:60]!r} is no topic there: {told}"


def redis_mode(connection: Mapping[str, Any], topic: Mapping[str, Any]) -> str:
    """How a message gets into Redis: `stream`, `pubsub` or `list`."""
    return str(topic.get("mode") or connection.get("mode") or "stream")


def carries_headers(type: str, connection: Mapping[str, Any], topic: Mapping[str, Any]) -> bool:
    """Whether headers have a place beside the message."""
    if topic.get("envelope"):
        return True
    if type == "redis":
        return redis_mode(connection, topic) == "stream"
    return type != "mqtt" or connection.get("protocol", "5") == "5"


def carries_keys(type: str, connection: Mapping[str, Any], topic: Mapping[str, Any]) -> bool:
    """Whether a key means anything there."""
    return bool(topic.get("envelope")) or (type not in _KEYLESS and carries_headers(type, connection, topic))


def wrong_headers(type: str | None, headers: Mapping[str, Any]) -> str | None:
    """What a set of headers cannot be on a broker of that type."""
    if type == "sqs" and len(headers) > _MOST_SQS_HEADERS:
        return f"SQS takes ten attributes of a message, five of them ours: give at most {_MOST_SQS_HEADERS}"
    return None


def _refine_connection(component: Mapping[str, Any], settings: Mapping[str, Any], reader: Reader) -> None:
    type = settings.get("type") or component.get("type")
    if type in {"rabbitmq", "redis", "mqtt"} and not _gives(reader, "url", "connection_url", "host"):
        reader.problem("url", "is required: or `host`, with `port`, `username`, `password`", "required")
    if type == "nats" and not _gives(reader, "url", "connection_url", "servers"):
        reader.problem("servers", "is required: a list of host:port", "required")
    for name, port in (("brokers", KAFKA_PORT), ("servers", NATS["nats"][0])):
        texts = [text for text in settings.get(name, ()) if "$" not in text]
        try:
            list(host_ports(texts, port))
        except ValueError as error:
            reader.problem(name, f"{error}; a login is written in fields of its own")
    logins = ("credentials", "credentialsJson", "credentials_json", "emulatorHost", "emulator_host")
    if type == "pubsub" and not _gives(reader, *logins) and not os.environ.get("PUBSUB_EMULATOR_HOST"):
        reader.problem("credentials", "is required: the JSON of a service account", "required")
    urls = {"endpoint_url": settings.get("endpoint_url", "")}
    urls |= {f"queueUrls.{name}": text for name, text in settings.get("queueUrls", {}).items()}
    for name, text in urls.items():
        _check_http(text, name, reader)


def _gives(reader: Reader, *names: str) -> bool:
    return any(reader.data.get(name) is not None for name in names)


def _check_http(text: Any, name: str, reader: Reader) -> None:
    if not isinstance(text, str):
        reader.problem(name, "must be text: a URL")
    elif text and "$" not in text:
        try:
            check_url(text)
        except InvalidRequest as error:
            reader.problem(name, str(error))


def _refine_topic(component: Mapping[str, Any], topic: Mapping[str, Any], reader: Reader) -> None:
    type = component.get("type")
    if topic.get("type") == "consumer":
        reader.problem("type", "a job publishes: only topics of type 'producer' or 'both' can be used by one")
    if (schema := topic.get("schema")) is not None:
        read_json_schema(schema, reader, "schema")
    for name, value in topic.get("headers", {}).items():
        _check_header(name, value, reader)
    if (wrong := wrong_headers(type, topic.get("headers", {}))) is not None:
        reader.problem("headers", wrong)
    _check_queue_urls(topic, reader)
    if type is None:  # each environment may have another
        return
    if (wrong := wrong_name(type, topic.get("topic") or str(reader.data.get("tag", "")))) is not None:
        reader.problem("topic", wrong)
    known = {*_TOPIC, *OPTIONS[type], *_ONLY_OF_TOPICS.get(type, ())}
    for name in topic.keys() - known - {"name", "description"}:
        reader.problem(name, f"means nothing to {type}: {not_one_of(name, sorted(known))}", "unknown_field")


def _check_header(name: str, value: str, reader: Reader) -> None:
    at = f"headers.{name}"
    try:
        check_headers({name: value})
    except InvalidRequest as error:
        reader.problem(at, str(error))
    if name.lower() in EVERY_CALL:
        reader.problem(at, IN_THE_CATALOG)


def _check_queue_urls(topic: Mapping[str, Any], reader: Reader) -> None:
    given = topic.get("queueUrls")
    if given is None:
        return
    urls = queue_urls(given)
    if urls is None:
        reader.problem("queueUrls", "must be a list of {env_slug, url}, or an object of URLs by environment")
        return
    for slug, url in urls.items():
        _check_http(url, f"queueUrls.{slug}", reader)


def queue_urls(given: Any) -> dict[str, str] | None:
    """The URLs of a topic by environment: `{env: URL}`, or as the documents write it `[{env_slug, url}]`."""
    if isinstance(given, list):
        given = {
            entry["env_slug"]: entry.get("url")
            for entry in given
            if isinstance(entry, dict) and isinstance(entry.get("env_slug"), str)
        } or None
    if not isinstance(given, dict) or not all(isinstance(url, str) for url in given.values()):
        return None
    return given


KIND = ShapedKind(
    name="broker",
    plural="brokers",
    namespaces=("events",),
    target="broker",
    event_fields=("event", "topic"),
    connections=CONNECTIONS,
    type_aliases={"aws_sqs": "sqs", "google_pubsub": "pubsub", "amqp": "rabbitmq"},
    event=EVENT,
    event_aliases=("topics",),
    drivers={
        "kafka": ("confluent_kafka", "kafka"),
        "nats": ("nats", "nats"),
        "mqtt": ("paho.mqtt", "mqtt"),
        "sqs": ("botocore", "aws"),
    },
    check="executors.providers.broker.check.check",
    refine_connection=_refine_connection,
    refine_event=_refine_topic,
)
