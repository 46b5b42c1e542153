# Written by clients/python/generate.py from ductape/_async/client.py: change that one.
"""The client: everything that can be asked, by the names of the documents."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from types import TracebackType
from typing import Self

import httpx

from ductape._sync.catalog import Catalog
from ductape._sync.dispatching import (
    Actions,
    Databases,
    Events,
    Features,
    Functions,
    Graphs,
    Notifications,
    Storage,
)  # fmt: skip
from ductape._sync.events_stream import events_of
from ductape._sync.jobs import Jobs
from ductape._sync.operations import Operations
from ductape._sync.processor import Processor
from ductape._sync.product import Products
from ductape._sync.schedules import Schedules
from ductape._sync.service import Keys, Service
from ductape._sync.transport import Transport
from ductape._sync.webhooks import Webhooks
from ductape.configuration import Configuration
from ductape.results.event import EventName, JobEvent


class Ductape:
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
        http: httpx.Client | None = None,
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
        self._transport = transport = Transport(configuration, http)
        self.jobs = jobs = Jobs(transport)
        self.actions = Actions(transport, jobs)
        self.features = Features(transport, jobs)
        self.notifications = Notifications(transport, jobs)
        self.storage = Storage(transport, jobs)
        self.events = Events(transport, jobs)
        self.functions = Functions(transport, jobs)
        self.databases = Databases(transport, jobs)
        self.graphs = Graphs(transport, jobs)
        self.processor = Processor(transport, jobs)
        self.product = Products(transport)
        self.catalog = Catalog(transport)
        self.schedules = Schedules(transport)
        self.operations = Operations(transport)
        self.webhooks = Webhooks(transport)
        self.service = Service(transport)
        self.keys = Keys(transport)

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
    ) -> Iterator[JobEvent]:
        """Transitions of jobs as they happen, without an end. `after` is the `id` of the last one that was seen.

        A broken connection is made again where it ended; an event may come twice, with the same `job_id` and `seq`.
        """
        wanted = {"product": product, "env": env, "namespace": namespace, "event": event, "label": label, "job": job}
        return events_of(self._transport, wanted, after)

    def close(self) -> None:
        """Close the connections."""
        self._transport.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
