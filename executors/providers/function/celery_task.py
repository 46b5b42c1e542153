"""A task of a team's own Celery app, by name: only those that the catalog lists, sent to the team's broker and queue.

Owns which task an input names, and the connections of each function. How a task is sent and waited for is in
`celery_attempt`. Nothing of this system's own Celery app, broker or settings is used.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping
from typing import Any, Final

from core.errors import FieldError, Invalid
from core.fields import reject_unknown, suggestion
from executors import inputs
from executors.base import FORBIDDEN, VALIDATION_ERROR, AttemptFailed, Call
from executors.catalog.components import Found, Opened
from executors.expressions import Unknown
from executors.providers.function import celery_urls
from executors.providers.function.celery_attempt import THREADS, Attempt, Held, Sent, task_id
from executors.providers.function.celery_broker import Broker, Task
from executors.providers.function.celery_results import results_at
from executors.providers.function.celery_urls import Address
from executors.providers.function.celery_waiting import Waiting
from executors.reach.clients import Clients

QUEUE: Final = "celery"  # where the catalog names none: Celery's own default
RESULT_EXPIRES_SECONDS: Final = 86_400  # the same
_FIELDS: Final = frozenset({"task", "args", "kwargs"})


def check_input(found: Found, input: Mapping[str, Any], *, recurring: bool) -> None:
    """Raise Invalid with what is wrong with an input, NotFound for a reference to nothing."""
    reject_unknown(input, _FIELDS, "input")
    if errors := list(_wrong(found, inputs.known_at_dispatch(found, input))):
        raise Invalid.fields(errors)


async def run(call: Call, opened: Opened, input: dict[str, Any]) -> Mapping[str, Any]:
    """Send the task, or find the one that was sent, and wait for its end. Raises AttemptFailed, Gone."""
    wrong = next(_wrong(opened.found, input), None)
    if wrong is not None:
        code = FORBIDDEN if wrong.code == "task_not_listed" else VALIDATION_ERROR
        raise AttemptFailed(code, f"{wrong.field}: {wrong.detail}")
    broker, backend = _addresses(opened)
    queue = opened.connection.get("queue", QUEUE)
    sent = await Sent.of(call, input.get("task") or opened.found.settings["tasks"][0])
    task = Task(
        id=sent.task_id, name=sent.name, args=input.get("args") or [], kwargs=input.get("kwargs") or {},
        headers={"idempotency_key": call.run_key, "job_id": call.job_id, "job_attempt": call.attempt},
    )  # fmt: skip
    attempt = Attempt(
        call, lambda: _brokers.use(opened.key, lambda: _held(broker, queue)), sent, task,
        kept=opened.connection.get("result_expires", RESULT_EXPIRES_SECONDS),
        terminate=opened.connection.get("terminate", False),
    )  # fmt: skip
    if backend is None:
        return await attempt.without_results()
    async with _waiting.use(opened.key, lambda: _waiting_at(backend)) as waiting:
        return await attempt.with_results(waiting)


async def check(opened: Opened) -> str:
    """Whether broker and result backend are there and let us in; sends nothing. Raises AttemptFailed."""
    address, backend = _addresses(opened)
    broker = Broker(address, opened.connection.get("queue", QUEUE))
    try:
        told = await THREADS.run(broker.look, abort=broker.close)
    finally:
        broker.close()
    if backend is None:
        return f"connected: {told}; without a result_backend a run is done when the broker has its task"
    waiting = await _waiting_at(backend)
    try:
        await waiting.look(task_id("check", 1))
    finally:
        await waiting.close()
    return f"connected: {told}; results in {backend}"


async def close_all() -> None:
    """Close every connection of this loop: where it ends, and its process goes on."""
    await _brokers.close_all()
    await _waiting.close_all()


def _wrong(found: Found, input: Mapping[str, Any]) -> Iterator[FieldError]:
    listed = found.settings.get("tasks", [])
    task, args, kwargs = input.get("task"), input.get("args"), input.get("kwargs")
    if task is None and len(listed) != 1:
        detail = f"is required: function {found.tag!r} has several tasks ({', '.join(listed[:20])})"
        yield FieldError("input.task", "required", detail)
    elif task is not None and not isinstance(task, Unknown) and task not in listed:
        named = repr(task[:120]) if isinstance(task, str) else "this"
        near = suggestion(task, listed) if isinstance(task, str) else f"known: {', '.join(listed[:20])}"
        yield FieldError(
            "input.task", "task_not_listed", f"{named} is not one of the tasks of function {found.tag!r}: {near}"
        )
    if args is not None and not isinstance(args, (list, Unknown)):
        yield FieldError("input.args", "invalid", "must be a list")
    if kwargs is not None and not isinstance(kwargs, (dict, Unknown)):
        yield FieldError("input.kwargs", "invalid", "must be an object")


def _addresses(opened: Opened) -> tuple[Address, Address | None]:
    """Broker and result backend. Raises AttemptFailed for what only the opened text shows to be wrong."""
    connection = opened.connection
    name, backend = "broker_url", connection.get("result_backend")
    try:
        broker = celery_urls.broker(connection["broker_url"])
        name = "result_backend"
        return broker, celery_urls.backend(backend) if backend else None
    except celery_urls.WrongUrl as error:
        raise AttemptFailed(VALIDATION_ERROR, f"{name} of function {opened.found.tag!r}: {error}") from None


async def _held(address: Address, queue: str) -> Held:
    return Held(Broker(address, queue), asyncio.Lock())


async def _waiting_at(address: Address) -> Waiting:
    return Waiting(results_at(address))


async def _close(held: Held) -> None:
    await THREADS.run(held.broker.close)


_brokers: Clients[Held] = Clients(_close)
_waiting: Clients[Waiting] = Clients(Waiting.close)
