"""A product with one broker, a way to publish through it, and consumers that read back what the brokers hold."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, TypeVar
from uuid import uuid4

from core import http
from core.shortcache import forget_everything
from core.tenancy.models import Environment, Product
from executors import registry
from executors.base import Call, Outcome
from executors.catalog import document
from executors.catalog.components import Opened, open_one
from executors.catalog.schema import read_document
from executors.providers.broker import publishing

SCHEDULED = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
T = TypeVar("T")


@dataclass(frozen=True)
class Got:
    """A message as a consumer sees it."""

    body: bytes
    headers: dict[str, str] = field(default_factory=dict)
    key: str | None = None


class Broker:
    """One system for the tests that all of them pass. `port` may be a proxy's."""

    type = ""
    needs_name = ""  # of the machine's server
    carries_keys = True
    keeps = True  # connections that are not used: some servers hang up after each answer
    stays = False  # reading takes nothing away

    def __init__(self, host: str, port: int) -> None:
        self.host, self.port = host, port
        self.name = f"t-{uuid4().hex[:12]}"

    def connection(self, port: int | None = None) -> dict[str, Any]:
        raise NotImplementedError

    def wrong_login(self) -> dict[str, Any] | None:
        """A connection with a password that is not accepted; None where the server here asks for none."""
        return None

    def topic(self) -> dict[str, Any]:
        """The catalog's topic, tagged `news`."""
        return {"tag": "news", "topic": self.name}

    def open(self) -> None:
        """Make what consumers read from."""

    def read(self) -> list[Got]:
        """All messages, oldest first."""
        raise NotImplementedError

    def close(self) -> None:
        """Clean up."""


class World:
    """A product `shop` with a broker `main`."""

    def __init__(self, type: str, connection: dict[str, Any], *topics: dict[str, Any], **component: Any) -> None:
        written = {
            "envs": [{"slug": "prd"}],
            "secrets": [{"key": "TOKEN", "value": "tok-everywhere"}],
            "brokers": [
                {"tag": "main", "type": type, "envs": {"prd": connection}, "topics": list(topics), **component}
            ],
        }
        document.store("shop", read_document(written, "shop"), prune=True)
        forget_everything()
        self.product = Product.objects.get(tag="shop")
        self.env = Environment.objects.get(product=self.product, slug="prd")
        self.executor = registry.get("events")

    def where(self, event: str = "news") -> dict[str, Any]:
        target = {"broker": "main", "event": event}
        return {"product_id": self.product.pk, "environment_id": self.env.pk, "target": target}

    def check(self, event: str = "news", **input: Any) -> None:
        self.executor.check(**self.where(event), input=input, recurring=False)

    def opened(self) -> Opened:
        return open_one("broker", product_id=self.product.pk, environment_id=self.env.pk, tag="main")

    def call(self, event: str = "news", *, run: int = 7, attempt: int = 1, timeout: float = 20.0, **input: Any) -> Call:
        return Call(
            job_id="job_1", run_key=f"job_1:{run}", attempt=attempt, namespace="events", product="shop", env="prd",
            target=self.where(event)["target"], resolved=self.executor.resolve(**self.where(event)), input=input,
            scheduled_at=SCHEDULED, timeout=timeout,
        )  # fmt: skip

    def run(self, event: str = "news", **input: Any) -> Outcome:
        return together(self.executor.execute(self.call(event, **input)))


def together(work: Coroutine[Any, Any, T]) -> T:
    """The coroutine's answer, in a loop of its own whose connections are closed after it."""

    async def then_close() -> T:
        try:
            return await work
        finally:
            await publishing.close_all()
            await http.close()
            with suppress(TimeoutError):
                async with asyncio.timeout(1):
                    while len(asyncio.all_tasks()) > 1:
                        await asyncio.sleep(0.01)

    return asyncio.run(then_close())
