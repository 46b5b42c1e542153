"""Every call of S0, S1, S2 and S4, in the order of the documents, against the real system.

S3's are in `test_s3_examples`. Nothing is changed but ids (`job_abc123` is a job that was made) and, where a page reads
the clock, its times. The calls for many are made with a key of the product, as its own service has one: the system is
shared with other tests. What the documents do not name (trigger, explain, hold, series, a dry run)
comes last.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from tests.acceptance.system import Answer, System
from tests.servers.local import wait_until
from tests.servers.vendors.push import FirebaseServer

pytestmark = [pytest.mark.faults, pytest.mark.timeout(180)]

PRODUCT = "my-product"
MANAGED = "my-app"  # S4's product
DEFINITIONS = f"/v1/products/{PRODUCT}/jobs"
EXAMPLE = {
    "name": "Example Job",
    "tag": "example_job",
    "event_type": "ACTION",
    "event_tag": "action_tag",
    "executions": 5,
    "intervals": 60_000,
}
UPDATE = {"name": "Updated Job Name", "executions": 10, "intervals": 120_000}
ORDER_UPDATE: dict[str, Any] = {
    "env": "prd",
    "product_tag": PRODUCT,
    "event": "send_notification",
    "input": {
        "slug": "order_update",
        "push_notification": {
            "title": {"en": "Order Shipped"},
            "body": {"en": "Your order #12345 has been shipped!"},
            "data": {"trackingId": "XYZ987"},
            "device_token": "abcdef123456",
        },
    },
    "start_at": 198_766_789,
}
HOUR, DAY = 3_600_000, 86_400_000
SCOPES = ["jobs:read", "jobs:dispatch", "jobs:manage", "webhooks:manage"]


@pytest.fixture(scope="module")
def push() -> Iterator[FirebaseServer]:
    with FirebaseServer() as server:
        yield server


@pytest.fixture
def served(house: System, push: FirebaseServer) -> System:
    """The system, and a catalog that has what the documents name."""
    order = {"title": "{{en}}", "body": "{{en}}", "data": {"trackingId": "{{trackingId}}"}}
    sender = {
        "tag": "send_notification",
        "envs": {"prd": {"push_notifications": push.block}},
        "events": [{"tag": "order_update", "push_notification": order}],
    }
    put_catalog(house, PRODUCT, notifications=[sender])
    return house


@pytest.fixture
def managed(house: System) -> Iterator[Managed]:
    """The system, S4's product, and a key of it. Other tests have a product of that name, too: it is empty before and
    after."""
    _empty(house)
    put_catalog(house, MANAGED)
    key = done(house.call("POST", "/v1/keys", {"name": "service", "product": MANAGED, "scopes": SCOPES}), 201)
    yield Managed(house, key["key"])
    _empty(house)


def _empty(house: System) -> None:
    """Leave no job and no app in S4's product."""
    catalog: dict[str, Any] = {"envs": [{"slug": "prd"}], "apps": []}
    done(house.call("PUT", f"/v1/products/{MANAGED}/catalog", catalog))
    done(house.call("POST", "/v1/jobs/delete-many", {"product": MANAGED, "force": True}))
    done(house.call("PUT", f"/v1/products/{MANAGED}/catalog?prune=true", catalog))


def put_catalog(house: System, product: str, **more: Any) -> None:
    url = f"http://127.0.0.1:{house.receiver_port}"
    posts = [{"tag": tag, "method": "POST", "resource": f"/documents/{tag}"} for tag in ("action_tag", "fails")]
    app = {"tag": "app", "envs": {"prd": {"base_url": url}}, "events": posts}
    document = {"envs": [{"slug": "prd"}], "apps": [app], **more}
    answer = house.call("PUT", f"/v1/products/{product}/catalog", document)
    assert answer.status == 200, answer.body


@dataclass(frozen=True, slots=True)
class Managed:
    """The calls of `ductape.jobs` with a key of the product."""

    house: System
    key: str

    def call(self, method: str, path: str, body: Any = None, status: int = 200) -> Any:
        return done(self.house.call(method, path, body, key=self.key), status)

    def get(self, job_id: str) -> dict[str, Any]:
        job: dict[str, Any] = self.call("GET", f"/v1/jobs/{job_id}")
        return job

    def ended(self, job_id: str) -> dict[str, Any]:
        """The job once its run has ended."""
        job: dict[str, Any] = self.call("GET", f"/v1/jobs/{job_id}?wait=30000")
        return job

    def list(self, query: str = "") -> set[str]:
        return {job["id"] for job in self.call("GET", f"/v1/jobs{query}")["jobs"]}

    def act(self, verb: str, job_id: str, **body: Any) -> dict[str, Any]:
        job: dict[str, Any] = self.call("POST", f"/v1/jobs/{job_id}/{verb}", body)
        return job

    def many(self, verb: str, **body: Any) -> dict[str, Any]:
        counted: dict[str, Any] = self.call("POST", f"/v1/jobs/{verb}-many", body)
        return counted

    def dispatch(self, event: str = "action_tag", **fields: Any) -> str:
        body = {"product": MANAGED, "env": "prd", "app": "app", "event": event, "input": {"body": {}}, **fields}
        return str(self.call("POST", "/v1/actions/dispatch", body, 201)["job_id"])


