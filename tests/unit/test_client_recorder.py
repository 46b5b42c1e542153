"""`ductape_recorder`, as a user's own test suite uses it: in a process of its own, by pytest."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

SOURCE = Path(__file__).resolve().parents[2] / "clients" / "python" / "src"
SUITE = """
import asyncio

import pytest

from ductape import AsyncDuctape, Ductape, WaitTimeout
from ductape.errors import IllegalState
from ductape.recorder import NotRecorded

ductape = Ductape("http://127.0.0.1:9", "key", product="shop", env="prd", retries=0)  # made before any test


def register(name):
    return ductape.actions.dispatch(
        app="mail", event="welcome", input={"body": {"to": name}}, schedule={"start_at": 4_000_000_000_000}
    )


def test_a_dispatch_is_recorded(ductape_recorder):
    done = register("ada")

    (found,) = ductape_recorder.assert_dispatched("actions", event="welcome", input={"body": {"to": "ada"}}, count=1)
    assert (found.job_id, found["product"], found.idempotency_key is not None) == (done.job_id, "shop", True)
    assert (done.status, done.recurring) == ("scheduled", False)
    assert ductape.jobs.get(done.job_id).input == {"body": {"to": "ada"}}
    assert [job.id for job in ductape.jobs.list(status="scheduled")] == [done.job_id]
    ductape_recorder.assert_nothing_dispatched("features")


def test_nothing_is_left_of_the_test_before(ductape_recorder):
    ductape_recorder.assert_nothing_dispatched()


def test_what_was_not_dispatched_is_told_with_what_was(ductape_recorder):
    register("ada")
    with pytest.raises(AssertionError, match=r'none of these was dispatched: actions .*"bob"(.|\\n)*"ada"'):
        ductape_recorder.assert_dispatched("actions", input={"body": {"to": "bob"}})
    with pytest.raises(AssertionError, match="1, not 2, of these was dispatched"):
        ductape_recorder.assert_dispatched(count=2)
    with pytest.raises(AssertionError, match="1 of these were dispatched"):
        ductape_recorder.assert_nothing_dispatched(event="welcome")


def test_a_job_ends_as_the_test_says(ductape_recorder):
    one, other = register("ada"), register("bob")
    ductape_recorder.complete(one.job_id, result={"body": {"ok": True}})
    ductape_recorder.fail(other.job_id, "the mail server is away")
    assert one.wait(timeout=1).result == {"body": {"ok": True}}
    assert (other.wait().status, other.job().last_error) == ("failed", "the mail server is away")
    with pytest.raises(WaitTimeout):
        register("eve").wait(timeout=0)


def test_every_kind_of_dispatch_is_recorded(ductape_recorder):
    async def others():
        async with AsyncDuctape("http://127.0.0.1:9", "key") as client:
            await client.databases.action.dispatch(database="d", event="e", schedule={"every": 1000})
            await asyncio.gather(*(client.graphs.dispatch(graph="g", operation="o") for _ in range(50)))

    asyncio.run(others())
    ductape.jobs.dispatch_many([{"namespace": "actions", "app": "a", "event": "e"}, {"namespace": "features", "feature": "f"}])
    ductape.processor.job.schedule(event="nightly", start_at=0)

    assert ductape_recorder.matching("databases.action")[0]["schedule"] == {"every": 1000}
    ductape_recorder.assert_dispatched("graphs", count=50)
    ductape_recorder.assert_dispatched("processor.job", event="nightly", product="shop", count=1)
    assert len({each.job_id for each in ductape_recorder.dispatched}) == len(ductape_recorder.dispatched) == 54


def test_the_same_key_makes_one_job(ductape_recorder):
    one, other = (ductape.features.dispatch(tag="f", idempotency_key="k") for _ in range(2))
    assert one.job_id == other.job_id
    ductape_recorder.assert_dispatched("features", count=1)


def test_what_is_not_recorded_says_so_and_can_be_answered(ductape_recorder):
    with pytest.raises(NotRecorded, match="POST /v1/jobs/job_1/cancel"):
        ductape.jobs.cancel("job_1")
    problem = {"code": "illegal_state", "detail": "it is cancelled", "status_found": "cancelled"}
    ductape_recorder.answer("POST", "/v1/jobs/job_1/cancel", problem, status=409)
    with pytest.raises(IllegalState):
        ductape.jobs.cancel("job_1")
"""
WITHOUT = """
import pytest
from ductape import ConnectionFailed, Ductape


def test_without_the_fixture_calls_go_out():
    with pytest.raises(ConnectionFailed):
        Ductape("http://127.0.0.1:9", "key", retries=0).jobs.get("job_1")
"""


def run(folder: Path, suite: str) -> subprocess.CompletedProcess[str]:
    (folder / "test_it.py").write_text(suite)
    (folder / "pytest.ini").write_text("[pytest]\n")
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "ductape.pytest_plugin", "-p", "no:cacheprovider", "-p", "no:django",
         "-W", "error", str(folder)],
        cwd=folder, env={**os.environ, "PYTHONPATH": str(SOURCE), "DJANGO_SETTINGS_MODULE": ""}, text=True,
        capture_output=True, check=False,
    )  # fmt: skip


@pytest.mark.parametrize(("suite", "passed"), [(SUITE, 7), (WITHOUT, 1)])
def test_a_users_suite_passes_with_the_plugin(tmp_path: Path, suite: str, passed: int) -> None:
    answer = run(tmp_path, suite)

    assert f"{passed} passed" in answer.stdout, answer.stdout + answer.stderr
    assert answer.returncode == 0
