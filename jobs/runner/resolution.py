"""Targets, resolved: what a namespace's executor needs of the catalog, remembered for a moment.

A thousand runs of one action ask the catalog once. A run that is claimed after a change of its
product's catalog is made by the changed one: its claim tells the catalog's version.
"""

from __future__ import annotations

import asyncio
import json
import time
from dataclasses import dataclass
from typing import Any

from django.db import Error as DatabaseError

from core.shortcache import forget_everything
from core.tenancy.models import Environment
from executors import registry
from executors.base import Executor
from jobs.lifecycle.claim import Claim
from jobs.runner.database import DatabaseThread

KEEP_SECONDS = 2.0
RETRY_SECONDS = 0.5  # while the database is away; the attempt's own deadline ends it


@dataclass(frozen=True, slots=True)
class Resolved:
    """Everything about a run that comes from the catalog. `value` may hold opened secrets."""

    executor: Executor
    product: str
    env: str
    target: dict[str, Any]
    value: Any


class Resolution:
    """The run loop's memory of resolved targets; one question in flight for each."""

    def __init__(self, database: DatabaseThread) -> None:
        self._database = database
        self._known: dict[tuple[int, str, str], tuple[float, asyncio.Future[Resolved]]] = {}
        self._versions: dict[int, int] = {}  # the newest seen of each product's catalog

    async def of(self, claim: Claim) -> Resolved:
        """The resolved target of a run. Raises core.errors.ApiError when there is none (any more)."""
        if claim.catalog_version > self._versions.setdefault(claim.product_id, claim.catalog_version):
            self._versions[claim.product_id] = claim.catalog_version
            self._known = {}
            forget_everything()
        key = (claim.environment_id, claim.namespace, claim.target)
        now = time.monotonic()
        known = self._known.get(key)
        if known is not None and (known[0] > now or not known[1].done()):
            if known[1].done():
                return known[1].result()
            return await asyncio.shield(known[1])
        if len(self._known) > 10_000:
            self._known = {k: v for k, v in self._known.items() if v[0] > now or not v[1].done()}
        task = asyncio.ensure_future(self._ask(claim))
        task.add_done_callback(_retrieve)
        self._known[key] = (now + KEEP_SECONDS, task)
        return await asyncio.shield(task)

    async def _ask(self, claim: Claim) -> Resolved:
        while True:
            try:
                return await self._database.run(_resolve, claim)
            except DatabaseError:
                await asyncio.sleep(RETRY_SECONDS)


def _retrieve(task: asyncio.Future[Resolved]) -> None:
    """Take note of an exception that nobody may be left to hear."""
    if not task.cancelled():
        task.exception()


def _resolve(claim: Claim) -> Resolved:
    executor = registry.get(claim.namespace)
    target = json.loads(claim.target)
    environment = Environment.objects.select_related("product").get(pk=claim.environment_id)
    value = executor.resolve(product_id=claim.product_id, environment_id=claim.environment_id, target=target)
    return Resolved(executor, environment.product.tag, environment.slug, target, value)