def done(answer: Answer, status: int = 200) -> Any:
    assert answer.status == status, answer.body
    return answer.body


def test_the_calls_of_s0_and_s2(served: System) -> None:
    created = done(served.call("POST", DEFINITIONS, EXAMPLE), 201)  # jobs.create(details)
    assert {name: created[name] for name in EXAMPLE} == EXAMPLE

    updated = done(served.call("PATCH", f"{DEFINITIONS}/example_job", UPDATE))  # jobs.update(tag, data)
    assert {name: updated[name] for name in EXAMPLE} == {**EXAMPLE, **UPDATE}
    assert updated["rescheduled"] == 0

    listed = done(served.call("GET", DEFINITIONS))["jobs"]  # jobs.fetchAll()
    assert [each["tag"] for each in listed] == ["example_job"]
    fetched = done(served.call("GET", f"{DEFINITIONS}/example_job"))  # jobs.fetch(tag)
    assert fetched == listed[0]
    assert {**fetched, "rescheduled": 0} == updated


def test_a_definition_runs_as_often_as_it_says_follows_its_changes_and_goes(served: System) -> None:
    """What S0 and S2 say of `executions` and `intervals`, and S2's *until deleted or updated*."""
    definition = {**EXAMPLE, "tag": "often", "executions": 3, "intervals": 100}
    done(served.call("POST", DEFINITIONS, definition), 201)
    asked = {"env": "prd", "product_tag": PRODUCT, "event": "often", "input": {"body": {}}, "start_at": 0}
    job_id = done(served.call("POST", "/v1/processor/jobs/schedule", asked), 201)["job_id"]
    wait_until(lambda: served.get(job_id)["status"] == "completed", "three executions")
    ran = [run["status"] for run in served.history(job_id) if run["number"]]
    assert (ran, len(served.calls(job_id))) == (["completed"] * 3, 3)

    done(served.call("PATCH", f"{DEFINITIONS}/often", {"executions": 0, "intervals": HOUR}))
    for_ever = done(served.call("POST", "/v1/processor/jobs/schedule", asked), 201)["job_id"]
    done(served.call("GET", f"/v1/jobs/{for_ever}?wait=30000"))
    wait_until(lambda: served.get(for_ever)["status"] == "scheduled", "its first execution")
    first = served.get(for_ever)
    changed = done(served.call("PATCH", f"{DEFINITIONS}/often", {"intervals": 2 * HOUR}))
    assert (changed["rescheduled"], served.get(for_ever)["next_run_at"]) == (1, first["next_run_at"] + HOUR)

    assert served.call("DELETE", f"{DEFINITIONS}/often").status == 409
    assert served.call("DELETE", f"{DEFINITIONS}/often?force=true").status == 204
    assert served.get(for_ever)["status"] == "cancelled"
    assert served.get(job_id)["definition"] == "often"


def test_the_call_of_s1(served: System, push: FirebaseServer) -> None:
    before = len(push.taken)
    job = done(served.call("POST", "/v1/processor/jobs/schedule?wait=30000", ORDER_UPDATE), 201)
    assert (job["status"], job["result"]["success"]) == ("completed", True)
    [taken] = push.taken[before:]
    assert taken.recipient == "abcdef123456"
    assert taken.fields["title"] == "Order Shipped"
    assert taken.fields["body"] == "Your order #12345 has been shipped!"
    assert taken.fields["data"] == {"trackingId": "XYZ987"}


