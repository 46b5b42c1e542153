"""The programs of examples/, each as a process of its own, against the real system; and `ductape-jobs` beside them."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from ductape import Ductape
from tests.acceptance.system import OPERATOR_KEY, System
from tests.servers.local import ROOT

pytestmark = [pytest.mark.faults, pytest.mark.timeout(180)]

EXAMPLES = ROOT / "examples"
PROGRAMS = sorted(path.stem for path in EXAMPLES.glob("*.py") if path.stem != "prepare")
SAID = {  # what each prints, line by line
    "welcome_mail": [r"job_\w+ scheduled for \S+", "cancelled because the account was closed"],
    "daily_report": [
        r"At 09:00 \(America/New_York\)", *[r"  \S+T09:00:00-0[45]:00"] * 3, r"job_\w+ runs next at .*",
        r"today: completed \{'status': 200\}",
    ],
    "nightly_cleanup": [r"job_\w+ runs next at .*", r"completed \{'count': 1\}", r"It is to run at .* 03:00:00 Europe/Berlin.*"],
    "limited_reminders": [r"1 of 4 sent, the next at .*", "cancelled"],
    "payment_retry": ["1 failed .* 503 .*", "2 failed .* 503 .*", "3 completed ?", "the payment completed"],
    "s0_jobs_overview": [
        "Updated Job Name runs 10 times, every 120000 ms", r"all jobs: \['example_job'\]",
        "this one: payment-service:process_payment",
    ],
    "s1_schedule_job": [r"job_\w+ queued"],
    "s2_jobs_reference": [r"job_\w+ recurs: True", "Updated Job Name – jobs that follow: 1", r"\[.*'reference_job'\]"],
    "s3_dispatch": [*[r"job_\w+ (scheduled|queued) +recurring: .*"] * 10, *[r"job_\w+ completed"] * 2],
    "s4_job_management": [
        "Status: scheduled Scheduled at: .* Recurring: True", "Scheduled: 2", "Recurring: 1", "Status: paused", r"Next run: 20\S+ .*",
        "Paused: 1", "Resumed: 1", "Run 1: started .*, completed ?", r"Total: \d+ .*", "Retried: 0", "Status: cancelled",
        "Cancelled: 1", "Deleted: 2",
    ],
}  # fmt: skip


class Shell:
    """A terminal in which README.md's two variables are set; its temporary folder is the test's own."""

    def __init__(self, house: System, folder: Path) -> None:
        self.environment = {
            **os.environ,
            "PYTHONPATH": str(ROOT / "clients" / "python" / "src"),
            "DUCTAPE_URL": f"http://127.0.0.1:{house.port}",
            "DUCTAPE_API_KEY": OPERATOR_KEY,
            "ECHO_URL": f"http://127.0.0.1:{house.receiver_port}",
            "BROKER_URL": house.redis.url,
            "XDG_CONFIG_HOME": str(folder),
            "TMPDIR": str(folder),  # below the machine's, in which a server that is local may read and write
        }

    def run(self, *arguments: str, code: int = 0) -> str:
        """What a program prints on standard output. It must end with that code, and as it should: without a traceback."""
        done = subprocess.run(
            [sys.executable, *arguments], cwd=ROOT, env=self.environment, capture_output=True, text=True, timeout=120,
            stdin=subprocess.DEVNULL, check=False,
        )  # fmt: skip
        assert (done.returncode, "Traceback" in done.stderr) == (code, False), done
        return done.stdout

    def command(self, *arguments: str, code: int = 0) -> str:
        return self.run("-m", "ductape.cli.main", *arguments, code=code)


@pytest.fixture
def shell(house: System, tmp_path: Path) -> Shell:
    shell = Shell(house, tmp_path)
    shell.run("examples/prepare.py")
    return shell


def test_every_program_is_here_and_listed() -> None:
    listed = set(re.findall(r"^\| `(\w+)\.py` \|", (EXAMPLES / "README.md").read_text(), re.MULTILINE))
    assert listed == set(SAID) == set(PROGRAMS)


@pytest.mark.parametrize("name", PROGRAMS)
def test_an_example_does_what_it_says_and_leaves_nothing_that_runs(shell: Shell, house: System, name: str) -> None:
    unavailable = {"status": 503, "body": {"error": "not now"}}
    house.answer("flaky", unavailable, unavailable, {"status": 200})

    lines = shell.run(f"examples/{name}.py").splitlines()

    assert len(lines) == len(SAID[name]), lines
    for line, expected in zip(lines, SAID[name], strict=True):
        assert re.fullmatch(expected, line), (line, expected)
    with Ductape(shell.environment["DUCTAPE_URL"], OPERATOR_KEY) as ductape:
        for job_id in dict.fromkeys(re.findall(r"job_\w{20,}", "\n".join(lines))):
            job = ductape.jobs.get(job_id)
            assert (job.wait(timeout=30) if job.status != "cancelled" else job).is_final
        assert ductape.jobs.list(product="my-app", status=["scheduled", "paused"]).jobs == ()


def test_the_catalog_is_the_one_of_the_file(shell: Shell) -> None:
    assert json.loads(shell.command("catalog", "export", "--product", "my-app"))["product"] == "my-app"
    told = json.loads(
        shell.command("catalog", "apply", "-f", "examples/catalog.yaml", "--dry-run", "--prune", "--json")
    )
    assert (told["created"], told["removed"], len(told["updated"]) > 5) == ([], [], True)  # the addresses are others


def test_a_job_from_the_terminal_from_its_dispatch_to_its_deletion(shell: Shell) -> None:
    where = ("--product", "my-app", "--env", "prd")
    pay = ("dispatch", "actions", "payment-service:process_payment", *where, "-l", "by:terminal", "--json")

    job = json.loads(shell.command(*pay, "-i", '{"body": {"amount": 5}}', "--wait", "60s"))
    later = json.loads(shell.command(*pay, "--cron", "0 9 * * *", "--tz", "America/New_York"))

    assert (job["status"], job["result"]["status"], later["recurring"]) == ("completed", 200, True)
    (run,) = json.loads(shell.command("history", job["id"], "--json"))["executions"]
    assert run["status"] == "completed"
    assert json.loads(shell.command("explain", later["job_id"], "--json"))["status"] == "scheduled"
    listed = json.loads(shell.command("list", "-l", "by:terminal", "--json"))
    assert [each["id"] for each in listed["jobs"]] == [later["job_id"], job["id"]]
    assert later["job_id"] in shell.command("list", "-l", "by:terminal")
    assert json.loads(shell.command("pause", later["job_id"], "--json"))["status"] == "paused"
    assert json.loads(shell.command("resume", later["job_id"], "--json"))["status"] == "scheduled"
    assert json.loads(shell.command("reschedule", later["job_id"], "--every", "2h", "--json"))["every"] == 7_200_000
    assert (
        json.loads(shell.command("preview", "0 9 * * *", "--tz", "America/New_York", "-n", "2", "--json"))["notes"]
        == []
    )
    assert json.loads(shell.command("stats", "--product", "my-app", "--json"))["completed"] >= 1
    shell.command("pause", job["id"], code=1)
    shell.command("cancel-many", "-l", "by:terminal", code=2)
    assert json.loads(shell.command("cancel-many", "-l", "by:terminal", "--yes", "--json"))["count"] == 1
    assert json.loads(shell.command("delete-many", "-l", "by:terminal", "--yes", "--json"))["count"] == 2
    shell.command("get", job["id"], code=3)


def test_events_are_heard_in_the_terminal_as_json_lines(shell: Shell) -> None:
    first = json.loads(shell.command("hold", "--product", "my-app", "--namespace", "graphs", "--json"))
    assert [each["namespace"] for each in first["holds"]] == ["graphs"]
    assert json.loads(shell.command("release", "--product", "my-app", "--json")) == {"holds": []}
    lines = shell.command("tail", "--after", "0", "-n", "3", "--json").splitlines()
    assert all(json.loads(line)["type"].startswith("job.") for line in lines)
    assert len(lines) == 3
