"""The ten examples of the documents' page on dispatching, as REST calls, on a catalog that serves them.

Nothing in them is changed but what cannot hold, in SUBSTITUTED: dates that are past are moved forward, and the token
that the page cuts off is a real one. Each is accepted as it is written, runs once on the real system, and does what
it says on a real remote system.
"""

from __future__ import annotations

import json
import sqlite3
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

import pytest

from tests.acceptance.system import System
from tests.integration.broker_systems import Kafka
from tests.servers.mail import MailServer

pytestmark = [pytest.mark.faults, pytest.mark.timeout(180)]

DAY_MS = 86_400_000
NOW_MS = int(time.time() * 1000)
TOKEN = "the token of the page, cut off there"
# What the page says → what is sent.
SUBSTITUTED: dict[str, Any] = {
    "Date.now() + 3600000": NOW_MS + 3_600_000,
    "new Date('2025-01-15T10:00:00Z').getTime()": NOW_MS + 30 * DAY_MS,
    "2025-12-31T23:59:59Z": f"{datetime.now(UTC).year + 1}-12-31T23:59:59Z",
    "eyJhbGciOi...": TOKEN,  # a token can only be had from the running system: with_token puts it in its place
}


class Example(NamedTuple):
    path: str
    body: dict[str, Any]
    recurring: bool = False


EXAMPLES: dict[str, Example] = {
    "quick example": Example("actions", {
        "env": "prd", "product": "my-app", "app": "email-service", "event": "send_welcome_email",
        "input": {"body": {"userId": "user_123", "email": "john@example.com"}}, "retries": 3,
        "schedule": {"start_at": SUBSTITUTED["Date.now() + 3600000"]},
    }),
    "run immediately": Example("actions", {
        "env": "prd", "product": "billing", "app": "payment-service", "event": "process_payment",
        "input": {"body": {"orderId": "order_456", "amount": 99.99}}, "retries": 3,
    }),
    "a specific time": Example("actions", {
        "env": "prd", "product": "marketing", "app": "campaign-service", "event": "send_campaign",
        "input": {"body": {"campaignId": "camp_123", "audience": "active_users"}}, "retries": 2,
        "schedule": {"start_at": SUBSTITUTED["new Date('2025-01-15T10:00:00Z').getTime()"]},
    }),
    "cron": Example("features", {
        "env": "prd", "product": "reports", "tag": "generate_daily_report", "input": {}, "retries": 2,
        "schedule": {"cron": "0 9 * * *", "tz": "America/New_York"},
    }, recurring=True),
    "interval": Example("databases/action", {
        "env": "prd", "product": "sync", "database": "inventory-db", "event": "sync_inventory",
        "input": {"query": {}, "data": {}}, "retries": 3, "schedule": {"every": 86400000},
    }, recurring=True),
    "limited": Example("notifications", {
        "env": "prd", "product": "reminders", "notification": "user-notifications", "event": "send_reminder",
        "input": {"email": {"recipients": ["user@example.com"]}}, "retries": 2,
        "schedule": {"every": 604800000, "limit": 4},
    }, recurring=True),
    "until a date": Example("events", {
        "env": "prd", "product": "promo", "broker": "kafka-broker", "event": "check_promo_status",
        "input": {"message": {"check": True}}, "retries": 1,
        "schedule": {"every": 86400000, "endDate": SUBSTITUTED["2025-12-31T23:59:59Z"]},
    }, recurring=True),
    "with session data": Example("notifications", {
        "env": "prd", "product": "notifications", "notification": "digest-notifications", "event": "send_digest",
        "input": {"email": {"recipients": ["$Session{user}{email}"], "subject": {"userId": "$Session{user}{id}"}}},
        "retries": 3, "session": {"tag": "user-session", "token": SUBSTITUTED["eyJhbGciOi..."]},
    }),
    "database operation": Example("databases", {
        "env": "prd", "product": "my-app", "database": "logs-db", "operation": "deleteMany",
        "input": {"filter": {"createdAt": {"$lt": '$DateAdd($Now(), -30, "days")'}}}, "schedule": {"cron": "0 3 * * *"},
    }, recurring=True),
    "graph operation": Example("graphs", {
        "env": "prd", "product": "my-app", "graph": "session-graph", "operation": "deleteNodes",
        "input": {"filter": {"expired": True}}, "schedule": {"cron": "0 4 * * *"},
    }, recurring=True),
}  # fmt: skip


class Remote(NamedTuple):
    """The remote systems that the examples reach."""

    mail: MailServer
    kafka: Kafka
    folder: Path


