"""A product with one graph, and a way to run operations and saved actions on it: for the tests of graphs."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import pytest

from core.shortcache import forget_everything
from core.tenancy.models import Environment, Product
from executors import registry
from executors.base import Call, Done, Failed, Outcome
from executors.catalog import document
from executors.catalog.schema import read_document

SCHEDULED = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
SERVERS = {"neo4j": "NEO4J_URL", "memgraph": "MEMGRAPH_URL"}


def connection_of(type: str, folder: Any) -> dict[str, Any]:
    """How a graph of that type is reached here; skips where there is no server of it."""
    if type == "embedded":
        return {"path": str(folder / "graph.lbug")}
    url = os.environ.get(SERVERS[type])
    if not url:
        pytest.skip(f"no {type}: {SERVERS[type]} names none")
    return {"connection_url": url}


class GraphWorld:
    """A product `shop` with a graph `people`."""

    def __init__(self, type: str, connection: Mapping[str, Any], *events: Mapping[str, Any]) -> None:
        self.type, self.connection = type, dict(connection)
        self.store(*events)

    def store(self, *events: Mapping[str, Any]) -> None:
        written = {
            "envs": [{"slug": "prd"}],
            "secrets": [{"key": "NAME", "value": "hush-hush"}, {"key": "PASSWORD", "value": "pa55w0rd"}],
            "graphs": [{"tag": "people", "type": self.type, "envs": {"prd": self.connection}, "events": [*events]}],
        }
        document.store("shop", read_document(written, "shop"), prune=True)
        forget_everything()
        self.product = Product.objects.get(tag="shop")
        self.env = Environment.objects.get(product=self.product, slug="prd")

    def check(self, operation: Any, *, recurring: bool = False, **input: Any) -> None:
        self._check("graphs", {"graph": "people", "operation": operation}, input, recurring)

    def check_action(self, event: str, **input: Any) -> None:
        self._check("graphs.action", {"graph": "people", "event": event}, input, False)

    def run(self, operation: str, *, timeout: float = 20.0, **input: Any) -> Outcome:
        opened = self.resolved("graphs", {"graph": "people", "operation": operation})
        return asyncio.run(self.attempt(operation, timeout=timeout, resolved=opened, **input))

    def run_action(self, event: str, *, timeout: float = 20.0, **input: Any) -> Outcome:
        target = {"graph": "people", "event": event}
        return asyncio.run(
            self._attempt("graphs.action", target, input, self.resolved("graphs.action", target), timeout)
        )

    def done(self, operation: str, **input: Any) -> dict[str, Any]:
        """The result of an operation that succeeds, as it was checked before."""
        self.check(operation, **input)
        outcome = self.run(operation, **input)
        assert isinstance(outcome, Done), outcome
        return dict(outcome.result)

    def failed(self, operation: str, **input: Any) -> Failed:
        outcome = self.run(operation, **input)
        assert isinstance(outcome, Failed), outcome
        return outcome

    def node(self, *labels: str, **properties: Any) -> str:
        """The id of a new node."""
        id: str = self.done("createNode", labels=[*labels], properties=properties)["node"]["id"]
        return id

    def related(self, type: str, start: str, end: str, **properties: Any) -> str:
        """The id of a new relationship."""
        made = self.done("createRelationship", type=type, startNodeId=start, endNodeId=end, properties=properties)
        id: str = made["relationship"]["id"]
        return id

    def resolved(self, namespace: str, target: Mapping[str, Any]) -> Any:
        where = {"product_id": self.product.pk, "environment_id": self.env.pk}
        return registry.get(namespace).resolve(**where, target=target)

    async def attempt(self, operation: str, *, resolved: Any, timeout: float = 20.0, **input: Any) -> Outcome:
        """One attempt, in the loop of the caller, who has `resolved` the target before."""
        target = {"graph": "people", "operation": operation}
        return await self._attempt("graphs", target, input, resolved, timeout)

    async def _attempt(
        self, namespace: str, target: dict[str, Any], input: dict[str, Any], resolved: Any, timeout: float
    ) -> Outcome:
        call = Call(
            job_id="job_1", run_key="job_1:7", attempt=1, namespace=namespace, product="shop", env="prd",
            target=target, resolved=resolved, input=input, scheduled_at=SCHEDULED, timeout=timeout,
        )  # fmt: skip
        try:
            return await registry.get(namespace).execute(call)
        finally:
            await close_drivers(self.type)

    def _check(self, namespace: str, target: dict[str, Any], input: dict[str, Any], recurring: bool) -> None:
        where = {"product_id": self.product.pk, "environment_id": self.env.pk}
        registry.get(namespace).check(**where, target=target, input=input, recurring=recurring)


async def close_drivers(type: str) -> None:
    if type != "embedded":
        from executors.providers.graph.backends import backend

        await backend(type).close_all()  # type: ignore[attr-defined]
