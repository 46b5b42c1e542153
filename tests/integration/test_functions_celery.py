"""Tasks of a team's own Celery app, run by a real worker of a project that knows nothing of this system."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
import redis

from core.errors import Invalid
from core.shortcache import forget_everything
from executors.base import Call, Done, Failed, Outcome
from executors.catalog import document
from executors.catalog.schema import read_document
from executors.namespaces.features import InMemory
from executors.providers.function.celery_attempt import task_id
from tests.integration.function_world import Kept, World, in_a_loop
from tests.servers.celery_worker import CeleryWorker
from tests.servers.local import free_port, wait_until
from tests.servers.machine import needs

pytestmark = pytest.mark.django_db

BROKER_DB, RESULTS_DB = 11, 12
TASKS = ["billing.tasks.send_invoices", "billing.tasks.sync_bank", "billing.tasks.close_month", "billing.tasks.gone"]
SEND, SYNC, CLOSE, GONE = TASKS


@pytest.fixture(scope="module")
def redis_url() -> Iterator[str]:
    """A Redis whose two databases are this module's."""
    host, port = needs("redis")
    clients = [redis.Redis(host=host, port=port, db=number) for number in (BROKER_DB, RESULTS_DB)]
    for client in clients:
        client.flushdb()
    yield f"redis://{host}:{port}"
    for client in clients:
        client.flushdb()
        client.close()


@pytest.fixture(scope="module")
def queue() -> str:
    return f"billing-{uuid4().hex[:8]}"


