"""`ductape.product(…).jobs`: the documents' older calls. A definition is a template of jobs, scheduled by its tag."""

from __future__ import annotations

from collections.abc import Mapping

from ductape._async.resource import AsyncResource
from ductape._async.transport import AsyncTransport
from ductape.answers import Answer
from ductape.arguments import Check, Duration, flag, given, milliseconds, path, short, text, whole
from ductape.call import Call, nothing
from ductape.errors import InvalidArgument
from ductape.reading import read, read_list
from ductape.results.product import Definition

_FIELDS: Mapping[str, Check] = {
    "name": short(200),
    "tag": short(120),
    "event_type": text,
    "event_tag": short(250),
    "executions": whole(0),
    "intervals": milliseconds(0),
}


class AsyncDefinitions(AsyncResource):
    def __init__(self, transport: AsyncTransport, product: str) -> None:
        super().__init__(transport)
        self._product = product

    async def create(
        self,
        *,
        name: str,
        tag: str,
        event_type: str,
        event_tag: str,
        executions: int,
        intervals: Duration | None = None,
    ) -> Definition:
        """`executions` 0 is without a limit, 1 a one-off; `intervals` are ms."""
        body = given(_FIELDS, {
            "name": name, "tag": tag, "event_type": event_type, "event_tag": event_tag, "executions": executions,
            "intervals": intervals,
        })  # fmt: skip
        for required in ("name", "tag", "event_type", "event_tag", "executions"):
            if required not in body:
                raise InvalidArgument(required, "must be given")
        return await self._transport.send(Call(method="POST", path=self._path(), body=body, read=_definition))

    async def update(
        self,
        tag: str,
        *,
        name: str | None = None,
        event_type: str | None = None,
        event_tag: str | None = None,
        executions: int | None = None,
        intervals: Duration | None = None,
    ) -> Definition:
        """What is not given stays. `rescheduled` of the answer says how many unfinished recurring jobs follow."""
        body = given(_FIELDS, {
            "name": name, "event_type": event_type, "event_tag": event_tag, "executions": executions,
            "intervals": intervals,
        })  # fmt: skip
        where = self._path(("tag", tag))
        return await self._transport.send(Call(method="PATCH", path=where, body=body, read=_definition))

    async def fetch_all(self) -> tuple[Definition, ...]:
        return await self._transport.send(
            Call(method="GET", path=self._path(), read=lambda answer: read_list(Definition, answer.json(), "jobs"))
        )

    async def fetch(self, tag: str) -> Definition:
        return await self._transport.send(Call(method="GET", path=self._path(("tag", tag)), read=_definition))

    async def delete(self, tag: str, *, force: bool = False) -> None:
        """InUse where it has unfinished jobs, unless `force` cancels them."""
        query = {"force": flag("force", force) or None}
        await self._transport.send(Call(method="DELETE", path=self._path(("tag", tag)), query=query, read=nothing))

    def _path(self, *rest: tuple[str, str]) -> str:
        return path("products", ("product", self._product), "jobs", *rest)


def _definition(answer: Answer) -> Definition:
    return read(Definition, answer.json())
