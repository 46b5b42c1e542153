"""The brokers that the tests publish to, each read back by a consumer of its own driver."""

from __future__ import annotations

import asyncio
import json
import threading
from typing import Any

import boto3
import nats
import redis
from confluent_kafka import Consumer, Producer, TopicPartition
from kombu.connection import Connection
from moto.server import ThreadedMotoServer
from paho.mqtt import client as paho
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from tests.integration.broker_world import Broker, Got
from tests.servers.local import wait_until


class RabbitMQ(Broker):
    type = "rabbitmq"
    needs_name = "rabbitmq"
    carries_keys = False  # here a key is the routing key: it would lead elsewhere

    def connection(self, port: int | None = None) -> dict[str, Any]:
        return {"url": f"amqp://guest:guest@{self.host}:{port or self.port}//"}

    def wrong_login(self) -> dict[str, Any]:
        return {"url": f"amqp://guest:wrong-password@{self.host}:{self.port}//"}

    def open(self) -> None:
        self._connection = Connection(self.connection()["url"])
        self._channel = self._connection.channel()
        self._channel.queue_declare(self.name, auto_delete=False, durable=False)

    def read(self) -> list[Got]:
        found = []
        while (message := self._channel.basic_get(self.name, no_ack=True)) is not None:
            assert message.properties["content_type"] == "application/json"
            found.append(Got(message.body.encode() if isinstance(message.body, str) else message.body, message.headers))
        return found

    def close(self) -> None:
        self._channel.queue_delete(self.name)
        self._connection.release()


class RedisStream(Broker):
    type = "redis"
    needs_name = "redis"
    stays = True

    def connection(self, port: int | None = None) -> dict[str, Any]:
        return {"host": self.host, "port": port or self.port, "db": 9}

    def open(self) -> None:
        self._client = redis.Redis(host=self.host, port=self.port, db=9)

    def read(self) -> list[Got]:
        found: Any = self._client.xrange(self.name)
        return [
            Got(
                fields[b"message"],
                json.loads(fields[b"headers"]),
                fields[b"key"].decode() if b"key" in fields else None,
            )
            for _, fields in found
        ]

    def close(self) -> None:
        self._client.delete(self.name)
        self._client.close()


class RedisList(RedisStream):
    """A list carries the message alone: what else there is stands in an envelope."""

    def topic(self) -> dict[str, Any]:
        return {"tag": "news", "topic": self.name, "mode": "list", "envelope": True}

    def read(self) -> list[Got]:
        found: Any = self._client.lrange(self.name, 0, -1)
        return [_unwrapped(each) for each in found]


class RedisChannel(RedisStream):
    stays = False

    def topic(self) -> dict[str, Any]:
        return {"tag": "news", "topic": self.name, "mode": "pubsub", "envelope": True}

    def open(self) -> None:
        super().open()
        self._listening = self._client.pubsub()
        self._listening.subscribe(self.name)
        assert self._told()["type"] == "subscribe"

    def read(self) -> list[Got]:
        """What has come by the time that a message of ours, sent after it, has."""
        self._client.publish(self.name, b"end")
        found = []
        while (data := self._told()["data"]) != b"end":
            found.append(_unwrapped(data))
        return found

    def close(self) -> None:
        self._listening.close()
        super().close()

    def _told(self) -> Any:
        told = self._listening.get_message(timeout=5.0)
        assert told is not None
        return told


def _unwrapped(envelope: bytes) -> Got:
    inside = json.loads(envelope)
    return Got(json.dumps(inside["message"]).encode(), inside["headers"], inside.get("key"))


class Nats(Broker):
    type = "nats"
    needs_name = "nats"
    carries_keys = False
    stays = True

    def connection(self, port: int | None = None) -> dict[str, Any]:
        return {"servers": [f"{self.host}:{port or self.port}"]}

    def topic(self) -> dict[str, Any]:
        return {"tag": "news", "topic": f"{self.name}.news"}

    def open(self) -> None:
        asyncio.run(self._with(lambda js: js.add_stream(name=self.name, subjects=[f"{self.name}.>"])))

    def read(self) -> list[Got]:
        async def all(js: Any) -> list[Got]:
            info = await js.stream_info(self.name)
            found = []
            for sequence in range(1, info.state.last_seq + 1):
                message = await js.get_msg(self.name, sequence)
                found.append(Got(message.data, message.headers))
            return found

        return asyncio.run(self._with(all))

    def close(self) -> None:
        asyncio.run(self._with(lambda js: js.delete_stream(self.name)))

    async def _with(self, work: Any) -> Any:
        client = await nats.connect(f"nats://{self.host}:{self.port}")
        try:
            return await work(client.jetstream())
        finally:
            await client.close()


