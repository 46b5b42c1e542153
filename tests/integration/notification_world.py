"""A product with one notification, and a way to run its messages: for the tests of notifications."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from core.tenancy.models import Environment, Product
from executors import registry
from executors.base import Call, Gone, Outcome
from executors.catalog import document
from executors.catalog.schema import read_document
from executors.providers.notification.check import check
from executors.reach.clients import close_every

SCHEDULED = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
MESSAGES: list[dict[str, Any]] = [
    {
        "tag": "everything",
        "email": {"subject": "Hello {{name}}", "template": "<p>Due <b>{{day}}</b></p>"},
        "sms": "Due {{day}}",
        "push_notification": {
            "title": "Hi {{name}}",
            "body": "Due {{day}}",
            "data": {"kind": "reminder", "n": "{{n}}"},
        },
        "callback": {"body": {"who": "{{name}}", "n": "{{n}}"}},
    },
    {"tag": "mail", "email": {"subject": "Hello {{name}}", "template": "<p>Due <b>{{day}}</b></p>"}},
    {"tag": "text", "sms": "Due {{day}}"},
    {"tag": "push", "push_notification": {"title": "Hi {{name}}", "body": "Due {{day}}", "data": {"n": "{{n}}"}}},
    {"tag": "call", "callback": {"body": {"who": "{{name}}"}}},
]


class Kept:
    """The steps of a run, as the run loop keeps them; `gone_after` so many, the run is taken away."""

    def __init__(self, gone_after: int | None = None) -> None:
        self.steps: dict[str, dict[str, Any]] = {}
        self._gone_after = gone_after

    async def all(self) -> Mapping[str, Mapping[str, Any]]:
        return dict(self.steps)

    async def record(self, name: str, value: Mapping[str, Any]) -> None:
        if self._gone_after is not None and len(self.steps) >= self._gone_after:
            raise Gone("the run was taken away")
        await asyncio.sleep(0)
        self.steps[name] = dict(value)


class World:
    """A product with one notification in one environment."""

    def __init__(self, **blocks: Any) -> None:
        self.executor = registry.get("notifications")
        self.store(**blocks)

    def store(
        self, messages: list[dict[str, Any]] = MESSAGES, *, sender: str = "a@shop.example", **blocks: Any
    ) -> None:
        written = {
            "envs": [{"slug": "prd"}],
            "secrets": [
                {"key": "TOKEN", "value": "tok-everywhere"},
                {"key": "WHO", "value": "hidden@shop.example"},
                {"key": "SENDER", "value": sender},
            ],
            "notifications": [{"tag": "news", "envs": {"prd": blocks}, "events": messages}],
        }
        document.store("shop", read_document(written, "shop"), prune=True)
        self.product = Product.objects.get(tag="shop")
        self.env = Environment.objects.get(product=self.product, slug="prd")

    def where(self, event: str) -> dict[str, Any]:
        target = {"notification": "news", "event": event}
        return {"product_id": self.product.pk, "environment_id": self.env.pk, "target": target}

    def check(self, event: str, **input: Any) -> None:
        self.executor.check(**self.where(event), input=input, recurring=False)

    def call(
        self, event: str, *, timeout: float = 5.0, attempt: int = 1, steps: Kept | None = None, **input: Any
    ) -> Call:
        return Call(
            job_id="job_1", run_key="job_1:7", attempt=attempt, namespace="notifications", product="shop", env="prd",
            target=self.where(event)["target"], resolved=self.executor.resolve(**self.where(event)), input=input,
            scheduled_at=SCHEDULED, timeout=timeout, steps=steps,
        )  # fmt: skip

    def try_connection(self, event: str) -> str:
        """What a check of the connection says. Raises AttemptFailed."""
        opened = self.executor.resolve(**self.where(event))

        async def then_close() -> str:
            try:
                return await check(opened)
            finally:
                await close_every()

        return asyncio.run(then_close())

    def run(self, event: str, **how: Any) -> Outcome:
        call = self.call(event, **how)

        async def then_close() -> Outcome:
            try:
                return await self.executor.execute(call)
            finally:
                await close_every()

        return asyncio.run(then_close())
