"""`ductape.processor.job.schedule`: the documents' older way to make a job of a definition or an event."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from ductape import options
from ductape._async.job import AsyncDispatched, AsyncJob
from ductape._async.jobs import LONGEST_WAIT, AsyncJobs
from ductape._async.resource import AsyncResource
from ductape._async.transport import AsyncTransport
from ductape.answers import Answer
from ductape.arguments import Check, Duration, given, mapping, milliseconds, moment, short, text, whole
from ductape.call import Call
from ductape.options import Schedule, Session
from ductape.reading import read

_BODY: Mapping[str, Check] = {
    "env": short(250),
    "product_tag": short(250),
    "event": text,
    "app": text,
    "input": mapping,
    "start_at": moment,
    "retries": whole(0, 100),
    "cache": short(120),
    "session": options.session,
    "repeat": options.schedule,
    "idempotency_key": short(255),
}


class AsyncProcessorJob(AsyncResource):
    def __init__(self, transport: AsyncTransport, jobs: AsyncJobs) -> None:
        super().__init__(transport)
        self._jobs = jobs

    async def schedule(
        self,
        *,
        event: str,
        env: str | None = None,
        product_tag: str | None = None,
        app: str | None = None,
        input: Mapping[str, Any] | None = None,
        start_at: datetime | int | str | None = None,
        retries: int | None = None,
        cache: str | None = None,
        session: Session | str | None = None,
        repeat: Schedule | None = None,
        idempotency_key: str | None = None,
    ) -> AsyncDispatched:
        """A job of a definition's tag, else of an event. `start_at` 0 is now, a number below 1e11 seconds."""
        body = self._body({
            "event": event, "env": env, "product_tag": product_tag, "app": app, "input": input, "start_at": start_at,
            "retries": retries, "cache": cache, "session": session, "repeat": repeat,
            "idempotency_key": idempotency_key,
        })  # fmt: skip
        return await self._transport.send(
            Call(
                method="POST",
                path="/v1/processor/jobs/schedule",
                body=body,
                keyed=True,
                read=lambda answer: read(AsyncDispatched, answer.json(), _jobs=self._jobs),
            )
        )

    async def run(
        self,
        *,
        event: str,
        wait: Duration,
        env: str | None = None,
        product_tag: str | None = None,
        app: str | None = None,
        input: Mapping[str, Any] | None = None,
        retries: int | None = None,
        cache: str | None = None,
        session: Session | str | None = None,
        idempotency_key: str | None = None,
    ) -> AsyncJob:
        """`schedule` for now that answers the job when its run has ended, at the latest after `wait` ms (as it then is)."""
        asked = milliseconds(1, LONGEST_WAIT)("wait", wait)
        body = self._body({
            "event": event, "env": env, "product_tag": product_tag, "app": app, "input": input,
            "retries": retries, "cache": cache, "session": session, "idempotency_key": idempotency_key,
        })  # fmt: skip
        return await self._transport.send(
            Call(
                method="POST",
                path="/v1/processor/jobs/schedule",
                query={"wait": asked},
                wait=asked / 1000,
                body=body,
                keyed=True,
                read=self._job,
            )
        )

    def _body(self, values: Mapping[str, Any]) -> dict[str, Any]:
        text("event", values["event"])
        asked = {**self._place("product_tag"), **{name: each for name, each in values.items() if each is not None}}
        return given(_BODY, asked)

    def _job(self, answer: Answer) -> AsyncJob:
        return read(AsyncJob, answer.json(), _jobs=self._jobs)


class AsyncProcessor:
    def __init__(self, transport: AsyncTransport, jobs: AsyncJobs) -> None:
        self.job = AsyncProcessorJob(transport, jobs)
