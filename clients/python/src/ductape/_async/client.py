"""The client: everything that can be asked, by the names of the documents."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from types import TracebackType
from typing import Self

import httpx

from ductape._async.catalog import AsyncCatalog
from ductape._async.dispatching import (
    AsyncActions,
    AsyncDatabases,
    AsyncEvents,
    AsyncFeatures,
    AsyncFunctions,
    AsyncGraphs,
    AsyncNotifications,
    AsyncStorage,
)  # fmt: skip
from ductape._async.events_stream import events_of
from ductape._async.jobs import AsyncJobs
from ductape._async.operations import AsyncOperations
from ductape._async.processor import AsyncProcessor
from ductape._async.product import AsyncProducts
from ductape._async.schedules import AsyncSchedules
from ductape._async.service import AsyncKeys, AsyncService
from ductape._async.transport import AsyncTransport
from ductape._async.webhooks import AsyncWebhooks
from ductape.configuration import Configuration
from ductape.results.event import EventName, JobEvent


class AsyncDuctape:
    """One client for a whole program: it keeps its connections, and may be used by many at once.

    `product` and `env` go with whatever makes a job and names none itself; lists and filters take only what they are
    given. `timeout` is of one try, `total_timeout` of a call with all its `retries`, both in seconds. `http` is a
    client of httpx to be used in place of an own one (a proxy, certificates); it is not closed here.
    """

    def __init__(
        self,
        base_url: str,
        api_key: str,
        *,
        product: str | None = None,
        env: str | None = None,
        timeout: float = 30.0,
        total_timeout: float = 120.0,
        retries: int = 3,
        max_connections: int = 16,
        http: httpx.AsyncClient | None = None,
    ) -> None:
        configuration = Configuration(
            base_url=base_url,
            api_key=api_key,
            product=product,
            env=env,
            timeout=timeout,
            total_timeout=total_timeout,
            retries=retries,
            max_connections=max_connections,
        )
        self._transport = transport = AsyncTransport(configuration, http)
        self.jobs = jobs = AsyncJobs(transport)
        self.actions = AsyncActions(transport, jobs)
        self.features = AsyncFeatures(transport, jobs)
        self.notifications = AsyncNotifications(transport, jobs)
        self.storage = AsyncStorage(transport, jobs)
        self.events = AsyncEvents(transport, jobs)
        self.functions = AsyncFunctions(transport, jobs)
        self.databases = AsyncDatabases(transport, jobs)
        self.graphs = AsyncGraphs(transport, jobs)
        self.processor = AsyncProcessor(transport, jobs)
        self.product = AsyncProducts(transport)
        self.catalog = AsyncCatalog(transport)
        self.schedules = AsyncSchedules(transport)
        self.operations = AsyncOperations(transport)
        self.webhooks = AsyncWebhooks(transport)
        self.service = AsyncService(transport)
        self.keys = AsyncKeys(transport)

    def events_stream(
        self,
        *,
        product: str | None = None,
        env: str | None = None,
        namespace: str | None = None,
        event: EventName | Sequence[EventName] | None = None,
        label: str | Sequence[str] | Mapping[str, str] | None = None,
        job: str | None = None,
        after: str | None = None,
    ) -> AsyncIterator[JobEvent]:
        """Transitions of jobs as they happen, without an end. `after` is the `id` of the last one that was seen.

        A broken connection is made again where it ended; an event may come twice, with the same `job_id` and `seq`.
        """
        wanted = {"product": product, "env": env, "namespace": namespace, "event": event, "label": label, "job": job}
        return events_of(self._transport, wanted, after)

    async def aclose(self) -> None:
        """Close the connections."""
        await self._transport.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()
