"""Every call of S0, S1, S2 and S4, in the order of the documents, against the real system.

S3's are in `test_s3_examples`. Nothing is changed but ids (`job_abc123` is a job that was made), the product and,
where a page reads the clock, its times. Not here: `cancelMany`, `pauseMany`, `resumeMany`, `retryMany`, `deleteMany` and `setWebhook`.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import pytest

from tests.acceptance.system import Answer, System
from tests.servers.local import wait_until
from tests.servers.vendors.push import FirebaseServer

pytestmark = [pytest.mark.faults, pytest.mark.timeout(180)]

PRODUCT = "my-product"
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
HOUR = 3_600_000


@pytest.fixture(scope="module")
def push() -> Iterator[FirebaseServer]:
    with FirebaseServer() as server:
        yield server


@pytest.fixture
def served(house: System, push: FirebaseServer) -> System:
    """The system, and a catalog that has what the documents name."""
    url = f"http://127.0.0.1:{house.receiver_port}"
    posts = [{"tag": tag, "method": "POST", "resource": f"/documents/{tag}"} for tag in ("action_tag", "fails")]
    order = {"title": "{{en}}", "body": "{{en}}", "data": {"trackingId": "{{trackingId}}"}}
    document = {
        "envs": [{"slug": "prd"}],
        "apps": [{"tag": "app", "envs": {"prd": {"base_url": url}}, "events": posts}],
        "notifications": [
            {
                "tag": "send_notification",
                "envs": {"prd": {"push_notifications": push.block}},
                "events": [{"tag": "order_update", "push_notification": order}],
            }
        ],
    }
    answer = house.call("PUT", f"/v1/products/{PRODUCT}/catalog", document)
    assert answer.status == 200, answer.body
    return house


def done(answer: Answer, status: int = 200) -> Any:
    assert answer.status == status, answer.body
    return answer.body


def dispatched(house: System, event: str = "action_tag", **fields: Any) -> str:
    body = {"product": PRODUCT, "env": "prd", "app": "app", "event": event, "input": {"body": {}}, **fields}
    return str(done(house.call("POST", "/v1/actions/dispatch", body), 201)["job_id"])


def ended(house: System, job_id: str) -> dict[str, Any]:
    """The job once its run has ended."""
    job: dict[str, Any] = done(house.call("GET", f"/v1/jobs/{job_id}?wait=30000"))
    return job


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
    ended(served, for_ever)
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


def test_the_calls_of_s4(served: System) -> None:
    now = int(time.time() * 1000)
    one_off = dispatched(served, schedule={"start_at": now + HOUR})
    recurring = dispatched(served, schedule={"every": HOUR})
    ended(served, recurring)
    by_cron = dispatched(served, schedule={"cron": "0 9 * * *"})
    ok = dispatched(served)

    def call(verb: str, job_id: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
        job: dict[str, Any] = done(served.call("POST", f"/v1/jobs/{job_id}/{verb}", body or {}))
        return job

    def listed(query: str = "") -> set[str]:
        return {job["id"] for job in done(served.call("GET", f"/v1/jobs{query}"))["jobs"]}

    # Fetching jobs
    job = served.get(one_off)
    assert (job["id"], job["status"], job["scheduled_at"], job["recurring"]) == (
        one_off,
        "scheduled",
        now + HOUR,
        False,
    )
    assert {one_off, recurring, by_cron, ok} <= listed()
    assert {one_off, by_cron} <= listed("?status=scheduled&limit=100&offset=0")
    assert {one_off, recurring, by_cron, ok} <= listed(f"?product={PRODUCT}&env=prd")
    assert {recurring, by_cron} == listed(f"?recurring=true&product={PRODUCT}") & {one_off, recurring, by_cron, ok}

    # Job information
    job = ended(served, ok)
    assert (job["status"], job["result"]["status"], job["retry_count"]) == ("completed", 200, 0)
    served.answer("documents/fails", {"status": 400})
    failing = dispatched(served, "fails")
    job = ended(served, failing)
    assert (job["status"], "last_error" in job) == ("failed", True)

    # Cancelling
    cancelled = dispatched(served, schedule={"start_at": now + HOUR})
    assert call("cancel", cancelled)["status"] == "cancelled"
    job = call("cancel", one_off, {"reason": "Campaign ended early"})
    assert (job["status"], job["cancel_reason"]) == ("cancelled", "Campaign ended early")

    # Pausing and resuming
    call("pause", by_cron)
    assert served.get(by_cron)["status"] == "paused"
    call("resume", by_cron)
    job = served.get(by_cron)
    assert (job["status"], job["next_run_at"] > now) == ("scheduled", True)

    # Rescheduling
    later = dispatched(served, schedule={"start_at": now + HOUR})
    assert call("reschedule", later, {"start_at": now + 7_200_000})["scheduled_at"] == now + 7_200_000
    job = call("reschedule", by_cron, {"cron": "0 10 * * *", "tz": "America/New_York"})
    assert (job["cron"], job["tz"]) == ("0 10 * * *", "America/New_York")
    job = call("reschedule", recurring, {"every": 7_200_000})
    assert (job["every"], job["next_run_at"] > now) == (7_200_000, True)

    # Monitoring
    history = done(served.call("GET", f"/v1/jobs/{recurring}/history?limit=10"))
    assert (history["job_id"], history["total_executions"], history["successful_executions"]) == (recurring, 1, 1)
    [execution] = history["executions"]
    assert (execution["number"], execution["status"]) == (1, "completed")
    assert execution["completed_at"] - execution["started_at"] == execution["duration_ms"]
    stats = done(served.call("GET", f"/v1/jobs/stats?product={PRODUCT}&env=prd"))
    assert stats["total"] == len(listed(f"?product={PRODUCT}&env=prd&limit=1000"))
    assert (stats["failed"], stats["running"], stats["scheduled"]) == (1, 0, 3)
    assert 0 < stats["success_rate"] < 100

    # Retrying
    served.answer("documents/fails", {"status": 400}, {"status": 200})
    job = call("retry", failing)
    assert (job["status"], job["execution_count"]) == ("queued", 1)
    assert ended(served, failing)["status"] == "failed"
    job = call("retry", failing, {"delay": 60_000})
    assert (job["status"], job["next_attempt_at"] > now + 30_000) == ("scheduled", True)

    # Deleting
    assert served.call("DELETE", f"/v1/jobs/{ok}").status == 204
    assert served.call("GET", f"/v1/jobs/{ok}").status == 404

    # Best practices: the id of a dispatch is kept, and asked for later
    job = served.get(failing)
    assert (job["id"], job["status"]) == (failing, "scheduled")