def test_the_calls_of_s4(managed: Managed) -> None:
    now = int(time.time() * 1000)
    later = {"start_at": now + HOUR}
    one_off = managed.dispatch(schedule=later)
    recurring = managed.dispatch(schedule={"every": HOUR})
    managed.ended(recurring)
    by_cron = managed.dispatch(schedule={"cron": "0 9 * * *"})
    ok = managed.dispatch()

    # Fetching jobs
    job = managed.get(one_off)
    shown = (job["id"], job["status"], job["scheduled_at"], job["recurring"])
    assert shown == (one_off, "scheduled", now + HOUR, False)
    assert managed.list() == {one_off, recurring, by_cron, ok}
    assert managed.list("?status=scheduled&limit=100&offset=0") - {ok} == {one_off, recurring, by_cron}
    assert managed.list("?product=my-app&env=prd") == {one_off, recurring, by_cron, ok}
    assert managed.list("?recurring=true") == {recurring, by_cron}

    # Job information
    job = managed.ended(ok)
    assert (job["status"], job["result"]["status"], job["retry_count"]) == ("completed", 200, 0)
    managed.house.answer("documents/fails", {"status": 400})
    failing = managed.dispatch("fails")
    job = managed.ended(failing)
    assert (job["status"], "last_error" in job) == ("failed", True)

    # Cancelling
    cancelled = managed.dispatch(schedule=later)
    assert managed.act("cancel", cancelled)["status"] == "cancelled"
    swept = managed.dispatch(schedule=later)
    held = [managed.act("pause", job_id)["id"] for job_id in (recurring, by_cron)]  # so that they are not scheduled
    assert managed.many("cancel", product="my-app", status="scheduled") == {"count": 2, "skipped": 0}
    assert [managed.get(job_id)["status"] for job_id in (one_off, swept)] == ["cancelled"] * 2
    assert [managed.act("resume", job_id)["status"] for job_id in held] == ["scheduled"] * 2
    reasoned = managed.dispatch(schedule=later)
    job = managed.act("cancel", reasoned, reason="Campaign ended early")
    assert (job["status"], job["cancel_reason"]) == ("cancelled", "Campaign ended early")

    # Pausing and resuming
    managed.act("pause", by_cron)
    assert managed.get(by_cron)["status"] == "paused"
    managed.act("resume", by_cron)
    job = managed.get(by_cron)
    assert (job["status"], job["next_run_at"] > now) == ("scheduled", True)
    paused = managed.many("pause", product="my-app", recurring=True)
    assert (paused["count"], paused["skipped"]) == (2, 0)
    assert managed.list("?status=paused") == {recurring, by_cron}
    assert managed.many("resume", product="my-app", status="paused") == {"count": 2, "skipped": 0}
    assert managed.list("?status=paused") == set()

    # Rescheduling
    moved = managed.dispatch(schedule=later)
    assert managed.act("reschedule", moved, start_at=now + 7_200_000)["scheduled_at"] == now + 7_200_000
    job = managed.act("reschedule", by_cron, cron="0 10 * * *", tz="America/New_York")
    assert (job["cron"], job["tz"]) == ("0 10 * * *", "America/New_York")
    job = managed.act("reschedule", recurring, every=7_200_000)
    assert (job["every"], job["next_run_at"] > now) == (7_200_000, True)

    # Monitoring
    history = managed.call("GET", f"/v1/jobs/{recurring}/history?limit=10")
    assert (history["job_id"], history["total_executions"], history["successful_executions"]) == (recurring, 1, 1)
    [execution] = history["executions"]
    assert (execution["number"], execution["status"]) == (1, "completed")
    assert execution["completed_at"] - execution["started_at"] == execution["duration_ms"]
    stats = managed.call("GET", "/v1/jobs/stats?product=my-app&env=prd")
    assert stats["total"] == len(managed.list("?product=my-app&env=prd&limit=1000"))
    assert [stats[state] for state in ("scheduled", "running", "completed", "failed")] == [3, 0, 1, 1]
    since = managed.call(
        "GET", f"/v1/jobs/stats?product=my-app&env=prd&from={now}"
    )  # the runs of jobs that are gone count
    assert since["success_rate"] == pytest.approx(66.67, abs=0.1)

    # Retrying
    job = managed.act("retry", failing)
    assert (job["status"], job["execution_count"]) == ("queued", 1)
    assert managed.ended(failing)["status"] == "failed"
    job = managed.act("retry", failing, delay=60_000)
    assert (job["status"], job["next_attempt_at"] > now + 30_000) == ("scheduled", True)
    again = managed.dispatch("fails")
    managed.ended(again)
    managed.house.answer("documents/fails", {"status": 200})
    midnight = now - now % DAY
    assert managed.many("retry", status="failed", **{"from": midnight}) == {"count": 1, "skipped": 0}
    assert managed.ended(again)["status"] == "completed"

    # Deleting
    managed.call("DELETE", f"/v1/jobs/{ok}", status=204)
    managed.call("GET", f"/v1/jobs/{ok}", status=404)
    assert managed.many("delete", status="completed", to=now - 30 * DAY) == {"count": 0, "skipped": 0}  # none is so old
    assert managed.many("delete", status="completed", to=now + HOUR) == {"count": 1, "skipped": 0}
    managed.call("GET", f"/v1/jobs/{again}", status=404)

    # Events: a webhook
    url = f"http://127.0.0.1:{managed.house.receiver_port}/documents/hooks"
    webhook = {"url": url, "events": ["job.completed", "job.failed"], "secret": "webhook-secret-key"}
    hook = managed.call("PUT", "/v1/jobs/webhook", webhook, 201)
    told = managed.dispatch()
    managed.ended(told)
    log = f"/v1/webhooks/{hook['id']}/deliveries?status=delivered&job_id={told}"
    wait_until(lambda: managed.call("GET", log)["deliveries"], "the webhook is told", 30)
    [delivery] = managed.call("GET", log)["deliveries"]
    payload = managed.call("GET", f"/v1/webhooks/{hook['id']}/deliveries/{delivery['id']}")["payload"]
    assert (payload["event"], payload["timestamp"] >= now) == ("job.completed", True)
    names = ("id", "status", "namespace", "product", "env", "execution_count")
    assert [payload["job"][name] for name in names] == [told, "completed", "actions", MANAGED, "prd", 1]
    managed.call("DELETE", f"/v1/webhooks/{hook['id']}", status=204)
    managed.call("DELETE", f"/v1/jobs/{told}", status=204)

    # Best practices: the id of a dispatch is kept, and asked for later
    job = managed.get(failing)
    assert (job["id"], job["status"]) == (failing, "scheduled")
    final = ["completed", "cancelled", "failed"]
    assert managed.many("delete", status=final, to=now - 90 * DAY) == {"count": 0, "skipped": 0}
    assert managed.list("?status=cancelled") == {one_off, cancelled, swept, reasoned}
    assert managed.many("delete", status=final, to=now + HOUR) == {"count": 4, "skipped": 0}
    paused = managed.many("pause", product="my-app")
    assert (paused["count"], paused["skipped"]) == (2, 2)  # what does not recur is passed over
    assert managed.many("resume", product="my-app", status="paused") == {"count": 2, "skipped": 0}