@pytest.fixture(scope="module")
def remote(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Remote]:
    folder = tmp_path_factory.mktemp("documents")
    with sqlite3.connect(folder / "logs.sqlite3") as logs:
        logs.execute("CREATE TABLE logs (id INTEGER, createdAt TIMESTAMP)")
        logs.execute("INSERT INTO logs VALUES (1, '2001-01-01 00:00:00'), (2, datetime('now'))")
    with sqlite3.connect(folder / "inventory.sqlite3") as inventory:
        inventory.execute("CREATE TABLE stock (sku TEXT PRIMARY KEY, amount INTEGER)")
        inventory.execute("INSERT INTO stock VALUES ('a', 3)")
    kafka = Kafka("127.0.0.1", 0)  # it chooses its port
    kafka.open()
    try:
        with MailServer() as mail:
            yield Remote(mail, kafka, folder)
    finally:
        kafka.close()


def catalogs(house: System, remote: Remote) -> dict[str, dict[str, Any]]:
    """What each product of the examples can run."""
    url = f"http://127.0.0.1:{house.receiver_port}"

    def app(tag: str, event: str) -> dict[str, Any]:
        events = [{"tag": event, "method": "POST", "resource": f"/{event}"}]
        return {"apps": [{"tag": tag, "envs": {"prd": {"base_url": url}}, "events": events}]}

    def mailing(tag: str, event: str, **email: str) -> dict[str, Any]:
        events = [{"tag": event, "email": {"template": "<p>Hello</p>", **email}}]
        return {"notifications": [{"tag": tag, "envs": {"prd": {"emails": remote.mail.block}}, "events": events}]}

    report = {"tag": "fetch", "type": "action", "app": "reporting", "event": "daily_report", "input": {"body": {"day": "$Format($Now(), 'YYYY')"}}}  # fmt: skip
    user = {
        "tag": "user-session",
        "selector": "$Session{user}{id}",
        "expiry": 7,
        "period": "days",
        "schema": {"user": {"id": "u_1", "email": "a@example.com"}},
    }
    stock = {"tag": "sync_inventory", "operation": "QUERY", "table": "stock", "template": {"select": ["sku", "amount"]}}
    return {
        "my-app": {
            **app("email-service", "send_welcome_email"),
            "databases": [{"tag": "logs-db", "type": "sqlite", "default_table": "logs", "envs": {"prd": {"connection_url": f"sqlite:///{remote.folder / 'logs.sqlite3'}"}}}],
            "graphs": [{"tag": "session-graph", "type": "embedded", "envs": {"prd": {"path": str(remote.folder / "graph")}}}],
        },
        "billing": app("payment-service", "process_payment"),
        "marketing": app("campaign-service", "send_campaign"),
        "reports": {**app("reporting", "daily_report"), "features": [{"tag": "generate_daily_report", "steps": [report], "output": {"status": "$Step{fetch}{status}"}}]},
        "sync": {"databases": [{"tag": "inventory-db", "type": "sqlite", "envs": {"prd": {"connection_url": f"sqlite:///{remote.folder / 'inventory.sqlite3'}"}}, "events": [stock]}]},
        "reminders": mailing("user-notifications", "send_reminder", subject="A reminder"),
        "promo": {"brokers": [{"tag": "kafka-broker", "type": "kafka", "envs": {"prd": remote.kafka.connection()}, "events": [{"tag": "check_promo_status", "topic": remote.kafka.name}]}]},
        "notifications": {**mailing("digest-notifications", "send_digest", subject="For {{userId}}"), "sessions": [user]},
    }  # fmt: skip


@pytest.fixture(scope="module")
def _stored() -> set[str]:
    return set()


@pytest.fixture
def served(house: System, remote: Remote, _stored: set[str]) -> System:
    """The system with the catalogs of all examples."""
    for product, document in catalogs(house, remote).items() if not _stored else ():
        answer = house.call("PUT", f"/v1/products/{product}/catalog", {"envs": [{"slug": "prd"}], **document})
        assert answer.status == 200, (product, answer.body)
        _stored.add(product)
    return house


def with_token(house: System, body: dict[str, Any]) -> dict[str, Any]:
    if body.get("session", {}).get("token") != TOKEN:
        return body
    data = {"user": {"id": "u_7", "email": "seven@example.com"}}
    started = house.call(
        "POST", f"/v1/products/{body['product']}/sessions/user-session/start", {"env": "prd", "data": data}
    )
    assert started.status == 201, started.body
    return {**body, "session": {**body["session"], "token": started.body["token"]}}