@pytest.fixture(scope="module")
def worker(redis_url: str, queue: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[CeleryWorker]:
    folder = tmp_path_factory.mktemp("worker")
    running = CeleryWorker(folder, broker=f"{redis_url}/{BROKER_DB}", results=f"{redis_url}/{RESULTS_DB}", queue=queue)
    with running:
        yield running


@pytest.fixture
def results(redis_url: str) -> Iterator[redis.Redis]:
    with redis.Redis.from_url(f"{redis_url}/{RESULTS_DB}") as client:
        yield client


@pytest.fixture
def broker(redis_url: str) -> Iterator[redis.Redis]:
    with redis.Redis.from_url(f"{redis_url}/{BROKER_DB}") as client:
        yield client


@pytest.fixture
def world(redis_url: str, queue: str) -> World:
    return _world(redis_url, queue)


@pytest.fixture
def log(tmp_path: Path) -> Path:
    path = tmp_path / "tasks.log"
    path.touch()
    return path


def _world(url: str, queue: str, **connection: Any) -> World:
    given = {"broker_url": f"{url}/{BROKER_DB}", "result_backend": f"{url}/{RESULTS_DB}", "queue": queue}
    given |= connection
    function = {"type": "celery", "tasks": TASKS}
    return World(function, **{name: value for name, value in given.items() if value is not None})


def lines(log: Path, word: str) -> list[str]:
    return [line for line in log.read_text().splitlines() if line.startswith(word)]


async def taken_away(world: World, call: Call, log: Path, *, after: str) -> None:
    """Run an attempt until the log says `after`, then take its run away, as the run loop does."""
    task = asyncio.create_task(world.attempt(call))
    while not lines(log, after):
        await asyncio.sleep(0.02)
    call.cancelled.set()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


def test_a_task_is_run_and_its_result_is_the_runs(world: World, worker: CeleryWorker) -> None:
    input: dict[str, Any] = {"task": SEND, "args": [3], "kwargs": {"currency": "NGN"}}
    world.check(**input)
    kept = Kept()

    outcome = world.run(input=input, kept=kept, run="job_result:1")

    id = task_id("job_result:1", 1)
    assert outcome == Done({"task_id": id, "result": {"sent": 3, "currency": "NGN", "key": "job_result:1"}})
    assert kept.history == ["SENDING", "SENT", "SUCCESS"]


def test_what_a_task_raises_fails_the_run_and_the_next_attempt_sends_a_new_task(
    world: World, worker: CeleryWorker
) -> None:
    kept = Kept()
    first = world.run(input={"task": SEND, "args": [-1]}, kept=kept, run="job_raises:1")
    second = world.run(input={"task": SEND, "args": [1]}, kept=kept, run="job_raises:1", attempt=2)

    assert isinstance(first, Failed)
    assert (first.code, first.retryable) == ("TASK_FAILED", True)
    assert first.message == f"task {SEND} failed: ValueError: cannot send -1 invoices"
    assert first.result == {"task_id": task_id("job_raises:1", 1), "state": "FAILURE"}
    assert isinstance(second, Done)
    assert second.result["task_id"] == task_id("job_raises:1", 2)


def test_a_step_of_a_feature_sends_a_new_task_in_each_attempt_and_is_not_settled_by_an_older_one(
    world: World, worker: CeleryWorker
) -> None:
    task = {
        "tag": "task",
        "type": "function",
        "function": "nightly",
        "input": {"task": SEND, "args": ["$Input{count}"]},
    }
    kept, made = InMemory(), []
    for attempt, retries, count in ((1, 1, -1), (2, 0, 1)):
        options = {"retries": retries, "retryConfig": {"initialDelay": 1}}
        feature = {"tag": "f", "steps": [{**task, "options": options}], "output": "$Step{task}"}
        document.store("shop", read_document({"features": [feature]}, "shop"))
        forget_everything()
        made.append(world.feature("f", {"count": count}, attempt=attempt, steps=kept, run="job_feature:1"))

    failed, done = made
    assert isinstance(failed, Failed)
    assert failed.message == f"step 'task': task {SEND} failed: ValueError: cannot send -1 invoices"
    assert isinstance(done, Done), done
    assert done.result["result"]["sent"] == 1
    assert done.result["task_id"] not in {task_id("job_feature:1:task", number) for number in (1, 2)}


def test_a_task_that_retries_itself_stays_one_run(world: World, worker: CeleryWorker, log: Path) -> None:
    kept = Kept()
    outcome = world.run(input={"task": SYNC, "args": [str(log), 2]}, kept=kept, run="job_retry:1")

    id = task_id("job_retry:1", 1)
    assert outcome == Done({"task_id": id, "result": 2})
    assert lines(log, "try") == [f"try {number} of {id}" for number in (0, 1, 2)]
    assert kept.history == ["SENDING", "SENT", "SUCCESS"]


def test_a_task_whose_retries_are_used_up_fails_with_what_it_raised(
    world: World, worker: CeleryWorker, log: Path
) -> None:
    outcome = world.run(input={"task": SYNC, "args": [str(log), 99]}, run="job_closed:1")

    assert isinstance(outcome, Failed)
    assert (outcome.code, outcome.message) == (
        "TASK_FAILED", f"task {SYNC} failed: ConnectionError: the bank is closed",
    )  # fmt: skip
    assert len(lines(log, "try")) == 6


def test_a_task_that_its_app_does_not_have_is_not_tried_again(world: World, worker: CeleryWorker) -> None:
    outcome = world.run(input={"task": GONE}, run="job_gone:1")

    assert isinstance(outcome, Failed)
    assert (outcome.code, outcome.retryable) == ("NOT_FOUND", False)


def test_a_cancelled_run_revokes_its_task_before_it_begins(
    redis_url: str, queue: str, worker: CeleryWorker, log: Path, results: redis.Redis
) -> None:
    world = _world(redis_url, queue)
    kept = Kept()
    busy = [
        world.call({"task": CLOSE, "args": [str(log), 2]}, run=f"job_busy{number}:1", kept=Kept()) for number in (1, 2)
    ]
    call = world.call({"task": CLOSE, "args": [str(log), 0]}, run="job_cancel:1", kept=kept, was_cancelled=True)

    async def scene() -> list[Outcome]:
        before = [asyncio.create_task(world.attempt(each)) for each in busy]  # the worker has two processes
        while len(lines(log, "begin")) < 2:
            await asyncio.sleep(0.02)
        task = asyncio.create_task(world.attempt(call))
        while kept.history != ["SENDING", "SENT"]:
            await asyncio.sleep(0.02)
        call.cancelled.set()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        return await asyncio.gather(*before)

    assert [type(outcome) for outcome in in_a_loop(scene())] == [Done, Done]
    id = task_id("job_cancel:1", 1)
    wait_until(lambda: b"REVOKED" in (results.get(f"celery-task-meta-{id}") or b""), "a revoked task")
    assert not [line for line in lines(log, "begin") if id in line]


def test_a_cancelled_run_ends_its_task_where_the_function_says_so(
    redis_url: str, queue: str, worker: CeleryWorker, log: Path, results: redis.Redis
) -> None:
    world = _world(redis_url, queue, terminate=True)
    call = world.call({"task": CLOSE, "args": [str(log), 60]}, run="job_end:1", kept=Kept(), was_cancelled=True)

    in_a_loop(taken_away(world, call, log, after="begin"))

    id = task_id("job_end:1", 1)
    wait_until(lambda: b"REVOKED" in (results.get(f"celery-task-meta-{id}") or b""), "a task that was ended")
    assert lines(log, "end") == []


def test_a_task_that_its_team_revoked_ends_the_run(
    redis_url: str, world: World, worker: CeleryWorker, log: Path
) -> None:
    kept, url = Kept(), f"{redis_url}/{BROKER_DB}"
    call = world.call({"task": CLOSE, "args": [str(log), 60]}, run="job_theirs:1", kept=kept)

    async def scene() -> Outcome:
        task = asyncio.create_task(world.attempt(call))
        while not lines(log, "begin"):
            await asyncio.sleep(0.02)
        await asyncio.to_thread(_revoke_as_the_team_does, url, task_id("job_theirs:1", 1))
        return await task

    outcome = in_a_loop(scene())

    assert isinstance(outcome, Failed)
    assert (outcome.code, outcome.retryable) == ("CANCELLED", False)


def test_an_attempt_after_our_worker_died_finds_the_task_that_was_sent(
    world: World, worker: CeleryWorker, log: Path
) -> None:
    kept = Kept()
    input = {"task": CLOSE, "args": [str(log), 1]}
    first = world.call(input, run="job_died:1", kept=kept, was_cancelled=False)  # taken back, not cancelled

    in_a_loop(taken_away(world, first, log, after="begin"))
    second = world.run(input=input, kept=kept, run="job_died:1", attempt=2)
    third = world.run(input=input, kept=kept, run="job_died:1", attempt=3)  # the second died before it was settled

    id = task_id("job_died:1", 1)
    assert second == Done({"task_id": id, "result": "closed"})
    assert len([line for line in lines(log, "begin") if id in line]) == 1
    assert third == Done({"task_id": task_id("job_died:1", 3), "result": "closed"})


def test_an_attempt_that_died_while_it_sent_is_made_again_with_the_same_id(world: World, worker: CeleryWorker) -> None:
    kept = Kept()
    id = task_id("job_unsure:1", 1)
    kept.steps["task"] = {"task_id": id, "task": SEND, "state": "SENDING", "at": 1}

    outcome = world.run(input={"task": SEND, "args": [1]}, kept=kept, run="job_unsure:1", attempt=2)

    assert isinstance(outcome, Done)
    assert outcome.result["task_id"] == id


def test_a_result_that_is_not_kept_any_more_is_told(world: World, worker: CeleryWorker) -> None:
    kept = Kept()
    kept.steps["task"] = {"task_id": str(uuid4()), "task": SEND, "state": "SENT", "at": 1_700_000_000_000}

    outcome = world.run(input={"task": SEND, "args": [1]}, kept=kept, run="job_old:1", attempt=2)

    assert isinstance(outcome, Failed)
    assert (outcome.code, outcome.retryable) == ("TASK_FORGOTTEN", False)
    assert "does not know task billing.tasks.send_invoices" in outcome.message
    assert kept.history == ["FORGOTTEN"]


def test_a_task_that_the_backend_forgets_while_it_is_waited_for_is_told(
    world: World, worker: CeleryWorker, log: Path, results: redis.Redis
) -> None:
    call = world.call({"task": CLOSE, "args": [str(log), 3]}, run="job_forget:1", kept=Kept())

    async def scene() -> Outcome:
        task = asyncio.create_task(world.attempt(call))
        while not lines(log, "begin"):
            await asyncio.sleep(0.02)
        await asyncio.sleep(0.6)  # the backend has told of it
        await asyncio.to_thread(results.delete, f"celery-task-meta-{task_id('job_forget:1', 1)}")
        return await task

    outcome = in_a_loop(scene())

    assert isinstance(outcome, Failed)
    assert outcome.code == "TASK_FORGOTTEN"


def test_a_process_of_the_worker_that_is_killed_loses_the_task(world: World, worker: CeleryWorker, log: Path) -> None:
    def kill() -> None:
        wait_until(lambda: bool(lines(log, "begin")), "a task that runs")
        os.kill(int(lines(log, "begin")[0].split()[2]), signal.SIGKILL)

    threading.Thread(target=kill).start()
    outcome = world.run(input={"task": CLOSE, "args": [str(log), 60]}, run="job_lost:1")

    assert isinstance(outcome, Failed)
    assert (outcome.code, outcome.retryable) == ("LOST", True)
    assert "WorkerLostError" in outcome.message


def test_a_worker_that_is_killed_and_never_comes_back_ends_at_the_deadline(
    redis_url: str, tmp_path: Path, log: Path
) -> None:
    queue = f"killed-{uuid4().hex[:8]}"
    world = _world(redis_url, queue)
    kept = Kept()
    own = CeleryWorker(tmp_path, broker=f"{redis_url}/{BROKER_DB}", results=f"{redis_url}/{RESULTS_DB}", queue=queue)

    def kill() -> None:
        wait_until(lambda: bool(lines(log, "begin")), "a task that runs")
        own.kill()

    with own:
        threading.Thread(target=kill).start()
        outcome = world.run(input={"task": CLOSE, "args": [str(log), 60]}, kept=kept, run="job_killed:1", timeout=4.0)

    assert isinstance(outcome, Failed)
    assert (outcome.code, outcome.retryable) == ("TIMEOUT", True)
    assert "had not ended after 4 s, its last state was STARTED: it was revoked" in outcome.message
    assert kept.history == ["SENDING", "SENT", "TIMEOUT"]


def test_without_a_result_backend_the_run_is_done_when_the_broker_has_the_task(
    redis_url: str, queue: str, worker: CeleryWorker, results: redis.Redis
) -> None:
    world = _world(redis_url, queue, result_backend=None)
    kept = Kept()

    outcome = world.run(input={"task": SEND, "args": [1]}, kept=kept, run="job_sent:1")
    again = world.run(input={"task": SEND, "args": [1]}, kept=kept, run="job_sent:1", attempt=2)

    id = task_id("job_sent:1", 1)
    assert isinstance(outcome, Done)
    assert (outcome.result["sent"], outcome.result["task_id"]) == (True, id)
    assert "no result_backend" in outcome.result["note"]
    assert again == outcome
    assert kept.history == ["SENDING", "SENT"]
    wait_until(lambda: b"SUCCESS" in (results.get(f"celery-task-meta-{id}") or b""), "the task's own result")


def test_many_runs_wait_with_one_thread(world: World, worker: CeleryWorker) -> None:
    calls = [
        world.call({"task": SEND, "args": [number]}, run=f"job_many{number}:1", kept=Kept(), timeout=60.0)
        for number in range(300)
    ]

    async def scene() -> tuple[list[Outcome], int]:
        tasks = [asyncio.create_task(world.attempt(call)) for call in calls]
        most = 0
        while not all(task.done() for task in tasks):
            names = [thread.name for thread in threading.enumerate()]
            most = max(most, sum(name.startswith("celery-") for name in names))
            await asyncio.sleep(0.01)
        return [task.result() for task in tasks], most

    outcomes, most = in_a_loop(scene())

    assert [outcome.result["result"]["sent"] for outcome in outcomes if isinstance(outcome, Done)] == list(range(300))
    assert most <= 32  # of both families together, whatever they were used for before


def _revoke_as_the_team_does(url: str, id: str) -> None:
    from celery import Celery

    app = Celery("ops", broker=url, set_as_current=False, fixups=set())
    with app.connection() as connection:
        app.control.revoke(id, terminate=True, connection=connection)
    app.close()


def test_only_listed_tasks_are_run(world: World) -> None:
    with pytest.raises(Invalid) as caught:
        world.check(task="billing.tasks.send_invoice", args=[1])
    assert [(error.field, error.code) for error in caught.value.errors] == [("input.task", "task_not_listed")]
    assert "did you mean 'billing.tasks.send_invoices'?" in caught.value.errors[0].detail

    outcome = world.run(input={"task": "os.system", "args": ["true"]})

    assert isinstance(outcome, Failed)
    assert (outcome.code, outcome.retryable) == ("FORBIDDEN", False)


def test_a_broker_that_is_away_is_told_and_nothing_was_sent(redis_url: str, queue: str) -> None:
    kept = Kept()
    world = _world(redis_url, queue, broker_url=f"redis://:pass-secret@127.0.0.1:{free_port()}/0")

    outcome = world.run(input={"task": SEND, "args": [1]}, kept=kept)

    assert isinstance(outcome, Failed)
    assert (outcome.code, outcome.retryable) == ("CONNECTION_ERROR", True)
    assert "the broker (redis 127.0.0.1:" in outcome.message
    assert "pass-secret" not in outcome.message


def test_a_result_backend_that_is_away_is_told_before_anything_is_sent(
    redis_url: str, queue: str, broker: redis.Redis
) -> None:
    quiet = f"quiet-{uuid4().hex[:8]}"
    world = _world(redis_url, quiet, result_backend=f"redis://127.0.0.1:{free_port()}/0")

    outcome = world.run(input={"task": SEND, "args": [1]}, kept=Kept())

    assert isinstance(outcome, Failed)
    assert (outcome.code, outcome.retryable) == ("CONNECTION_ERROR", True)
    assert broker.llen(quiet) == 0


class Backend:
    """A Redis of a test's own in front of which a door opens and shuts."""

    def __init__(self, port: int) -> None:
        self.port = free_port()
        self._to = port
        self._pipes: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None

    async def open(self) -> None:
        self._server = await asyncio.start_server(self._connected, "127.0.0.1", self.port)

    async def shut(self) -> None:
        """As a server that stops: nobody is let in, and whoever was is thrown out."""
        if self._server is not None:
            self._server.close()
        for pipe in self._pipes:
            pipe.cancel()
        await asyncio.gather(*self._pipes, return_exceptions=True)

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        theirs, ours = await asyncio.open_connection("127.0.0.1", self._to)
        pipes = [asyncio.create_task(_pipe(reader, ours)), asyncio.create_task(_pipe(theirs, writer))]
        self._pipes.update(pipes)
        await asyncio.wait(pipes, return_when=asyncio.FIRST_COMPLETED)
        for pipe in pipes:
            pipe.cancel()
            self._pipes.discard(pipe)


async def _pipe(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while text := await reader.read(65_536):
            writer.write(text)
            await writer.drain()
    finally:
        writer.close()


def test_a_result_backend_that_goes_away_and_comes_back_costs_nothing(
    redis_url: str, queue: str, worker: CeleryWorker, log: Path
) -> None:
    door = Backend(needs("redis")[1])
    world = _world(redis_url, queue, result_backend=f"redis://127.0.0.1:{door.port}/{RESULTS_DB}")
    call = world.call({"task": CLOSE, "args": [str(log), 1]}, run="job_away:1", kept=Kept())

    async def scene() -> Outcome:
        await door.open()
        task = asyncio.create_task(world.attempt(call))
        while not lines(log, "begin"):
            await asyncio.sleep(0.02)
        await door.shut()
        await asyncio.sleep(1.5)
        assert not task.done()
        await door.open()
        outcome = await task
        await door.shut()
        return outcome

    assert in_a_loop(scene()) == Done({"task_id": task_id("job_away:1", 1), "result": "closed"})


@pytest.mark.parametrize("scheme", ["redis", "amqp"])
def test_a_broker_that_never_answers_ends_at_the_deadline(redis_url: str, queue: str, scheme: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        world = _world(redis_url, queue, broker_url=f"{scheme}://127.0.0.1:{port}/0")
        began = time.monotonic()
        outcome = world.run(input={"task": SEND, "args": [1]}, timeout=1.0, kept=Kept())

    assert isinstance(outcome, Failed)
    assert outcome.code == "TIMEOUT"
    assert time.monotonic() - began < 6.0


def test_connections_are_shared_by_the_runs_of_a_function(redis_url: str, world: World, worker: CeleryWorker) -> None:
    calls = [world.call({"task": SEND, "args": [1]}, run=f"job_share{number}:1", kept=Kept()) for number in range(20)]

    async def scene() -> int:
        with redis.Redis.from_url(redis_url) as client:
            before = {each["id"] for each in client.client_list()}
            await asyncio.gather(*map(world.attempt, calls))
            mine = [each for each in client.client_list() if each["id"] not in before and each["db"] in {"11", "12"}]
            return len(mine)

    assert in_a_loop(scene()) <= 8  # of ours and of both processes of the worker, for twenty runs


def test_a_private_address_is_refused_before_a_socket_opens(settings: Any, queue: str) -> None:
    settings.EGRESS_ALLOW_CIDRS = []
    world = _world("redis://127.0.0.1:6379", queue, result_backend=None)

    outcome = world.run(input={"task": SEND, "args": [1]})

    assert isinstance(outcome, Failed)
    assert (outcome.code, outcome.retryable) == ("FORBIDDEN", False)


def test_a_check_tells_what_is_there(redis_url: str, world: World, queue: str) -> None:
    assert world.tried() == f"connected: redis 127.0.0.1:6379, queue {queue}; results in redis 127.0.0.1:6379"
