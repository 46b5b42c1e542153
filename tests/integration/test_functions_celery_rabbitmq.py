"""The same over RabbitMQ, with results in a database: a real worker, confirmed messages, queues as they were made."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from kombu.connection import Connection

from executors.base import AttemptFailed, Done, Failed
from executors.providers.function.celery_attempt import task_id
from tests.integration.function_world import Kept, World, in_a_loop
from tests.servers.celery_worker import CeleryWorker
from tests.servers.machine import needs

pytestmark = pytest.mark.django_db

SEND, CLOSE = "billing.tasks.send_invoices", "billing.tasks.close_month"


@pytest.fixture(scope="module")
def url() -> str:
    host, port = needs("rabbitmq")
    return f"amqp://guest:guest@{host}:{port}//"


@pytest.fixture
def queue(url: str) -> Iterator[str]:
    name = f"functions-{uuid4().hex[:8]}"
    yield name
    with Connection(url) as connection:
        connection.default_channel.queue_delete(name)


def world(url: str, queue: str, **connection: Any) -> World:
    function = {"type": "celery", "tasks": [SEND, CLOSE]}
    return World(function, broker_url=url, queue=queue, **connection)


def waiting_in(url: str, queue: str) -> int:
    with Connection(url) as connection:
        return int(connection.default_channel.queue_declare(queue, passive=True).message_count)


def test_tasks_are_run_fail_and_are_revoked(url: str, queue: str, tmp_path: Path) -> None:
    results = f"db+sqlite:///{tmp_path}/results.db"
    log = tmp_path / "tasks.log"
    log.touch()
    over = world(url, queue, result_backend=results, terminate=True)
    ending = over.call({"task": CLOSE, "args": [str(log), 60]}, run="job_end:1", kept=Kept(), was_cancelled=True)

    async def cancelled() -> None:
        task = asyncio.create_task(over.attempt(ending))
        while "begin" not in log.read_text():
            await asyncio.sleep(0.02)
        ending.cancelled.set()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    with CeleryWorker(tmp_path, broker=url, results=results, queue=queue):
        done = over.run(input={"task": SEND, "args": [3]}, run="job_done:1", kept=Kept())
        failed = over.run(input={"task": SEND, "args": [-1]}, run="job_failed:1", kept=Kept())
        in_a_loop(cancelled())
        kept = Kept()
        kept.steps["task"] = {
            "task_id": task_id("job_end:1", 1), "task": CLOSE, "state": "SENT", "at": 2_000_000_000_000,
        }  # fmt: skip
        revoked = over.run(input={"task": CLOSE, "args": ["", 0]}, run="job_end:1", attempt=2, kept=kept)

    assert isinstance(done, Done)
    assert done.result["result"] == {"sent": 3, "currency": "EUR", "key": "job_done:1"}
    assert isinstance(failed, Failed)
    assert (failed.code, failed.message) == ("TASK_FAILED", f"task {SEND} failed: ValueError: cannot send -1 invoices")
    assert isinstance(revoked, Failed)
    assert revoked.code == "CANCELLED"
    assert "end" not in log.read_text()


def test_a_queue_that_is_not_there_yet_is_made_and_its_task_waits(url: str, queue: str) -> None:
    over = world(url, queue)

    outcome = over.run(input={"task": SEND, "args": [1]}, kept=Kept())
    over.run(input={"task": SEND, "args": [1]}, run="job_2:1", kept=Kept())

    assert isinstance(outcome, Done)
    assert outcome.result["sent"] is True
    assert waiting_in(url, queue) == 2


def test_a_queue_that_was_made_in_another_way_is_taken_as_it_is(url: str, queue: str) -> None:
    with Connection(url) as connection:
        connection.default_channel.queue_declare(
            queue, durable=True, auto_delete=False, arguments={"x-max-priority": 10}
        )

    assert isinstance(world(url, queue).run(input={"task": SEND, "args": [1]}, kept=Kept()), Done)
    assert waiting_in(url, queue) == 1


def test_a_queue_that_takes_no_more_is_told(url: str, queue: str) -> None:
    full = {"x-max-length": 0, "x-overflow": "reject-publish"}
    with Connection(url) as connection:
        connection.default_channel.queue_declare(queue, durable=True, auto_delete=False, arguments=full)

    outcome = world(url, queue).run(input={"task": SEND, "args": [1]}, kept=Kept())

    assert isinstance(outcome, Failed)
    assert (outcome.code, outcome.retryable) == ("SERVICE_UNAVAILABLE", True)


def test_a_login_that_is_wrong_is_told(url: str, queue: str) -> None:
    over = world(url.replace("guest:guest", "guest:wrong-pass"), queue)

    outcome = over.run(input={"task": SEND, "args": [1]}, kept=Kept())

    assert isinstance(outcome, Failed)
    assert (outcome.code, outcome.retryable) == ("UNAUTHORIZED", False)
    assert "wrong-pass" not in outcome.message
    with pytest.raises(AttemptFailed) as caught:
        over.tried()
    assert caught.value.failed.code == "UNAUTHORIZED"


def test_a_check_tells_that_the_end_of_tasks_is_not_known(url: str, queue: str) -> None:
    assert world(url, queue).tried() == (
        f"connected: amqp 127.0.0.1:5672, queue {queue}; "
        "without a result_backend a run is done when the broker has its task"
    )
