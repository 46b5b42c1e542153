"""A product with one function, and a way to run it: for the tests of functions."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, TypeVar

from core import http
from core.tenancy.models import Environment, Product
from executors import registry
from executors.base import Call, Gone, Outcome, Steps
from executors.catalog import document
from executors.catalog.components import open_one
from executors.catalog.schema import read_document
from executors.providers.function import celery_task
from executors.providers.function.check import check

T = TypeVar("T")
SCHEDULED = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


class Kept:
    """The steps of one run, kept for its next attempt; `taken`: the run is not its attempt's any more."""

    def __init__(self) -> None:
        self.steps: dict[str, dict[str, Any]] = {}
        self.history: list[str] = []
        self.taken = False
        self.on_record: Callable[[str], None] = lambda state: None

    async def all(self) -> Mapping[str, Mapping[str, Any]]:
        return self.steps

    async def record(self, name: str, value: Mapping[str, Any]) -> None:
        if self.taken:
            raise Gone("taken away")
        self.steps[name] = dict(value)
        self.history.append(value["state"])
        self.on_record(value["state"])


class World:
    """A product whose environment prd has one function."""

    def __init__(self, function: dict[str, Any], **connection: Any) -> None:
        written = {
            "envs": [{"slug": "prd"}, {"slug": "dev"}],
            "secrets": [{"key": "TOKEN", "value": "tok-live-secret"}],
            "functions": [{"tag": "nightly", "envs": {"prd": connection}, **function}],
        }
        document.store("shop", read_document(written, "shop"), prune=True)
        self.product = Product.objects.get(tag="shop")
        self.env = Environment.objects.get(product=self.product, slug="prd")
        self.executor = registry.get("functions")
        self.where: dict[str, Any] = {
            "product_id": self.product.pk, "environment_id": self.env.pk, "target": {"function": "nightly"},
        }  # fmt: skip

    def check(self, *, recurring: bool = False, **input: Any) -> None:
        self.executor.check(**self.where, input=input, recurring=recurring)

    def call(self, input: dict[str, Any], *, timeout: float = 20.0, attempt: int = 1, run: str = "job_1:7",
             kept: Kept | None = None, was_cancelled: bool | None = None) -> Call:  # fmt: skip
        async def answer() -> bool:
            return bool(was_cancelled)

        asked: Callable[[], Awaitable[bool]] | None = None if was_cancelled is None else answer
        return Call(
            job_id=run.partition(":")[0], run_key=run, attempt=attempt, namespace="functions", product="shop", env="prd",
            target=self.where["target"], resolved=self.executor.resolve(**self.where), input=input,
            scheduled_at=SCHEDULED, timeout=timeout, steps=kept, was_cancelled=asked,
        )  # fmt: skip

    def run(self, *, input: dict[str, Any], **how: Any) -> Outcome:
        return in_a_loop(self.attempt(self.call(input, **how)))

    def feature(self, tag: str, input: dict[str, Any], *, attempt: int, steps: Steps, run: str) -> Outcome:
        """One attempt of a run of a feature over the function."""
        features = registry.get("features")
        where = {**self.where, "target": {"tag": tag}}
        call = replace(
            self.call(input, attempt=attempt, run=run),
            namespace="features", target=where["target"], resolved=features.resolve(**where), steps=steps,
        )  # fmt: skip
        return in_a_loop(features.execute(call))

    async def attempt(self, call: Call) -> Outcome:
        """One attempt as the run loop makes it: cancelled at its deadline."""
        async with asyncio.timeout(call.timeout):
            return await self.executor.execute(call)

    def tried(self) -> str:
        """What a check of the connection tells."""
        opened = open_one(
            "function", product_id=self.product.pk, environment_id=self.env.pk, tag="nightly"
        )  # fmt: skip
        return in_a_loop(check(opened))


def in_a_loop(scene: Coroutine[Any, Any, T]) -> T:
    """Run it in a loop of its own, as a worker's, and close what is kept there."""

    async def then_close() -> T:
        try:
            return await scene
        finally:
            await celery_task.close_all()
            await http.close()

    return asyncio.run(then_close())
