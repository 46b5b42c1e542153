"""A team's own Celery tasks through the whole system: on a schedule, cancelled, and when our worker dies under them."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
import redis

from tests.acceptance.system import ENV, System
from tests.servers.celery_worker import CeleryWorker
from tests.servers.local import wait_until
from tests.servers.machine import needs

pytestmark = [pytest.mark.faults, pytest.mark.timeout(180)]

PRODUCT = "billing"
BROKER_DB, RESULTS_DB = 9, 10
SEND, SYNC, CLOSE = (f"billing.tasks.{name}" for name in ("send_invoices", "sync_bank", "close_month"))


@pytest.fixture
def log(tmp_path: Path) -> Path:
    path = tmp_path / "tasks.log"
    path.touch()
    return path


@pytest.fixture
def team(house: System, tmp_path: Path) -> Iterator[CeleryWorker]:
    """The team's worker, and its function in the catalog."""
    host, port = needs("redis")
    url, queue = f"redis://{host}:{port}", f"billing-{uuid4().hex[:8]}"
    clients = [redis.Redis(host=host, port=port, db=number) for number in (BROKER_DB, RESULTS_DB)]
    connection = {
        "broker_url": f"{url}/{BROKER_DB}", "result_backend": f"{url}/{RESULTS_DB}", "queue": queue, "terminate": True,
    }  # fmt: skip
    function = {"tag": "nightly", "type": "celery", "tasks": [SEND, SYNC, CLOSE], "envs": {ENV: connection}}
    document = {"product": PRODUCT, "envs": [{"slug": ENV}], "functions": [function]}
    answer = house.call("PUT", f"/v1/products/{PRODUCT}/catalog", document)
    assert answer.status == 200, answer
    try:
        with CeleryWorker(tmp_path, broker=f"{url}/{BROKER_DB}", results=f"{url}/{RESULTS_DB}", queue=queue) as worker:
            yield worker
    finally:
        for client in clients:
            client.flushdb()
            client.close()


def dispatch(house: System, task: str, *args: Any, **fields: Any) -> str:
    body = {"product": PRODUCT, "env": ENV, "function": "nightly", "input": {"task": task, "args": [*args]}, **fields}
    answer = house.call("POST", "/v1/functions/dispatch", body)
    assert answer.status == 201, answer
    return str(answer.body["job_id"])


def begun(log: Path) -> list[str]:
    return [line for line in log.read_text().splitlines() if line.startswith("begin")]


def test_a_task_runs_by_cron_and_each_run_has_its_result(house: System, team: CeleryWorker) -> None:
    job_id = dispatch(house, SEND, 2, schedule={"cron": "*/2 * * * * *", "limit": 2, "overlap": "queue"})

    house.wait_for([job_id])

    runs = house.history(job_id)
    assert [run["status"] for run in runs] == ["completed", "completed"]
    assert [run["result"]["result"]["key"] for run in runs] == [f"{job_id}:1", f"{job_id}:2"]
    assert [run["steps"][0]["state"] for run in runs] == ["SUCCESS", "SUCCESS"]


def test_a_task_that_raises_and_one_that_retries_itself(house: System, team: CeleryWorker, log: Path) -> None:
    raises = dispatch(house, SEND, -1, retries=1, retryConfig={"initialDelay": 100})
    retries = dispatch(house, SYNC, str(log), 2)

    house.wait_for([raises], "failed")
    house.wait_for([retries])

    (failed,), (completed,) = house.history(raises), house.history(retries)
    assert [attempt["code"] for attempt in failed["attempts"]] == ["TASK_FAILED", "TASK_FAILED"]
    assert "ValueError: cannot send -1 invoices" in failed["error"]
    assert (len(completed["attempts"]), completed["result"]["result"]) == (1, 2)


def test_a_cancelled_job_ends_its_task(house: System, team: CeleryWorker, log: Path) -> None:
    job_id = dispatch(house, CLOSE, str(log), 60)
    wait_until(lambda: len(begun(log)) == 1, "the task runs")
    task_id = begun(log)[0].split()[1]

    house.cancel(job_id)

    host, port = needs("redis")
    with redis.Redis(host=host, port=port, db=RESULTS_DB) as results:
        wait_until(lambda: b"REVOKED" in (results.get(f"celery-task-meta-{task_id}") or b""), "the task is revoked", 15)
    assert house.get(job_id)["status"] == "cancelled"


def test_a_run_whose_worker_is_killed_finds_its_task_again(house: System, team: CeleryWorker, log: Path) -> None:
    job_id = dispatch(house, CLOSE, str(log), 25)
    wait_until(lambda: len(begun(log)) == 1, "the task runs")
    rows = house.rows(
        "SELECT DISTINCT w.pid FROM jobs_execution e JOIN jobs_worker w ON w.id = e.owner_id WHERE e.status = 'running'"
    )
    assert len(rows) == 1
    next(worker for worker in house.workers() if worker.pid == rows[0][0]).kill()
    killed = time.monotonic()

    house.wait_for([job_id])

    assert time.monotonic() - killed < 40
    (run,) = house.history(job_id)
    assert [attempt["status"] for attempt in run["attempts"]] == ["lost", "completed"]
    assert run["result"]["result"] == "closed"
    assert len(begun(log)) == 1
    house.fsck()


def test_a_worker_of_ours_that_is_shut_down_leaves_the_task_alone(house: System, team: CeleryWorker, log: Path) -> None:
    job_id = dispatch(house, CLOSE, str(log), 40)
    wait_until(lambda: len(begun(log)) == 1, "the task runs")
    (owner,) = house.rows(
        "SELECT DISTINCT w.pid FROM jobs_execution e JOIN jobs_worker w ON w.id = e.owner_id WHERE e.status = 'running'"
    )
    next(worker for worker in house.workers() if worker.pid == owner[0]).terminate()  # drains, then hands back

    house.wait_for([job_id], seconds=90)

    (run,) = house.history(job_id)
    assert (run["result"]["result"], run["status"]) == ("closed", "completed")
    assert len(begun(log)) == 1