class Mqtt(Broker):
    type = "mqtt"
    needs_name = "mosquitto"
    carries_keys = False

    def connection(self, port: int | None = None) -> dict[str, Any]:
        return {"url": f"mqtt://{self.host}:{port or self.port}"}

    def open(self) -> None:
        self._got: list[Got] = []
        subscribed = threading.Event()
        self._client = paho.Client(CallbackAPIVersion.VERSION2, protocol=MQTTProtocolVersion.MQTTv5)
        self._client.on_connect = self._subscribe
        self._client.on_subscribe = lambda *_: subscribed.set()
        self._client.on_message = lambda _client, _data, message: self._got.append(
            Got(bytes(message.payload), dict(message.properties.UserProperty))
        )
        self._client.connect(self.host, self.port)
        self._client.loop_start()
        assert subscribed.wait(5)

    def _subscribe(self, *_: Any) -> None:
        self._client.subscribe(self.name, qos=1)

    def read(self) -> list[Got]:
        """What has come by the time that a message of ours, sent after it, has."""
        seen = len(self._got)
        self._client.publish(self.name, b"end", qos=1, properties=_marked())
        wait_until(lambda: any(got.body == b"end" for got in self._got[seen:]), "the last message comes", every=0.01)
        found, self._got = self._got, []
        return [got for got in found if got.body != b"end"]

    def close(self) -> None:
        self._client.disconnect()
        self._client.loop_stop()


def _marked() -> Properties:
    properties = Properties(PacketTypes.PUBLISH)
    properties.UserProperty = [("end", "1")]
    return properties


class Kafka(Broker):
    """librdkafka's own cluster in this process. It advertises its own address: no proxy stands before it."""

    type = "kafka"
    stays = True

    def __init__(self, host: str, port: int) -> None:
        super().__init__(host, port)
        self._cluster = Producer({"bootstrap.servers": "unused", "test.mock.num.brokers": 1, "log_level": 0})
        (found,) = self._cluster.list_topics(timeout=10).brokers.values()
        self._at = f"127.0.0.1:{found.port}"

    def connection(self, port: int | None = None) -> dict[str, Any]:
        return {"brokers": [f"127.0.0.1:{port}" if port else self._at]}

    def open(self) -> None:
        self._cluster.list_topics(self.name, timeout=10)  # asking for it makes it

    def read(self) -> list[Got]:
        consumer = Consumer({"bootstrap.servers": self._at, "group.id": self.name, "enable.partition.eof": True})
        metadata = consumer.list_topics(self.name, timeout=10)
        partitions = [TopicPartition(self.name, number, 0) for number in metadata.topics[self.name].partitions]
        consumer.assign(partitions)
        found: list[Any] = []
        ended: set[Any] = set()
        while len(ended) < len(partitions):
            message = consumer.poll(10)
            assert message is not None
            ended.add(message.partition()) if message.error() else found.append(message)
        consumer.close()
        return [
            Got(
                message.value(),
                {name: value.decode() for name, value in message.headers()},
                message.key().decode() if message.key() else None,
            )
            for message in sorted(found, key=lambda message: message.timestamp())
        ]

    def close(self) -> None:
        self._cluster.flush(1)


class Sqs(Broker):
    """moto's server in this process."""

    type = "sqs"
    carries_keys = False  # of a queue that is not FIFO, it is the group
    keeps = False

    def __init__(self, host: str, port: int) -> None:
        self._server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
        self._server.start()
        host, port = self._server.get_host_and_port()
        super().__init__(host, port)

    def connection(self, port: int | None = None) -> dict[str, Any]:
        return {
            "region": "eu-west-1", "accessKeyId": "a", "secretAccessKey": "sqs-secret",
            "endpoint_url": f"http://127.0.0.1:{port or self.port}",
        }  # fmt: skip

    def open(self) -> None:
        self._sqs = boto3.client(
            "sqs", region_name="eu-west-1", endpoint_url=f"http://127.0.0.1:{self.port}",
            aws_access_key_id="a", aws_secret_access_key="b",
        )  # fmt: skip
        self._url = self._sqs.create_queue(QueueName=self.name)["QueueUrl"]

    def read(self) -> list[Got]:
        found: list[Got] = []
        while messages := self._sqs.receive_message(
            QueueUrl=self._url, MaxNumberOfMessages=10, MessageAttributeNames=["All"]
        ).get("Messages"):
            found += [
                Got(
                    message["Body"].encode(),
                    {name: each["StringValue"] for name, each in message["MessageAttributes"].items()},
                )
                for message in messages
            ]
        return found

    def close(self) -> None:
        self._sqs.close()
        self._server.stop()


SYSTEMS: list[type[Broker]] = [RabbitMQ, RedisStream, RedisList, RedisChannel, Nats, Mqtt, Kafka, Sqs]
