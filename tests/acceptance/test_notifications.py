"""A notification on the real system: its worker is killed while one channel hangs, and a job that repeats."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from tests.acceptance.system import ENV, PRODUCT, System
from tests.acceptance.test_f01_worker_killed import owner_of
from tests.servers.local import wait_until
from tests.servers.mail import MailServer
from tests.servers.receiver import Answer
from tests.servers.vendors.sms import TwilioServer

pytestmark = [pytest.mark.faults, pytest.mark.timeout(180)]

INPUT = {"email": {"recipients": ["a@example.com"]}, "sms": {"recipients": ["+15550000001"]}, "callback": {}}
TAKEN_BACK_SECONDS = 20.0


@pytest.fixture
def mail() -> Iterator[MailServer]:
    with MailServer() as running:
        yield running


@pytest.fixture
def sms() -> Iterator[TwilioServer]:
    with TwilioServer() as running:
        yield running


def connect(house: System, mail: MailServer, sms: TwilioServer) -> None:
    hook = {"url": f"http://127.0.0.1:{house.receiver_port}/told", "method": "POST"}
    message = {
        "tag": "send_reminder", "sms": "Due {{day}}", "callback": {"body": {"who": "{{name}}"}},
        "email": {"subject": "Hello {{name}}", "template": "<p>Due {{day}}</p>"},
    }  # fmt: skip
    blocks = {"emails": mail.block, "sms": sms.block, "callbacks": hook}
    document = {"notifications": [{"tag": "news", "envs": {ENV: blocks}, "events": [message]}]}
    answer = house.call("PUT", f"/v1/products/{PRODUCT}/catalog", document)
    assert answer.status == 200, answer


def dispatch(house: System, **fields: object) -> str:
    body = {"product": PRODUCT, "env": ENV, "notification": "news", "event": "send_reminder", "input": INPUT, **fields}
    answer = house.call("POST", "/v1/notifications/dispatch", body)
    assert answer.status == 201, answer
    return str(answer.body["job_id"])


def test_a_worker_that_is_killed_while_a_channel_hangs_sends_nothing_twice(
    house: System, mail: MailServer, sms: TwilioServer
) -> None:
    connect(house, mail, sms)
    house.answer("told", {"hang": True}, {})
    job_id = dispatch(house)
    worker = owner_of(house, [job_id])
    recorded = "SELECT steps FROM jobs_execution WHERE status = 'running'"
    wait_until(lambda: len(house.rows(recorded)[0][0] or []) == 2, "e-mail and SMS are recorded", 10)

    worker.kill()

    house.wait_for([job_id], "completed", TAKEN_BACK_SECONDS + 10)
    (run,) = house.history(job_id)
    assert [one["status"] for one in run["attempts"]] == ["lost", "completed"]
    assert (len(mail.got), len(sms.taken), len(house.calls(job_id))) == (1, 1, 2)
    assert len({call.key for call in house.calls(job_id)}) == 1
    assert {name: told["success"] for name, told in run["result"]["channels"].items()} == dict.fromkeys(
        ("email", "sms", "callback"), True
    )
    house.fsck()


def test_a_channel_that_fails_once_is_sent_again_alone_in_each_run_of_a_recurring_job(
    house: System, mail: MailServer, sms: TwilioServer
) -> None:
    connect(house, mail, sms)
    house.answer("told", {})
    sms.queue.append(Answer(status=503))

    job_id = dispatch(
        house, retries=2, retryConfig={"initialDelay": 100, "jitter": False}, schedule={"every": 1000, "limit": 2}
    )

    house.wait_for([job_id], "completed", 30)
    first, second = (run for run in house.history(job_id) if run["number"] is not None)  # not what was skipped between
    assert [len(run["attempts"]) for run in (first, second)] == [2, 1]
    assert (len(mail.got), len(sms.taken), len(house.calls(job_id))) == (2, 2, 2)
    assert sms.block["twilio"]["authToken"] not in json.dumps([first, second])
