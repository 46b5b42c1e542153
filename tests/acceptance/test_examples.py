"""The programs of examples/, each as a process of its own, against the real system."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from ductape import Ductape
from tests.acceptance.system import OPERATOR_KEY, System
from tests.acceptance.terminal import Shell
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
    "s1_schedule_job": [r"job_\w+ failed .*Expo answered no ticket.*"],
    "s2_jobs_reference": [r"job_\w+ recurs: True", "Updated Job Name – jobs that follow: 1", r"\[.*'reference_job'\]"],
    "s3_dispatch": [*[r"job_\w+ (scheduled|queued) +recurring: .*"] * 10, *[r"job_\w+ completed"] * 2],
    "s4_job_management": [
        "Status: scheduled Scheduled at: .* Recurring: True", "Scheduled: 2", "Recurring: 1", "Status: paused", r"Next run: 20\S+ .*",
        "Paused: 1", "Resumed: 1", "Run 1: started .*, completed ?", r"Total: \d+ .*",
        "Webhook: http.*/webhooks/jobs Events: job.completed job.failed", "Retried: 0", "Status: cancelled",
        "Cancelled: 1", "Deleted: 2",
    ],
}  # fmt: skip


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
