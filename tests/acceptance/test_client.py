"""The Python client against the real system: both surfaces, and a thousand dispatches at once."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from ductape import AsyncDuctape, Ductape, JobEvent, WaitTimeout, errors
from tests.acceptance.system import APP, ENV, OPERATOR_KEY, PRODUCT, System
from tests.servers.local import ROOT, free_port

pytestmark = [pytest.mark.faults, pytest.mark.timeout(180)]

AT_ONCE = 1_000
CALL: dict[str, Any] = {"app": APP, "event": "call", "input": {"params": {"path": "client"}}}


@pytest.fixture
def client(house: System) -> Iterator[Ductape]:
    with Ductape(f"http://127.0.0.1:{house.port}", OPERATOR_KEY, product=PRODUCT, env=ENV) as client:
        yield client


def test_a_job_from_its_dispatch_to_its_deletion(client: Ductape, house: System) -> None:
    preview = client.schedules.preview("0 9 * * *", tz="America/New_York", count=2)
    dispatched = client.actions.dispatch(**CALL, retries=3, labels={"by": "client"})
    job = dispatched.wait(timeout=30)
    (run,) = job.history()

    assert (len(preview.occurrences), preview.local[0][10:19]) == (2, "T09:00:00")
    assert (job.status, job.result["status"], job.labels) == ("completed", 200, {"by": "client"})
    assert abs(job.created_at - datetime.now(UTC)) < timedelta(minutes=1)
    assert (run.number, run.status, run.attempts[0].status) == (1, "completed", "completed")
    assert len(house.calls(job.id)) == 1
    assert job.explain().reason in {"ran", "ended"}
    assert [each.id for each in client.jobs.list_all(label={"by": "client"})] == [job.id]
    assert client.jobs.get_stats(product=PRODUCT).completed >= 1
    assert sum(bucket.runs for bucket in client.jobs.get_stats_series(interval=60_000).buckets) >= 1
    job.delete()
    with pytest.raises(errors.JobNotFound) as raised:
        job.refresh()
    assert raised.value.request_id


def test_a_recurring_job_is_paused_resumed_rescheduled_triggered_and_cancelled(client: Ductape) -> None:
    job = client.actions.dispatch(
        **CALL, schedule={"start_at": datetime.now(UTC) + timedelta(hours=1), "every": timedelta(hours=1), "limit": 50}
    ).job()
    with pytest.raises(WaitTimeout) as raised:
        job.wait(timeout=0.2)
    assert raised.value.job.id == job.id

    assert job.pause(note="maintenance").pause_note == "maintenance"
    assert job.resume().status == "scheduled"
    changed = client.jobs.reschedule(job.id, cron="0 10 * * *", tz="America/New_York", every=None)
    assert (changed.cron, changed.every, changed.tz) == ("0 10 * * *", None, "America/New_York")
    triggered = changed.trigger()
    assert triggered.wait(timeout=30).runs_ended == changed.runs_ended + 1
    assert client.jobs.pause_many(q=job.id, dry_run=True).count == 1
    assert client.jobs.cancel_many(q=job.id, reason="over").count == 1
    with pytest.raises(errors.IllegalState) as refused:
        job.cancel()
    assert (refused.value.raw["status_found"], job.refresh().cancel_reason) == ("cancelled", "over")


def test_what_is_wrong_is_of_its_own_class(client: Ductape, house: System) -> None:
    with pytest.raises(errors.EventNotFound) as missing:
        client.actions.dispatch(app=APP, event="nothing")
    assert missing.value.status == 404
    with pytest.raises(errors.InvalidCron) as wrong:
        client.actions.dispatch(**CALL, schedule={"cron": "every day"})
    assert wrong.value.errors[0].field == "schedule.cron"
    client.actions.dispatch(**CALL, idempotency_key="client-1")
    with pytest.raises(errors.IdempotencyKeyReused):
        client.actions.dispatch(**CALL, idempotency_key="client-1", priority=9)
    with Ductape(f"http://127.0.0.1:{house.port}", "no key at all") as stranger, pytest.raises(errors.Unauthenticated):
        stranger.jobs.list()
    with Ductape(f"http://127.0.0.1:{free_port()}", "key", retries=1) as lonely, pytest.raises(errors.ConnectionFailed):
        lonely.jobs.list()


def test_the_older_calls_holds_the_catalog_and_the_service(client: Ductape) -> None:
    definition = client.product.jobs.create(
        name="Example", tag="client_example", event_type="ACTION", event_tag="call", executions=1, intervals=60_000
    )
    assert client.product(PRODUCT).jobs.fetch("client_example") == definition
    assert client.product.jobs.update("client_example", name="Other").name == "Other"
    job = client.processor.job.run(event="client_example", input=CALL["input"], wait=30_000)
    assert (job.status, job.definition) == ("completed", "client_example")
    client.product.jobs.delete("client_example")
    assert "client_example" not in [each.tag for each in client.product.jobs.fetch_all()]

    shop = client.product(PRODUCT)
    assert [each.namespace for each in shop.hold(namespace="graphs", note="n")] == ["graphs"]
    assert shop.release() == shop.holds() == ()
    document = shop.catalog.get()
    assert shop.catalog.put(document, dry_run=True).updated == ()
    diff = client.catalog.put(PRODUCT, "secrets: [{key: CLIENT_KEY, value: a-value}]", if_match=document.etag)
    assert diff.created == ("secrets.CLIENT_KEY",)
    with pytest.raises(errors.ChangedMeanwhile):
        shop.catalog.put({"name": "Shop 2"}, if_match=document.etag)
    shop.secrets.delete("CLIENT_KEY")
    assert shop.apps.check(APP, env=ENV).ok
    assert client.service.health()
    assert client.service.ready().checks
    assert client.service.workers().workers
    assert {queue.name for queue in client.service.queues()} >= {"default"}
    assert "ductape_queue_depth" in client.service.metrics()
    key = client.keys.create(name="client", product=PRODUCT, scopes=["jobs:read"])
    assert key.key
    client.keys.revoke(key.id)
    assert next(each for each in client.keys.list() if each.id == key.id).revoked_at


def test_the_example_of_the_readme_runs(client: Ductape, house: System, tmp_path: Path) -> None:
    """On a product like the one that `make up` loads."""
    client.catalog.put("demo", {
        "product": "demo", "envs": [{"slug": "dev"}],
        "apps": [{
            "tag": "echo", "envs": {"dev": {"base_url": f"http://127.0.0.1:{house.receiver_port}"}},
            "events": [{"tag": "say", "method": "POST", "resource": "/say"}],
        }],
    })  # fmt: skip
    readme = (ROOT / "clients" / "python" / "README.md").read_text()
    program = readme.partition("```python\n")[2].partition("```")[0]
    (tmp_path / ".data").mkdir()
    (tmp_path / ".data" / "operator_api_key").write_text(OPERATOR_KEY + "\n")
    answer = subprocess.run(
        [sys.executable, "-c", program.replace(":8000", f":{house.port}")], cwd=tmp_path, text=True, capture_output=True,
        env={**os.environ, "PYTHONPATH": str(ROOT / "clients" / "python" / "src")}, check=False,
    )  # fmt: skip

    assert answer.returncode == 0, answer.stderr
    assert [line.split()[0][:5] for line in answer.stdout.splitlines()] == ["job_0", "compl"]


def test_a_thousand_dispatches_at_once_over_one_asynchronous_client(
    house: System, note: Callable[[str, str], None]
) -> None:
    async def dispatched() -> tuple[list[str], float, Counter[str]]:
        url = f"http://127.0.0.1:{house.port}"
        async with AsyncDuctape(url, OPERATOR_KEY, product=PRODUCT, env=ENV) as client:
            began = time.monotonic()
            made = await asyncio.gather(
                *(client.actions.dispatch(**CALL, unique_key=f"at-once-{number}") for number in range(AT_ONCE))
            )
            seconds = time.monotonic() - began
            last = await made[-1].wait(timeout=60)
            assert last.status == "completed"
            return [each.job_id for each in made], seconds, Counter(each.status for each in made)

    ids, seconds, statuses = asyncio.run(dispatched())

    assert len(set(ids)) == AT_ONCE
    assert statuses == {"queued": AT_ONCE}
    house.wait_for(ids, "completed", 60)
    assert Counter(call.job_id for call in house.calls(*ids)) == dict.fromkeys(ids, 1)
    note("client", f"{AT_ONCE} dispatches at once over one asynchronous client: {seconds:.2f} s, no error")


def test_live_events_are_told_to_both_clients(house: System, client: Ductape) -> None:
    async def heard() -> list[JobEvent]:
        found: list[JobEvent] = []
        async with AsyncDuctape(f"http://127.0.0.1:{house.port}", OPERATOR_KEY, product=PRODUCT, env=ENV) as listener:

            async def listen() -> None:
                async for event in listener.events_stream(label={"heard": "async"}):
                    found.append(event)
                    if event.type == "job.completed":
                        return

            listening = asyncio.create_task(listen())
            await asyncio.sleep(2)  # it is told from when it listens
            await listener.actions.dispatch(**CALL, labels={"heard": "async"})
            await asyncio.wait_for(listening, 60)
        return found

    events = asyncio.run(heard())

    assert len({each.job_id for each in events}) == 1
    told = events[-1]
    again = next(client.events_stream(job=told.job_id, after=str(int(told.id) - 1)))
    assert (again.type, again.seq, again.job_id) == ("job.completed", told.seq, told.job_id)
