"""The brokers that the tests publish to, each read back by a consumer of its own driver."""

from __future__ import annotations

import json
from typing import Any

import redis
from kombu.connection import Connection

from tests.integration.broker_world import Broker, Got


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


SYSTEMS: list[type[Broker]] = [RabbitMQ, RedisStream]
