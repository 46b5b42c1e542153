"""A product with storages, and a way to run operations on them: for the tests of the namespace `storage`."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import Any

from core import http
from core.tenancy.models import Environment, Product
from executors import registry
from executors.base import Call, Done, Failed, Outcome
from executors.catalog import document
from executors.catalog.schema import read_document
from executors.providers.storage import stores

SCHEDULED = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


def store_catalog(*storages: dict[str, Any], secrets: list[dict[str, Any]] | None = None) -> None:
    """A product `shop` whose storages are these. Raises Invalid."""
    written = {"envs": [{"slug": "prd"}], "storage": list(storages), "secrets": secrets or []}
    document.store("shop", read_document(written, "shop"), prune=True)


class World:
    """One storage `files` of a type, with saved events."""

    def __init__(self, type: str, connection: dict[str, Any], *, events: Any = (), secrets: Any = None) -> None:
        self.executor = registry.get("storage")
        store_catalog(
            {"tag": "files", "type": type, "envs": {"prd": connection}, "events": list(events)}, secrets=secrets
        )
        self.product = Product.objects.get(tag="shop")
        self.env = Environment.objects.get(product=self.product, slug="prd")

    def where(self, event: str) -> dict[str, Any]:
        target = {"storage": "files", "event": event}
        return {"product_id": self.product.pk, "environment_id": self.env.pk, "target": target}

    def check(self, event: str, **input: Any) -> None:
        self.executor.check(**self.where(event), input=input, recurring=False)

    def call(self, event: str, input: dict[str, Any], *, timeout: float = 30.0, attempt: int = 1) -> Call:
        where = self.where(event)
        return Call(
            job_id="job_1", run_key="job_1:1", attempt=attempt, namespace="storage", product="shop", env="prd",
            target=where["target"], resolved=self.executor.resolve(**where), input=input,
            scheduled_at=SCHEDULED, timeout=timeout,
        )  # fmt: skip

    def run(self, event: str, **input: Any) -> Outcome:
        """One attempt in an event loop of its own."""
        call = self.call(event, input)

        async def then_close() -> Outcome:
            try:
                return await self.executor.execute(call)
            finally:
                await stores.close()
                await http.close()

        return asyncio.run(then_close())

    def done(self, event: str, **input: Any) -> dict[str, Any]:
        """The result of an attempt that succeeds, as it was accepted at dispatch."""
        self.check(event, **input)
        outcome = self.run(event, **input)
        assert isinstance(outcome, Done), outcome
        return dict(outcome.result)

    def failed(self, event: str, **input: Any) -> Failed:
        outcome = self.run(event, **input)
        assert isinstance(outcome, Failed), outcome
        return outcome
