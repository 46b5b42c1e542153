"""Any provider of any namespace as the conformance suite sees it: one record, and what is done with it.

A record says how the component stands in a catalog, one event that goes well, one that the system refuses, and how
to look into the outside system. Nothing here knows a provider: their records are in `called_providers` and
`kept_providers`.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import re
import socket
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from core.shortcache import forget_everything
from core.tenancy.models import Environment, Product
from executors import registry
from executors.base import Call, Failed, Outcome
from executors.catalog import document, kinds
from executors.catalog.check import CheckResult, check_connection
from executors.catalog.models import Component
from executors.catalog.schema import read_document
from executors.reach.clients import close_every
from tests.integration.notification_world import Kept

SCHEDULED = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
TAG = "the-one"
LOGIN = "planted-l0gin-s3cret"  # the password or key by which a system is reached, where it may be any
REST = "/and-m0re+="
PLANTED = LOGIN + REST  # what $Secret{PLANTED} is, in the input of the event that goes well: it begins as the other
_runs = itertools.count(1)
GREETING_SECONDS = 0.2
PATIENCE_SECONDS = 15.0  # for what should end at once: past it a test fails


@dataclass(frozen=True, kw_only=True)
class Refusal:
    """What the system refuses: another input, or the same with another login."""

    input: Mapping[str, Any]
    target: Mapping[str, Any] = field(default_factory=dict)  # what of the provider's is another
    connection: Mapping[str, Any] | None = None  # None: the provider's
    arrange: Callable[[], Any] = lambda: None
    codes: frozenset[str] = frozenset({"VALIDATION_ERROR"})


@dataclass(frozen=True, kw_only=True)
class Provider:
    """One system, running."""

    name: str
    namespace: str
    component: Mapping[str, Any]  # without tag and envs
    connection: Mapping[str, Any]
    target: Mapping[str, Any]  # besides what names the component
    input: Mapping[str, Any]
    seen: Callable[[], int]  # how often the outside system has had the event, as it should be
    refusal: Refusal | None = None
    port: int | None = None  # that the connection names; another one may stand in its place
    secrets: tuple[str, ...] = ()  # of the connection
    more: Mapping[str, Any] = field(default_factory=dict)  # of the catalog

    @property
    def kind(self) -> kinds.Kind:
        return kinds.get(next(name for name in kinds.names() if self.namespace in kinds.get(name).namespaces))

    def at(self, port: int) -> dict[str, Any]:
        """The connection with another port."""
        text = re.sub(rf"(?<![\w.]){self.port}(?!\w)", str(port), json.dumps(self.connection))
        assert text != json.dumps(self.connection), "the connection does not name its port"
        made: dict[str, Any] = json.loads(text)
        return made


class World:
    """A product `shop` with that one component in its environment `prd`; its environment `dev` has no connection."""

    def __init__(self, provider: Provider, connection: Mapping[str, Any] | None = None) -> None:
        self.provider, self.kind = provider, provider.kind
        self.store(provider.connection if connection is None else connection)
        self.product = Product.objects.get(tag="shop")

    def store(self, connection: Mapping[str, Any], **component: Any) -> None:
        """Raises Invalid."""
        provider = self.provider
        entry = {"tag": TAG, **provider.component, **component}
        if self.kind.connected:
            entry["envs"] = {"prd": connection}
        written = {
            "envs": [{"slug": "prd"}, {"slug": "dev"}],
            "secrets": [{"key": "PLANTED", "value": PLANTED}, {"key": "LOGIN", "value": LOGIN}],
            **provider.more,
            self.kind.plural: [entry, *provider.more.get(self.kind.plural, ())],
        }
        if not self.kind.connected:  # it is reached by what its steps name
            written["apps"] = [{**provider.more["apps"][0], "envs": {"prd": connection}}]
        document.store("shop", read_document(written, "shop"), prune=True)
        forget_everything()

    def target(self, **changes: Any) -> dict[str, Any]:
        return {self.kind.target: TAG, **self.provider.target, **changes}

    def where(self, env: str = "prd", **changes: Any) -> dict[str, Any]:
        environment = Environment.objects.get(product=self.product, slug=env)
        return {
            "product_id": self.product.pk, "environment_id": environment.pk, "target": self.target(**changes),
        }  # fmt: skip

    def check(self, input: Mapping[str, Any], *, env: str = "prd", **changes: Any) -> None:
        """As at dispatch. Raises ApiError."""
        executor = registry.get(self.provider.namespace)
        executor.check(**self.where(env, **changes), input=input, recurring=False)

    def call(self, input: Mapping[str, Any] | None = None, *, timeout: float = 20.0, **changes: Any) -> Call:
        where = self.where(**changes)
        resolved = registry.get(self.provider.namespace).resolve(**where)
        return Call(
            job_id="job_1", run_key=f"job_1:{next(_runs)}", attempt=1, namespace=self.provider.namespace, product="shop",
            env="prd", target=where["target"], resolved=resolved, scheduled_at=SCHEDULED, timeout=timeout,
            input=self.provider.input if input is None else input, steps=Kept(),
        )  # fmt: skip

    def run(self, input: Mapping[str, Any] | None = None, **how: Any) -> Outcome:
        return together(self.call(input, **how))

    def refused(self) -> Failed:
        """How the event ends that the system refuses."""
        refusal = self.provider.refusal
        assert refusal is not None
        refusal.arrange()
        world = World(self.provider, refusal.connection) if refusal.connection is not None else self
        outcome = world.run(refusal.input, **refusal.target)
        assert isinstance(outcome, Failed), outcome
        return outcome

    def tried(self, *, env: str = "prd") -> CheckResult:
        """What a check of the connection says, as the API and the admin make it."""
        component = Component.objects.get(product=self.product, kind=self.kind.name, tag=TAG)
        return check_connection(component, Environment.objects.get(product=self.product, slug=env))


async def execute(call: Call) -> Outcome:
    return await registry.get(call.namespace).execute(call)


def together(*calls: Call) -> Outcome:
    """The outcome of the last call, each made after the one before it, in a loop that is closed as a worker's is."""

    async def story() -> Outcome:
        async with worker_loop():
            for call in calls[:-1]:
                await execute(call)
            return await execute(calls[-1])

    return asyncio.run(story())


@asynccontextmanager
async def worker_loop() -> AsyncIterator[None]:
    """Ends as a worker's loop does; fails where what is in it does not come to an end."""
    try:
        async with asyncio.timeout(PATIENCE_SECONDS):
            yield
    finally:
        await close_every()


class Silent:
    """A server that takes connections and says nothing."""

    def __init__(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=64)
        self.port: int = self._listener.getsockname()[1]
        self._held: list[socket.socket] = []

    def __enter__(self) -> Silent:
        return self

    def __exit__(self, *error: object) -> None:
        for each in (self._listener, *self._held):
            each.close()

    async def taken(self) -> None:
        """Returns when somebody has connected, and has said something unless they wait to be greeted."""
        loop = asyncio.get_running_loop()
        self._listener.setblocking(False)
        connection, _ = await loop.sock_accept(self._listener)
        self._held.append(connection)
        with suppress(TimeoutError):
            async with asyncio.timeout(GREETING_SECONDS):
                await loop.sock_recv(connection, 1)
