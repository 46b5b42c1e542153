"""A product with an event of each type, definitions of it, and the older calls: for their tests."""

from __future__ import annotations

from typing import Any

from core.ids import decode
from executors.catalog import document
from executors.catalog.schema import read_document
from jobs.models import Job, JobEvent
from tests.integration.api import Api

DEFINITIONS = "/v1/products/shop/jobs"
SCHEDULE = "/v1/processor/jobs/schedule"
HOUR = 3_600_000
DEFINITION: dict[str, Any] = {
    "name": "Example Job",
    "tag": "example_job",
    "event_type": "ACTION",
    "event_tag": "action_tag",
    "executions": 5,
    "intervals": 60_000,
}  # S0's and S2's own
JOB: dict[str, Any] = {"env": "prd", "product_tag": "shop", "event": "example_job", "input": {}, "start_at": 0}


def catalog(envs: tuple[str, ...] = ("prd", "dev")) -> None:
    """`action_tag` is an event of one app, `ping` of two."""

    def app(tag: str, *events: dict[str, Any]) -> dict[str, Any]:
        reached = {slug: {"base_url": "http://127.0.0.1:9"} for slug in envs}
        return {"tag": tag, "envs": reached, "events": list(events)}

    def post(tag: str, **more: Any) -> dict[str, Any]:
        return {"tag": tag, "method": "POST", "resource": f"/{tag}", **more}

    strict = {"type": "object", "required": ["email"], "properties": {"email": {"type": "string"}}}
    hook = {"prd": {"callbacks": {"url": "http://127.0.0.1:9/hook", "method": "POST"}}}
    written = {
        "envs": [{"slug": slug} for slug in envs],
        "apps": [
            app("mail", post("action_tag"), post("other"), post("ping"), post("strict", body=strict)),
            app("crm", post("ping")),
        ],
        "notifications": [
            {
                "tag": "alerts",
                "envs": hook,
                "events": [
                    {"tag": tag, "callback": {"body": {"a": "{{a}}"}}} for tag in ("send_notification", "order_update")
                ],
            }
        ],
        "databases": [
            {
                "tag": "stock",
                "type": "sqlite",
                "envs": {"prd": {"connection_url": "sqlite:////tmp/of-definitions.sqlite3"}},
                "events": [{"tag": "sync", "operation": "QUERY", "table": "t", "template": {}}],
            }
        ],
        "graphs": [
            {
                "tag": "people",
                "type": "embedded",
                "envs": {"prd": {"path": "/tmp/of-definitions-graph"}},
                "events": [{"tag": "find", "operation": "FIND_NODES", "template": {"labels": ["A"]}}],
            }
        ],
        "storage": [{"tag": "files", "type": "local", "envs": {"prd": {"path": "/tmp/of-definitions"}}}],
        "brokers": [
            {
                "tag": "bus",
                "type": "redis",
                "envs": {"prd": {"url": "redis://127.0.0.1:9/0"}},
                "events": [{"tag": "news", "topic": "t"}],
            }
        ],
        "functions": [{"tag": "resize", "envs": {"prd": {"url": "http://127.0.0.1:9/fn"}}}],
        "features": [{"tag": "report", "steps": [{"tag": "a", "type": "sleep", "duration": 1}]}],
    }
    document.store("shop", read_document(written, "shop"), prune=True)


def define(**changes: Any) -> dict[str, Any]:
    """A definition that is made."""
    answer = Api().post(DEFINITIONS, {**DEFINITION, **changes})
    assert answer.status_code == 201, answer.content
    made: dict[str, Any] = answer.json()
    return made


def schedule(**changes: Any) -> dict[str, Any]:
    """The job that a schedule of the definition makes."""
    answer = Api().post(SCHEDULE, {**JOB, **changes})
    assert answer.status_code == 201, answer.content
    return shown(answer.json()["job_id"])


def shown(job_id: str) -> dict[str, Any]:
    job: dict[str, Any] = Api().get(f"/v1/jobs/{job_id}").json()
    return job


def field_told(response: Any) -> tuple[int, str, str]:
    """Status, and the first wrong field with its code."""
    [first, *_] = response.json()["errors"]
    return response.status_code, first["field"], first["code"]


def row(job_id: str) -> Job:
    """The job as it is stored."""
    key = decode("job", job_id)
    assert key is not None
    return Job.objects.get(pk=key)


def events(job_id: str) -> list[JobEvent]:
    """What the outbox has of it, in order."""
    return list(JobEvent.objects.filter(job_id=row(job_id).pk).order_by("seq"))
