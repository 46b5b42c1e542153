"""`ductape-jobs` against the real system: piped into programs, and before somebody who watches and answers."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from tests.acceptance.system import System
from tests.acceptance.terminal import Shell

pytestmark = [pytest.mark.faults, pytest.mark.timeout(180)]

PAY = ("dispatch", "actions", "payment-service:process_payment", "--product", "my-app", "--env", "prd", "--json")


@pytest.fixture
def shell(house: System, tmp_path: Path) -> Shell:
    shell = Shell(house, tmp_path)
    shell.run("examples/prepare.py")
    return shell


def test_a_job_from_the_terminal_from_its_dispatch_to_its_deletion(shell: Shell) -> None:
    pay = (*PAY, "-l", "by:terminal")

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
    jobs = [json.loads(shell.command(*PAY, "-l", "by:heard", "--wait", "60s"))["id"] for _ in range(2)]
    events = [
        json.loads(line)
        for line in shell.command(
            "tail", "--after", "0", "-e", "job.completed", "-l", "by:heard", "-n", "2", "--json"
        ).splitlines()
    ]
    assert [(event["job_id"], event["type"]) for event in events] == [(job_id, "job.completed") for job_id in jobs]


def test_a_watched_list_changes_before_who_watches_until_ctrl_c(shell: Shell) -> None:
    screen = shell.screen("list", "--watch", "--interval", "200ms", "-l", "by:watcher")
    screen.until(lambda written: "0 of 0 jobs" in written)
    job_id = json.loads(shell.command(*PAY, "-l", "by:watcher"))["job_id"]
    screen.until(lambda written: job_id in written and "\x1b[32mcompleted" in written)
    screen.type("\x03")

    assert screen.ended() == 130
    assert screen.written.endswith("\x1b[?25h")  # the cursor is back
    assert "Traceback" not in screen.written
    assert all(len(line) <= 100 for line in re.split(r"[\r\n]+|\^C", screen.plain))


def test_no_color_is_heeded_in_a_terminal(shell: Shell) -> None:
    shell.command(*PAY, "-l", "by:colour", "--wait", "30s")
    screen = shell.screen("list", "-l", "by:colour", NO_COLOR="1")
    assert screen.ended() == 0
    assert "completed" in screen.plain
    assert not re.search(r"\x1b\[[0-9;]*3[0-7]", screen.written)


@pytest.mark.parametrize(("answer", "code", "left"), [("n", 1, 1), ("y", 0, 0)])
def test_what_changes_many_asks_before_it_does(shell: Shell, answer: str, code: int, left: int) -> None:
    label = f"by:asked-{answer}"
    shell.command(*PAY, "-l", label, "--at", "+1d")
    screen = shell.screen("cancel-many", "-l", label)
    screen.until(lambda written: "Cancel 1 job? [y/N]" in written)
    screen.type(f"{answer}\n")
    assert screen.ended() == code
    assert json.loads(shell.command("list", "-s", "scheduled", "-l", label, "--json"))["total"] == left
    shell.command("cancel-many", "-l", label, "--yes")
