"""`ductape.operations`: calls over many jobs that go on in the background."""

from __future__ import annotations

import time
from asyncio import sleep

from ductape._async.resource import AsyncResource
from ductape.answers import Answer
from ductape.arguments import path
from ductape.call import Call
from ductape.errors import WaitTimeout
from ductape.reading import read
from ductape.results.many import Operation

_BETWEEN = 0.5  # seconds between two looks


class AsyncOperations(AsyncResource):
    async def get(self, operation_id: str) -> Operation:
        """How far it is."""
        where = path("operations", ("operation_id", operation_id))
        return await self._transport.send(Call(method="GET", path=where, read=_operation))

    async def abort(self, operation_id: str) -> Operation:
        """End it after the chunk in progress; what is done stays done."""
        where = path("operations", ("operation_id", operation_id), "abort")
        return await self._transport.send(Call(method="POST", path=where, body={}, read=_operation))

    async def wait(self, operation_id: str, *, timeout: float | None = None) -> Operation:
        """As soon as it is completed or aborted. `timeout` is seconds. Raises WaitTimeout."""
        deadline = None if timeout is None else time.monotonic() + timeout
        while True:
            operation = await self.get(operation_id)
            if operation.status != "running":
                return operation
            if deadline is not None and time.monotonic() >= deadline:
                raise WaitTimeout(f"operation {operation_id} is still running after {timeout} s", operation)
            await sleep(_BETWEEN)


def _operation(answer: Answer) -> Operation:
    return read(Operation, answer.json())
