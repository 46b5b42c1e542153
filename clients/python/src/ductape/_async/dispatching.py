"""`ductape.actions.dispatch` and its nine siblings: one class each, since each names its target in its own words."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Unpack

from ductape import options
from ductape._async.job import AsyncDispatched
from ductape._async.jobs import AsyncJobs
from ductape._async.resource import AsyncResource
from ductape._async.transport import AsyncTransport
from ductape.arguments import short
from ductape.call import Call
from ductape.namespaces import NAMESPACES
from ductape.options import DispatchOptions
from ductape.reading import read

Input = Mapping[str, Any]
_NAME = short(250)


class _AsyncDispatcher(AsyncResource):
    namespace = ""

    def __init__(self, transport: AsyncTransport, jobs: AsyncJobs) -> None:
        super().__init__(transport)
        self._jobs = jobs

    async def _dispatch(
        self, target: Mapping[str, str], input: Input | None, asked: Mapping[str, Any]
    ) -> AsyncDispatched:
        """One job, also where the request has to be sent again."""
        names = NAMESPACES[self.namespace]
        values = {**self._place(), **asked, **target, "input": {} if input is None else input}
        body = options.options(values, dict.fromkeys(names.target, _NAME))
        for name in names.target:
            _NAME(name, body.get(name))  # None is not "left out" for what names the target
        return await self._transport.send(
            Call(
                method="POST",
                path=names.path,
                body=body,
                keyed=True,
                read=lambda answer: read(AsyncDispatched, answer.json(), _jobs=self._jobs),
            )
        )


class AsyncActions(_AsyncDispatcher):
    namespace = "actions"

    async def dispatch(
        self, *, app: str, event: str, input: Input | None = None, **asked: Unpack[DispatchOptions]
    ) -> AsyncDispatched:
        """Call an app over HTTP: now, later or again and again."""
        return await self._dispatch({"app": app, "event": event}, input, asked)


class AsyncFeatures(_AsyncDispatcher):
    namespace = "features"

    async def dispatch(
        self, *, tag: str, input: Input | None = None, **asked: Unpack[DispatchOptions]
    ) -> AsyncDispatched:
        """Run a feature: several events as the steps of one run."""
        return await self._dispatch({"tag": tag}, input, asked)


class AsyncNotifications(_AsyncDispatcher):
    namespace = "notifications"

    async def dispatch(
        self, *, notification: str, event: str, input: Input | None = None, **asked: Unpack[DispatchOptions]
    ) -> AsyncDispatched:
        """Send a message by the channels that the input has a part for."""
        return await self._dispatch({"notification": notification, "event": event}, input, asked)


class AsyncStorage(_AsyncDispatcher):
    namespace = "storage"

    async def dispatch(
        self, *, storage: str, event: str, input: Input | None = None, **asked: Unpack[DispatchOptions]
    ) -> AsyncDispatched:
        """Do something with files: `event` is an operation, or a saved one."""
        return await self._dispatch({"storage": storage, "event": event}, input, asked)


class AsyncEvents(_AsyncDispatcher):
    namespace = "events"

    async def dispatch(
        self, *, broker: str, event: str, input: Input | None = None, **asked: Unpack[DispatchOptions]
    ) -> AsyncDispatched:
        """Publish a message to a topic of a message broker."""
        return await self._dispatch({"broker": broker, "event": event}, input, asked)


class AsyncFunctions(_AsyncDispatcher):
    namespace = "functions"

    async def dispatch(
        self, *, function: str, input: Input | None = None, **asked: Unpack[DispatchOptions]
    ) -> AsyncDispatched:
        """Call a function: over HTTP, in AWS Lambda, or a Celery task."""
        return await self._dispatch({"function": function}, input, asked)


class AsyncDatabaseActions(_AsyncDispatcher):
    namespace = "databases.action"

    async def dispatch(
        self, *, database: str, event: str, input: Input | None = None, **asked: Unpack[DispatchOptions]
    ) -> AsyncDispatched:
        """Run a saved action of a database."""
        return await self._dispatch({"database": database, "event": event}, input, asked)


class AsyncDatabases(_AsyncDispatcher):
    namespace = "databases"

    def __init__(self, transport: AsyncTransport, jobs: AsyncJobs) -> None:
        super().__init__(transport, jobs)
        self.action = AsyncDatabaseActions(transport, jobs)

    async def dispatch(
        self, *, database: str, operation: str, input: Input | None = None, **asked: Unpack[DispatchOptions]
    ) -> AsyncDispatched:
        """Run an operation of a database, such as `deleteMany`."""
        return await self._dispatch({"database": database, "operation": operation}, input, asked)


class AsyncGraphActions(_AsyncDispatcher):
    namespace = "graphs.action"

    async def dispatch(
        self, *, graph: str, event: str, input: Input | None = None, **asked: Unpack[DispatchOptions]
    ) -> AsyncDispatched:
        """Run a saved action of a graph."""
        return await self._dispatch({"graph": graph, "event": event}, input, asked)


class AsyncGraphs(_AsyncDispatcher):
    namespace = "graphs"

    def __init__(self, transport: AsyncTransport, jobs: AsyncJobs) -> None:
        super().__init__(transport, jobs)
        self.action = AsyncGraphActions(transport, jobs)

    async def dispatch(
        self, *, graph: str, operation: str, input: Input | None = None, **asked: Unpack[DispatchOptions]
    ) -> AsyncDispatched:
        """Run an operation of a graph, such as `deleteNodes`."""
        return await self._dispatch({"graph": graph, "operation": operation}, input, asked)