def ran(house: System, example: Example) -> dict[str, Any]:
    """Dispatch it, see that it is answered as the page says, let it run once now: its last run."""
    body = with_token(house, example.body)
    answer = house.call("POST", f"/v1/{example.path}/dispatch", body)
    assert answer.status == 201, answer.body
    result = answer.body
    now = "schedule" not in body
    later = now or "every" in body["schedule"]
    assert result["status"] in ({"queued"} if later else {"scheduled"})
    assert (result["recurring"], "next_run_at" in result) == (example.recurring, example.recurring)
    assert planned(house, result["job_id"], body.get("schedule", {}))
    if not later:
        verb, changes = ("trigger", {}) if example.recurring else ("reschedule", {"start_at": int(time.time() * 1000)})
        told = house.call("POST", f"/v1/jobs/{result['job_id']}/{verb}", changes)
        assert told.status == 200, told.body
    until = time.monotonic() + 30
    while time.monotonic() < until:
        runs = house.history(result["job_id"])
        if runs and runs[-1].get("completed_at"):
            run: dict[str, Any] = runs[-1]
            assert run["status"] == "completed", run
            return run
        time.sleep(0.05)
    raise AssertionError(f"{body} has not run within 30 s: {house.get(result['job_id'])}")


def planned(house: System, job_id: str, schedule: dict[str, Any]) -> bool:
    """Whether the job is planned as the schedule says."""
    job = house.get(job_id)
    if "cron" in schedule:
        zone = ZoneInfo(schedule.get("tz", "UTC"))
        _, hour, *_ = schedule["cron"].split()
        due = datetime.fromtimestamp(job["next_run_at"] / 1000, zone)
        assert (due.hour, due.minute, due.second) == (int(hour), 0, 0)
    elif "every" in schedule:
        assert job["next_run_at"] - job["scheduled_at"] in {0, schedule["every"]}
        assert (job.get("limit"), job["every"]) == (schedule.get("limit"), schedule["every"])
        end = schedule.get("endDate")
        assert job.get("end_date") == (end and datetime.fromisoformat(end).timestamp() * 1000)
    elif schedule:
        assert job["scheduled_at"] == schedule["start_at"]
    return True


@pytest.mark.parametrize("name", ["quick example", "run immediately", "a specific time"])
def test_an_action_calls_its_app(served: System, name: str) -> None:
    run = ran(served, EXAMPLES[name])
    assert run["result"]["status"] == 200


def test_a_feature_runs_its_steps(served: System) -> None:
    run = ran(served, EXAMPLES["cron"])
    assert run["result"] == {"status": 200}
    assert [step["step"] for step in run["steps"]] == ["fetch"]


def test_a_saved_action_of_a_database_is_run(served: System) -> None:
    assert ran(served, EXAMPLES["interval"])["result"]["data"] == [{"sku": "a", "amount": 3}]


@pytest.mark.parametrize(
    ("name", "recipient", "subject"),
    [("limited", "user@example.com", "A reminder"), ("with session data", "seven@example.com", "For u_7")],
)
def test_a_notification_is_mailed(served: System, remote: Remote, name: str, recipient: str, subject: str) -> None:
    before = len(remote.mail.got)
    run = ran(served, EXAMPLES[name])
    assert run["result"]["channels"]["email"]["success"] is True
    [(_, recipients, message)] = remote.mail.got[before:]
    assert (recipients, message["Subject"]) == ([recipient], subject)


def test_a_message_is_published(served: System, remote: Remote) -> None:
    assert ran(served, EXAMPLES["until a date"])["result"]["success"] is True
    assert [json.loads(message.body) for message in remote.kafka.read()] == [{"check": True}]


def test_old_rows_are_deleted(served: System, remote: Remote) -> None:
    assert ran(served, EXAMPLES["database operation"])["result"] == {"count": 1}
    with sqlite3.connect(remote.folder / "logs.sqlite3") as logs:
        assert logs.execute("SELECT id FROM logs").fetchall() == [(2,)]


def test_expired_nodes_are_deleted(served: System) -> None:
    there = {"env": "prd", "product": "my-app", "graph": "session-graph"}
    for expired in (True, False):
        node = {"labels": ["Session"], "properties": {"expired": expired}}
        ran(served, Example("graphs", {**there, "operation": "createNode", "input": node}))
    assert ran(served, EXAMPLES["graph operation"])["result"]["deletedCount"] == 1
    left = ran(served, Example("graphs", {**there, "operation": "countNodes", "input": {}}))
    assert left["result"] == {"count": 1}
