"""A product with one app at a receiver, and a way to run its events: for the tests of actions."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import Any

from core import http
from core.tenancy.models import Environment, Product
from executors import registry
from executors.base import Call, Outcome, Session
from executors.catalog import document
from executors.catalog.schema import read_document
from tests.servers.receiver import Received, Receiver

SCHEDULED = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
EVENTS: list[dict[str, Any]] = [
    {"tag": "create", "method": "POST", "resource": "/users/:userId/notes/:noteId", "headers": {"X-From": "shop"}, "query": {"v": 2}},
    {"tag": "welcome", "method": "POST", "resource": "/users/:userId/welcome",
     "body": {"type": "object", "required": ["email"], "properties": {"email": {"type": "string"}, "userId": {"type": "string"}}}},
    {"tag": "list", "method": "GET", "resource": "/list"},
    {"tag": "form", "method": "PUT", "resource": "/form", "request_type": "urlencoded"},
    {"tag": "quick", "method": "GET", "resource": "/list", "timeout": 200},
    {"tag": "created_only", "method": "POST", "resource": "/list", "success": [201, 404]},
    {"tag": "each", "method": "POST", "resource": "/list", "idempotency": "attempt"},
]  # fmt: skip


class World:
    """A product with one app at the receiver, and a way to run its events."""

    def __init__(self, receiver: Receiver, **app: Any) -> None:
        self.receiver = receiver
        self.executor = registry.get("actions")
        self.store(**app)

    def store(self, **app: Any) -> None:
        written = {
            "envs": [{"slug": "prd"}, {"slug": "dev"}],
            "secrets": [{"key": "TOKEN", "value": "tok-everywhere", "envs": {"prd": "tok-live"}}],
            "apps": [{"tag": "mail", "envs": {"prd": {"base_url": self.receiver.url}}, "events": EVENTS, **app}],
        }
        document.store("shop", read_document(written, "shop"), prune=True)
        self.product = Product.objects.get(tag="shop")
        self.env = Environment.objects.get(product=self.product, slug="prd")

    def where(self, event: str) -> dict[str, Any]:
        return {"product_id": self.product.pk, "environment_id": self.env.pk, "target": {"app": "mail", "event": event}}

    def check(self, event: str, *, recurring: bool = False, **input: Any) -> None:
        self.executor.check(**self.where(event), input=input, recurring=recurring)

    def run(
        self, event: str, *, timeout: float = 5.0, attempt: int = 1, session: Session | None = None, **input: Any
    ) -> Outcome:
        call = Call(
            job_id="job_1", run_key="job_1:7", attempt=attempt, namespace="actions", product="shop", env="prd",
            target=self.where(event)["target"], resolved=self.executor.resolve(**self.where(event)), input=input,
            scheduled_at=SCHEDULED, timeout=timeout, session=session,
        )  # fmt: skip

        async def then_close() -> Outcome:
            try:
                return await self.executor.execute(call)
            finally:
                await http.close()

        return asyncio.run(then_close())

    def sent(self) -> Received:
        return self.receiver.requests[-1]
