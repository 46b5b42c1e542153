"""A feature on the real system, over an action, a database, a notification and a storage: killed and failed half way."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
import pytest

from tests.acceptance.system import ENV, Cluster, System
from tests.acceptance.test_f01_worker_killed import TAKEN_BACK_SECONDS
from tests.servers.local import wait_until
from tests.servers.mail import MailServer

pytestmark = [pytest.mark.faults, pytest.mark.timeout(180)]

PRODUCT = "reports"
STEPS = [
    {"tag": "fetch", "type": "action", "app": "sales", "event": "totals", "input": {"body": {"day": "$Input{day}"}}},
    {"tag": "keep", "type": "database", "database": "ledger", "operation": "insert",
     "input": {"table": "totals", "data": {"day": "$Input{day}", "total": "$Step{fetch}{body}{total}"}}},
    {"tag": "tell", "type": "notification", "notification": "team", "event": "report", "dependsOn": ["keep"],
     "input": {"email": {"recipients": ["a@example.com"], "template": {"day": "$Input{day}"}}, "callback": {}}},
    {"tag": "file", "type": "storage", "storage": "archive", "event": "upload", "dependsOn": ["tell"],
     "input": {"fileName": "$Input{day}.txt", "content": "sold for $Step{fetch}{body}{total}"}},
]  # fmt: skip


@dataclass(frozen=True, slots=True)
class Remote:
    """What the steps reach, besides the receiver."""

    database: str
    folder: Path
    mail: MailServer

    def kept(self) -> list[tuple[Any, ...]]:
        with psycopg.connect(self.database) as sql:
            return sql.execute("SELECT day, total FROM totals").fetchall()

    def filed(self) -> dict[str, str]:
        return {path.name: path.read_text() for path in self.folder.iterdir() if path.is_file()}


@pytest.fixture
def remote(house: System, cluster: Cluster, tmp_path: Path) -> Iterator[Remote]:
    """The remote systems, and the catalog of a product whose feature `daily` uses them."""
    database = cluster.database()
    with psycopg.connect(database, autocommit=True) as sql:
        sql.execute("CREATE TABLE totals (day text, total integer)")
    url = f"http://127.0.0.1:{house.receiver_port}"
    house.answer("totals", {"body": {"total": 41}})
    message = {"tag": "report", "email": {"subject": "Sales", "template": "<p>{{day}}</p>"}, "callback": {"body": {}}}
    with MailServer() as mail:
        blocks = {"emails": mail.block, "callbacks": {"url": f"{url}/told", "method": "POST"}}
        document = {
            "envs": [{"slug": ENV}],
            "apps": [{"tag": "sales", "envs": {ENV: {"base_url": url}}, "events": [{"tag": "totals", "method": "POST", "resource": "/totals"}]}],
            "databases": [{"tag": "ledger", "type": "postgresql", "envs": {ENV: {"connection_url": database}}}],
            "notifications": [{"tag": "team", "envs": {ENV: blocks}, "events": [message]}],
            "storage": [{"tag": "archive", "type": "local", "envs": {ENV: {"path": str(tmp_path)}}}],
            "features": [{"tag": "daily", "steps": STEPS, "output": {"file": "$Step{file}{fileName}"}}],
        }  # fmt: skip
        answer = house.call("PUT", f"/v1/products/{PRODUCT}/catalog", document)
        assert answer.status == 200, answer
        yield Remote(database, tmp_path, mail)


def dispatch(house: System, day: str, **fields: object) -> str:
    body = {"product": PRODUCT, "env": ENV, "feature": "daily", "input": {"day": day}, **fields}
    answer = house.call("POST", "/v1/features/dispatch", body)
    assert answer.status == 201, answer
    return str(answer.body["job_id"])


def steps_of(run: dict[str, Any]) -> dict[str, str]:
    """The feature's own steps, with how each ended; not what a step keeps of itself."""
    return {step["step"]: step["status"] for step in run["steps"] if "/" not in step["step"]}


def recorded(house: System, job_id: str) -> list[str]:
    """The names of all that a run has recorded by now."""
    return [step["step"] for step in house.history(job_id)[0]["steps"]]


def paths(house: System, job_id: str) -> list[str]:
    return [call.path for call in house.calls(job_id)]


def test_a_feature_whose_worker_is_killed_half_way_goes_on_elsewhere_with_what_is_left(
    house: System, remote: Remote
) -> None:
    house.answer("told", {"hang": True}, {})
    job_id = dispatch(house, "monday")
    wait_until(lambda: paths(house, job_id) == ["/totals", "/told"], "the callback is held")
    wait_until(lambda: len(remote.mail.got) == 1, "the mail is out")
    wait_until(lambda: any(name.startswith("tell/") for name in recorded(house, job_id)), "the mail is recorded")
    (owner,) = house.rows(
        "SELECT DISTINCT w.pid FROM jobs_execution e JOIN jobs_worker w ON w.id = e.owner_id WHERE e.status = 'running'"
    )
    assert steps_of(house.history(job_id)[0]) == {"fetch": "completed", "keep": "completed"}

    next(worker for worker in house.workers() if worker.pid == owner[0]).kill()

    house.wait_for([job_id], seconds=TAKEN_BACK_SECONDS + 10)
    (run,) = house.history(job_id)
    assert [(one["status"], one.get("code")) for one in run["attempts"]] == [("lost", "LOST"), ("completed", None)]
    assert (run["number"], run["result"]) == (1, {"file": "monday.txt"})
    assert steps_of(run) == dict.fromkeys(("fetch", "keep", "tell", "file"), "completed")
    assert paths(house, job_id) == ["/totals", "/told", "/told"]
    assert [call.key for call in house.calls(job_id)] == [f"{job_id}:1:{step}" for step in ("fetch", "tell", "tell")]
    assert remote.kept() == [("monday", 41)]
    assert len(remote.mail.got) == 1
    assert remote.filed() == {"monday.txt": "sold for 41"}
    house.fsck()


def test_a_feature_that_failed_half_way_is_tried_again_with_what_is_left(house: System, remote: Remote) -> None:
    house.answer("told", {"status": 503}, {})

    job_id = dispatch(house, "tuesday", retries=1, retryConfig={"initialDelay": 500, "jitter": False})

    house.wait_for([job_id])
    (run,) = house.history(job_id)
    first, second = run["attempts"]
    assert (first["code"], second["status"]) == ("SERVICE_UNAVAILABLE", "completed")
    assert steps_of(run) == dict.fromkeys(("fetch", "keep", "tell", "file"), "completed")
    made_in = {
        step["step"]: step["started_at"] >= second["started_at"] for step in run["steps"] if "/" not in step["step"]
    }
    assert made_in == {"fetch": False, "keep": False, "tell": True, "file": True}
    assert paths(house, job_id) == ["/totals", "/told", "/told"]
    assert remote.kept() == [("tuesday", 41)]
    assert len(remote.mail.got) == 1
    assert remote.filed() == {"tuesday.txt": "sold for 41"}