def test_the_calls_that_the_documents_leave_to_the_api(managed: Managed) -> None:
    now = int(time.time() * 1000)
    hourly = managed.dispatch(schedule={"every": HOUR}, labels={"kind": "extra"})
    managed.ended(hourly)

    # One extra run, and why it ran
    job = managed.act("trigger", hourly)
    assert (job["status"], managed.ended(hourly)["execution_count"]) == ("queued", 2)
    history = managed.call("GET", f"/v1/jobs/{hourly}/history")
    assert [(run["number"], run["trigger"]) for run in history["executions"]] == [(2, "trigger"), (1, "schedule")]
    at = history["executions"][1]["scheduled_at"]
    assert managed.call("GET", f"/v1/jobs/{hourly}/explain?at={at}")["reason"] == "ran"
    assert managed.call("GET", f"/v1/jobs/{hourly}/explain")["reason"] == "scheduled"

    # Maintenance of a namespace
    hold = {"env": "prd", "namespace": "actions", "note": "upgrade"}
    [held] = managed.call("POST", "/v1/products/my-app/hold", hold)["holds"]
    assert {name: held[name] for name in hold} == hold
    waiting = managed.dispatch(labels={"kind": "extra"})
    assert managed.call("GET", f"/v1/jobs/{waiting}?wait=300")["status"] == "queued"
    assert managed.call("POST", "/v1/products/my-app/release", {})["holds"] == []
    assert managed.ended(waiting)["status"] == "completed"

    # Runs by the hour
    series = managed.call("GET", f"/v1/jobs/stats/series?product=my-app&interval={HOUR}&from={now - HOUR}")
    assert sum(bucket["runs_completed"] for bucket in series["buckets"]) >= 3

    # Another schedule for many, tried first
    every = {"label": "kind:extra", "recurring": True, "schedule": {"every": 2 * HOUR}}
    assert managed.many("reschedule", **every, dry_run=True) == {"count": 1, "skipped": 0}
    assert managed.get(hourly)["every"] == HOUR
    assert managed.many("reschedule", **every) == {"count": 1, "skipped": 0}
    assert managed.get(hourly)["every"] == 2 * HOUR

    # What runs is deleted only by force
    managed.house.answer("documents/action_tag", {"status": 200, "delay": 30})
    running = managed.dispatch()
    wait_until(lambda: managed.get(running)["status"] == "running", "it runs")
    managed.call("DELETE", f"/v1/jobs/{running}", status=409)
    managed.call("DELETE", f"/v1/jobs/{running}?force=true", status=204)
    managed.call("GET", f"/v1/jobs/{running}", status=404)
    managed.house.answer("documents/action_tag", {"status": 200})
