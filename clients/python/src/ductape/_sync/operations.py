# Written by clients/python/generate.py from ductape/_async/operations.py: change that one.
"""`ductape.operations`: calls over many jobs that go on in the background."""

from __future__ import annotations

import time
from time import sleep

from ductape._sync.resource import Resource
from ductape.answers import Answer
from ductape.arguments import path
from ductape.call import Call
from ductape.errors import WaitTimeout
from ductape.reading import read
from ductape.results.many import Operation

_BETWEEN = 0.5  # seconds between two looks


class Operations(Resource):
    def get(self, operation_id: str) -> Operation:
        """How far it is."""
        where = path("operations", ("operation_id", operation_id))
        return self._transport.send(Call(method="GET", path=where, read=_operation))

    def abort(self, operation_id: str) -> Operation:
        """End it after the chunk in progress; what is done stays done."""
        where = path("operations", ("operation_id", operation_id), "abort")
        return self._transport.send(Call(method="POST", path=where, body={}, read=_operation))

    def wait(self, operation_id: str, *, timeout: float | None = None) -> Operation:
        """As soon as it is completed or aborted. `timeout` is seconds. Raises WaitTimeout."""
        deadline = None if timeout is None else time.monotonic() + timeout
        while True:
            operation = self.get(operation_id)
            if operation.status != "running":
                return operation
            if deadline is not None and time.monotonic() >= deadline:
                raise WaitTimeout(f"operation {operation_id} is still running after {timeout} s", operation)
            sleep(_BETWEEN)


def _operation(answer: Answer) -> Operation:
    return read(Operation, answer.json())
