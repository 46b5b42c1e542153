"""`make up` as a new user meets it: a fresh copy in an empty folder, with only what the README says."""

from __future__ import annotations

import io
import json
import os
import re
import shutil
import signal
import socket
import stat
import subprocess
import sys
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from ductape_jobs.up.children import Child, GivesUp
from ductape_jobs.up.console import Console
from tests.servers.breakable import family
from tests.servers.local import ROOT, free_port, wait_until

pytestmark = [pytest.mark.processes, pytest.mark.timeout(600)]

README = (ROOT / "README.md").read_text()
BLOCKS = re.findall(r"^```(\w*)\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)
SHELL_BLOCKS = [text for language, text in BLOCKS if language == "sh"]
RUNS = "Ctrl-C stops everything"  # the last line of what a start prints
# What a machine's owner may have set must not reach the new user's shell.
OWN = {"DATA_DIR", "DATABASE_URL", "REDIS_URL", "OPERATOR_API_KEY", "ENVIRONMENT", "PORT", "DJANGO_SETTINGS_MODULE", "CI",
       "MAKEFLAGS", "MAKELEVEL", "VIRTUAL_ENV"}  # fmt: skip


class Up:
    """A started `up`, what it printed, and the way to end it."""

    def __init__(self, command: Sequence[str], folder: Path, log: Path, **variables: str) -> None:
        self.port = free_port()
        self.log = log
        self.folder = folder
        self.environment = {
            **{name: value for name, value in os.environ.items() if name not in OWN},
            "PORT": str(self.port),
            **variables,
        }
        with log.open("wb") as output:
            self.process = subprocess.Popen(
                command, cwd=folder, env=self.environment, stdin=subprocess.DEVNULL, stdout=output,
                stderr=subprocess.STDOUT, start_new_session=True,
            )  # fmt: skip

    def said(self) -> str:
        return self.log.read_text(errors="replace")

    def wait(self, text: str = RUNS, seconds: float = 60.0) -> str:
        """All it said once it has said that."""

        def has_said() -> bool:
            assert self.process.poll() is None or text in self.said(), f"it ended:\n{self.said()}"
            return text in self.said()

        wait_until(has_said, f"{text!r} is said, after:\n{self.said()[-3000:]}", seconds)
        return self.said()

    def curl(self) -> str:
        return next(line.strip() for line in self.said().splitlines() if line.strip().startswith("curl "))

    def terminal(self, command: Sequence[str]) -> str:
        """What a command prints in a second terminal."""
        done = subprocess.run(
            command, cwd=self.folder, env=self.environment, capture_output=True, text=True, timeout=60
        )  # fmt: skip
        assert done.returncode == 0, done
        return done.stdout

    def shell(self, command: str) -> dict[str, Any]:
        """What a command pasted into it answers, as JSON."""
        answer: dict[str, Any] = json.loads(self.terminal(["bash", "-c", command]))
        return answer

    def get(self, path: str, headers: Mapping[str, str] | None = None) -> str:
        request = urllib.request.Request(f"http://127.0.0.1:{self.port}{path}", headers=dict(headers or {}))
        with urllib.request.urlopen(request, timeout=40) as response:
            return str(response.read().decode())

    def job(self, job_id: str) -> dict[str, Any]:
        key = (self.folder / ".data" / "operator_api_key").read_text()
        answer: dict[str, Any] = json.loads(
            self.get(f"/v1/jobs/{job_id}?wait=20000", {"Authorization": f"Bearer {key}"})
        )
        return answer

    def ctrl_c(self) -> int:
        """As the terminal does it: to everything in the foreground. The exit code; nothing is left."""
        pids = family(self.process.pid)
        os.killpg(self.process.pid, signal.SIGINT)
        code = self.process.wait(45)
        assert [pid for pid in pids if _alive(pid)] == []
        return code

    def end(self) -> None:
        for pid in family(self.process.pid):
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
        self.process.wait()


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The files of a fresh clone, as they are now."""
    folder = tmp_path_factory.mktemp("clone") / "ductape jobs"  # a space: folders have them
    names = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT, capture_output=True, text=True, check=True,
    ).stdout.split("\0")  # fmt: skip
    for name in names:
        if name and (ROOT / name).is_file():
            target = folder / name
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, target)
    return folder


@pytest.fixture
def started(checkout: Path, tmp_path: Path) -> Iterator[Up]:
    """`up` itself, without make, with this test run's Python."""
    data = checkout / ".data"
    up = Up([sys.executable, "manage.py", "up"], checkout, tmp_path / "up.log", DATA_DIR=str(data))
    try:
        up.wait()
        yield up
    finally:
        up.end()


def test_no_block_of_the_readme_is_of_a_kind_that_is_not_tried() -> None:
    """make up, make test, curl, the tools; what curl answers; Python; .env. The states: test_architecture.py."""
    assert [language for language, _ in BLOCKS] == ["sh", "sh", "sh", "json", "python", "mermaid", "", "sh"]
    assert SHELL_BLOCKS[:2] == ["make up\n", "make test\n"]


def test_make_test_is_what_ci_runs_and_make_can_do(checkout: Path) -> None:
    """A test cannot run all tests: CI does, by this command. Here make says what it would run."""
    assert "make --no-print-directory test\n" in (checkout / ".ci" / "run").read_text()
    make = ["make", "--no-print-directory", "-n", "test"]
    done = subprocess.run(make, cwd=checkout, capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.splitlines()[-1] == ".venv/bin/python -m tests"


def test_the_keys_of_the_env_file_made_as_told_are_fit_for_production(checkout: Path, tmp_path: Path) -> None:
    (told,) = [text for language, text in BLOCKS if language == ""]
    variables = {
        "ENVIRONMENT": "production", "DATABASE_URL": "postgres://nobody@127.0.0.1/none", "DATA_DIR": str(tmp_path),
        "REDIS_URL": "redis://127.0.0.1:6379/0", "EGRESS_ALLOW_CIDRS": "",
    }  # fmt: skip
    for line in told.splitlines():
        name, _, rest = line.partition("=")
        value, _, command = rest.partition(" ")
        if value == "…":
            value = subprocess.run(
                ["bash", "-c", command], capture_output=True, text=True, check=True, timeout=30
            ).stdout.strip()
        variables[name] = value
    environment = {name: value for name, value in os.environ.items() if name not in OWN}
    done = subprocess.run(
        [sys.executable, "manage.py", "check", "--deploy", "--fail-level", "WARNING"],
        cwd=checkout, env={**environment, **variables}, capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "no issues" in done.stdout


def test_make_up_the_printed_curl_ctrl_c_and_again(checkout: Path, tmp_path: Path) -> None:
    first = Up(["make", "up"], checkout, tmp_path / "first.log")
    try:
        said = first.wait(seconds=480)  # installs everything
        assert '"status": "completed"' in said
        assert "\x1b[" not in said  # not a terminal: no colours
        key = (checkout / ".data" / "operator_api_key").read_text()
        password = (checkout / ".data" / "admin_password").read_text().strip()
        assert key in said
        assert password in said
        job_id = first.shell(first.curl())["job_id"]
        job = first.job(job_id)
        assert (job["status"], job["result"]["body"]["you_sent"]["body"]) == ("completed", {"text": "hello"})
        page = first.get("/admin/login/")
        for asset in re.findall(r'(?:href|src)="(/static/[^"]+\.(?:css|js))"', page):
            assert first.get(asset)
        assert "openapi" in first.get("/v1/docs").lower()
        assert json.loads(first.get("/readyz"))["status"] == "ready"
        private = [path for path in (checkout / ".data").glob("*") if path.name.endswith(("key", "password"))]
        assert len(private) == 4
        assert {stat.S_IMODE(path.stat().st_mode) for path in private} == {0o600}
        first.ctrl_c()
        assert "stopped" in first.said().splitlines()
    finally:
        first.end()

    again = Up(["make", "up"], checkout, tmp_path / "again.log")
    try:
        said = again.wait(seconds=60)
        assert "installing" not in said
        assert key not in said  # shown once
        assert password not in said
        assert again.job(job_id)["status"] == "completed"  # the data is there
        assert again.job(again.shell(again.curl())["job_id"])["status"] == "completed"
        _as_the_readme_says(again)
        again.ctrl_c()
    finally:
        again.end()


def _as_the_readme_says(up: Up) -> None:
    """Paste its blocks into a second terminal: curl and the answer it shows, Python, the tools."""

    def of_this_port(text: str) -> str:
        assert "127.0.0.1:8000" in text
        return text.replace("127.0.0.1:8000", f"127.0.0.1:{up.port}")

    (curl,) = [text for text in SHELL_BLOCKS if text.startswith("curl")]
    answer = up.shell(of_this_port(curl))
    (shown,) = [json.loads(text) for language, text in BLOCKS if language == "json"]
    assert {name: type(value) for name, value in answer.items()} == {name: type(value) for name, value in shown.items()}
    assert (answer["status"], answer["recurring"]) == (shown["status"], shown["recurring"])
    assert up.job(answer["job_id"])["status"] == "completed"

    (program,) = [text for language, text in BLOCKS if language == "python"]
    status, history = up.terminal([".venv/bin/python", "-c", of_this_port(program)]).splitlines()
    assert re.fullmatch(r"scheduled [0-9]{13}", status)
    assert history.startswith("1 trigger completed "), history

    *_, tools = SHELL_BLOCKS
    assert tools.count("manage.py") == len(tools.splitlines())
    for tool in tools.splitlines():
        assert up.terminal(["bash", "-c", tool])


def test_a_port_that_is_taken_is_named_with_the_way_out(checkout: Path, tmp_path: Path) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        up = Up(
            [sys.executable, "manage.py", "up"], checkout, tmp_path / "up.log", PORT=str(port), DATA_DIR=str(tmp_path)
        )
        assert up.process.wait(30) == 1
    assert up.said().strip() == (
        f"port {port} cannot be had (Address already in use): another program has it. "
        f"Take another one: PORT={port + 10} make up"
    )


def test_a_second_one_on_the_same_data_is_refused(started: Up, checkout: Path, tmp_path: Path) -> None:
    second = Up(
        [sys.executable, "manage.py", "up"], checkout, tmp_path / "two.log", DATA_DIR=str(checkout / ".data")
    )  # fmt: skip
    assert second.process.wait(30) == 1
    assert "it is running already" in second.said()
    assert started.process.poll() is None


def test_a_process_that_dies_is_started_again_and_jobs_go_on(started: Up) -> None:
    worker = _child(started, "worker")
    os.kill(worker, signal.SIGKILL)
    started.wait("the worker died of SIGKILL: starting it again", 10)
    job = started.job(started.shell(started.curl())["job_id"])
    assert job["status"] == "completed"
    assert _child(started, "worker") != worker
    assert started.ctrl_c() == 0
    assert started.said().rstrip().endswith("stopped")


def test_the_python_of_the_readme_runs_as_it_stands(started: Up) -> None:
    (block,) = re.findall(r"^```python\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)
    pasted = block.replace("127.0.0.1:8000", f"127.0.0.1:{started.port}")
    done = subprocess.run(
        [sys.executable, "-c", pasted], cwd=started.folder, capture_output=True, text=True, timeout=60
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
    scheduled, *runs = done.stdout.splitlines()
    assert re.fullmatch(r"scheduled \d{13}", scheduled)
    (run,) = runs
    assert run.startswith("1 trigger completed {'you_sent': {'method': 'POST', ")
    assert "good morning" in run


def test_no_process_outlives_an_up_that_was_killed(started: Up) -> None:
    pids = family(started.process.pid)
    assert len(pids) >= 6  # itself, broker, API and its two, worker, scheduler
    started.process.kill()
    started.process.wait()
    wait_until(lambda: not any(_alive(pid) for pid in pids), "all of them are gone", 40)


def test_who_keeps_dying_is_given_up_with_a_sentence() -> None:
    out = io.StringIO()
    child = Child("worker", ["sh", "-c", "echo it hurts; exit 3"], os.environ, Console(out))
    child.start()

    def gave_up() -> bool:
        try:
            child.watch()
        except GivesUp as given_up:
            return str(given_up) == "the worker ended with code 3, 3 times in a row: its last lines are above"
        return False

    wait_until(gave_up, "it is given up", 20)
    child.kill()
    assert out.getvalue().count("worker    | it hurts\n") == 3
    assert out.getvalue().count("the worker ended with code 3: starting it again\n") == 2


def test_on_a_terminal_names_and_troubles_are_coloured() -> None:
    out = io.StringIO()
    console = Console(out, colour=True)
    console.line("api", "2026 WARNING jobs: late")
    console.line("worker", "2026 INFO jobs: fine")
    assert out.getvalue() == (
        "\x1b[36mapi      \x1b[0m | \x1b[33m2026 WARNING jobs: late\x1b[0m\n"
        "\x1b[32mworker   \x1b[0m | 2026 INFO jobs: fine\n"
    )


def test_production_is_refused(checkout: Path, tmp_path: Path) -> None:
    up = Up([sys.executable, "manage.py", "up"], checkout, tmp_path / "up.log", ENVIRONMENT="production")
    assert up.process.wait(30) == 1
    assert "SECRET_KEY must be set when ENVIRONMENT is production" in up.said()
    assert "Traceback" not in up.said()


def _child(up: Up, name: str) -> int:
    """The process that `up` itself started for that."""
    for pid in family(up.process.pid):
        try:
            command = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
        except OSError:
            continue
        if name.encode() in command:
            return pid
    raise AssertionError(f"there is no {name}")


def _alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"
