# Written by clients/python/generate.py from ductape/_async/dispatching.py: change that one.
"""`ductape.actions.dispatch` and its nine siblings: one class each, since each names its target in its own words."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Unpack

from ductape import options
from ductape._sync.job import Dispatched
from ductape._sync.jobs import Jobs
from ductape._sync.resource import Resource
from ductape._sync.transport import Transport
from ductape.arguments import short
from ductape.call import Call
from ductape.namespaces import NAMESPACES
from ductape.options import DispatchOptions
from ductape.reading import read

Input = Mapping[str, Any]
_NAME = short(250)


class _Dispatcher(Resource):
    namespace = ""

    def __init__(self, transport: Transport, jobs: Jobs) -> None:
        super().__init__(transport)
        self._jobs = jobs

    def _dispatch(self, target: Mapping[str, str], input: Input | None, asked: Mapping[str, Any]) -> Dispatched:
        """One job, also where the request has to be sent again."""
        names = NAMESPACES[self.namespace]
        values = {**self._place(), **asked, **target, "input": {} if input is None else input}
        body = options.options(values, dict.fromkeys(names.target, _NAME))
        for name in names.target:
            _NAME(name, body.get(name))  # None is not "left out" for what names the target
        return self._transport.send(
            Call(
                method="POST",
                path=names.path,
                body=body,
                keyed=True,
                read=lambda answer: read(Dispatched, answer.json(), _jobs=self._jobs),
            )
        )


class Actions(_Dispatcher):
    namespace = "actions"

    def dispatch(
        self, *, app: str, event: str, input: Input | None = None, **asked: Unpack[DispatchOptions]
    ) -> Dispatched:
        """Call an app over HTTP: now, later or again and again."""
        return self._dispatch({"app": app, "event": event}, input, asked)


class Features(_Dispatcher):
    namespace = "features"

    def dispatch(self, *, tag: str, input: Input | None = None, **asked: Unpack[DispatchOptions]) -> Dispatched:
        """Run a feature: several events as the steps of one run."""
        return self._dispatch({"tag": tag}, input, asked)


class Notifications(_Dispatcher):
    namespace = "notifications"

    def dispatch(
        self, *, notification: str, event: str, input: Input | None = None, **asked: Unpack[DispatchOptions]
    ) -> Dispatched:
        """Send a message by the channels that the input has a part for."""
        return self._dispatch({"notification": notification, "event": event}, input, asked)


class Storage(_Dispatcher):
    namespace = "storage"

    def dispatch(
        self, *, storage: str, event: str, input: Input | None = None, **asked: Unpack[DispatchOptions]
    ) -> Dispatched:
        """Do something with files: `event` is an operation, or a saved one."""
        return self._dispatch({"storage": storage, "event": event}, input, asked)


class Events(_Dispatcher):
    namespace = "events"

    def dispatch(
        self, *, broker: str, event: str, input: Input | None = None, **asked: Unpack[DispatchOptions]
    ) -> Dispatched:
        """Publish a message to a topic of a message broker."""
        return self._dispatch({"broker": broker, "event": event}, input, asked)


class Functions(_Dispatcher):
    namespace = "functions"

    def dispatch(self, *, function: str, input: Input | None = None, **asked: Unpack[DispatchOptions]) -> Dispatched:
        """Call a function: over HTTP, in AWS Lambda, or a Celery task."""
        return self._dispatch({"function": function}, input, asked)


class DatabaseActions(_Dispatcher):
    namespace = "databases.action"

    def dispatch(
        self, *, database: str, event: str, input: Input | None = None, **asked: Unpack[DispatchOptions]
    ) -> Dispatched:
        """Run a saved action of a database."""
        return self._dispatch({"database": database, "event": event}, input, asked)


class Databases(_Dispatcher):
    namespace = "databases"

    def __init__(self, transport: Transport, jobs: Jobs) -> None:
        super().__init__(transport, jobs)
        self.action = DatabaseActions(transport, jobs)

    def dispatch(
        self, *, database: str, operation: str, input: Input | None = None, **asked: Unpack[DispatchOptions]
    ) -> Dispatched:
        """Run an operation of a database, such as `deleteMany`."""
        return self._dispatch({"database": database, "operation": operation}, input, asked)


class GraphActions(_Dispatcher):
    namespace = "graphs.action"

    def dispatch(
        self, *, graph: str, event: str, input: Input | None = None, **asked: Unpack[DispatchOptions]
    ) -> Dispatched:
        """Run a saved action of a graph."""
        return self._dispatch({"graph": graph, "event": event}, input, asked)


class Graphs(_Dispatcher):
    namespace = "graphs"

    def __init__(self, transport: Transport, jobs: Jobs) -> None:
        super().__init__(transport, jobs)
        self.action = GraphActions(transport, jobs)

    def dispatch(
        self, *, graph: str, operation: str, input: Input | None = None, **asked: Unpack[DispatchOptions]
    ) -> Dispatched:
        """Run an operation of a graph, such as `deleteNodes`."""
        return self._dispatch({"graph": graph, "operation": operation}, input, asked)
