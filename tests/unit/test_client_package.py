"""The client as a distribution: small, typed, without the server, and its two surfaces alike."""

from __future__ import annotations

import ast
import inspect
import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest

import ductape
from ductape import AsyncDuctape, Ductape
from tests.documented import ROOT

HERE = ROOT / "clients" / "python"
PACKAGE = HERE / "src" / "ductape"
CACHE = ROOT / ".mypy_cache" / "of_a_user"  # kept: without it the check takes half a minute
PROGRAM = '''
"""What a user writes, under mypy --strict."""

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from ductape import AsyncDuctape, DispatchOptions, Ductape, Job, JobData, Schedule, errors, verify_webhook

NIGHTLY: Schedule = {"cron": "0 3 * * *", "tz": "Europe/Berlin"}
USUAL: DispatchOptions = {"retries": 3, "schedule": NIGHTLY, "retry_config": {"initial_delay": timedelta(seconds=1)}}


def failed(client: Ductape) -> list[str]:
    return [job.last_error or "" for job in client.jobs.list_all(status=["failed"], from_=datetime.now(UTC))]


def run(client: Ductape) -> Job:
    job = client.actions.dispatch(app="mail", event="send", input={"body": {}}, **USUAL)
    when: datetime | None = job.next_run_at
    print(when)
    try:
        return job.wait(timeout=5)
    except errors.JobNotFound as error:
        print(error.code, error.errors[0].field)
        raise


def shown(jobs: Sequence[JobData]) -> None:
    for job in jobs:
        print(job.id, job.scheduled_at.isoformat(), job.timeout + 1)


async def main() -> None:
    async with AsyncDuctape("http://127.0.0.1:8000", "key") as client:
        made = await asyncio.gather(*(client.features.dispatch(tag="f") for _ in range(10)))
        shown([await each.job() for each in made])
        async for job in client.jobs.list_all():
            await job.cancel(reason="over")
        async for event in client.events_stream(event="job.failed"):
            print(event.job_id)


print(verify_webhook(b"", {}, "whsec_").job.id)
reveal_type(run)
reveal_type(failed)
'''
WRONG = """
from ductape import Ductape

client = Ductape("http://127.0.0.1:8000", "key")
client.actions.dispatch(app="mail", evnt="send")
client.actions.dispatch(app="mail", event="send", retires=3)
client.actions.dispatch(app="mail", event="send", schedule={"evry": 5})
client.jobs.list(status="done")
client.jobs.get("j").scheduled_at + 1
"""


def test_the_surface_without_asyncio_is_the_one_that_is_generated() -> None:
    answer = subprocess.run(
        [sys.executable, "clients/python/generate.py", "--check"], cwd=ROOT, text=True, capture_output=True, check=False
    )
    assert (answer.returncode, answer.stdout, answer.stderr) == (0, "", "")


def test_both_clients_can_do_the_same() -> None:
    def surface(thing: object, depth: int = 0) -> set[str]:
        found: set[str] = set()
        for name in dir(thing):
            if name.startswith("_") or depth > 3:
                continue
            value = getattr(thing, name)
            if callable(value) and not hasattr(value, "__self__") and not inspect.isfunction(value):
                found |= {f"{name}.{each}" for each in surface(value, depth + 1)}
            if inspect.ismethod(value):
                found.add(f"{name}{list(inspect.signature(value).parameters)}".replace("aclose", "close"))
            elif type(value).__module__.startswith("ductape."):
                found |= {f"{name}.{each}" for each in surface(value, depth + 1)}
        return found

    options: dict[str, Any] = {"base_url": "http://jobs.test", "api_key": "key", "product": "shop"}
    synchronous, asynchronous = surface(Ductape(**options)), surface(AsyncDuctape(**options))

    assert synchronous == asynchronous
    assert len(synchronous) > 60


def test_the_client_imports_httpx_and_the_standard_library_alone() -> None:
    allowed = {*sys.stdlib_module_names, "httpx", "ductape"}
    for path in PACKAGE.rglob("*.py"):
        more = {"pytest"} if path.name == "pytest_plugin.py" else {"typer", "rich"} if "cli" in path.parts else set()
        for node in ast.walk(ast.parse(path.read_text())):
            names = [node.module or ""] if isinstance(node, ast.ImportFrom) and not node.level else []
            names += [each.name for each in node.names] if isinstance(node, ast.Import) else []
            assert {name.partition(".")[0] for name in names} <= allowed | more, path


def test_files_are_small_and_named_for_what_they_are() -> None:
    for path in PACKAGE.rglob("*.py"):
        most = 500 if path.name == "errors.py" else 400  # a table, one class a code
        assert len(path.read_text().splitlines()) <= most, path
        assert path.stem not in {"utils", "util", "helpers", "helper", "common", "misc", "manager", "managers"}


def test_everything_that_is_offered_is_there_and_in_order() -> None:
    assert sorted(ductape.__all__) == sorted(set(ductape.__all__))
    assert all(hasattr(ductape, name) for name in ductape.__all__)


@pytest.fixture
def environment() -> dict[str, str]:
    return {**os.environ, "MYPYPATH": str(PACKAGE.parent), "PYTHONPATH": ""}


def test_a_users_program_passes_the_strict_check_of_types_and_a_wrong_one_does_not(
    tmp_path: Path, environment: dict[str, str]
) -> None:
    (tmp_path / "program.py").write_text(PROGRAM)
    (tmp_path / "wrong.py").write_text(WRONG)
    command = [sys.executable, "-m", "mypy", "--strict", "--config-file=", "--cache-dir", str(CACHE)]
    answer = subprocess.run(
        [*command, "program.py", "wrong.py"], cwd=tmp_path, env=environment, text=True, capture_output=True, check=False
    )

    told = answer.stdout.splitlines()
    assert [line for line in told if line.startswith("program.py") and "error" in line] == [], answer.stdout
    assert 'Revealed type is "def (client: ductape._sync.client.Ductape) -> ductape._sync.job.Job"' in answer.stdout
    wrong = {int(found[1]) for line in told if (found := re.match(r"wrong\.py:(\d+): error", line))}
    assert wrong == {5, 6, 7, 8, 9}, answer.stdout


DEPENDENCIES = ["httpx>=0.27,<1", "sniffio>=1.3"]


def test_the_distribution_needs_httpx_and_offers_the_plugin() -> None:
    told = tomllib.loads((HERE / "pyproject.toml").read_text())

    assert (told["project"]["name"], told["project"]["dependencies"]) == ("ductape-client", DEPENDENCIES)
    assert told["project"]["entry-points"]["pytest11"] == {"ductape": "ductape.pytest_plugin"}
    assert (PACKAGE / "py.typed").exists()
