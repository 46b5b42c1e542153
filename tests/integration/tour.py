"""A tour of every operation of the API, each answer held against the description; for tests of what it says.

The calls follow one another: what one has made is named by the next. Needs a database, and no other process.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from jsonschema import Draft202012Validator
from referencing import Registry, Resource
from referencing.jsonschema import DRAFT202012

from core.clock import database_now
from core.tenancy.models import Environment
from core.times import to_ms
from executors import caching
from executors.catalog import kinds
from executors.catalog.kinds import Kind
from jobs.models import Job
from jobs.operations import many
from tests.conformance.world import claim_one, complete, fail, postpone, worker
from tests.integration import openapi_webhooks
from tests.integration.api import OPERATOR, Api, hang_up
from tests.samples import DISPATCHED, SAMPLES, dispatched

CATALOG = {
    "product": "shop",
    "envs": [{"slug": "prd", "name": "Production"}],
    "apps": [
        {
            "tag": "mail",
            "name": "Mail",
            "envs": {"prd": {"base_url": "http://127.0.0.1:9000"}},
            "events": [{"tag": "send", "method": "POST", "resource": "/send"}],
        }
    ],
}
SEND = {"product": "shop", "env": "prd", "app": "mail", "event": "send", "input": {"body": {"to": "a@example"}}}


class Tour:
    """Calls whose answers are held against the description."""

    def __init__(self, described: dict[str, Any]) -> None:
        self._described = described
        self._registry: Registry[Any] = Registry().with_resource(
            "urn:api", Resource.from_contents(described, default_specification=DRAFT202012)
        )
        self.visited: set[tuple[str, str]] = set()

    def __call__(
        self,
        method: str,
        template: str,
        status: int,
        body: Any = None,
        *,
        query: str = "",
        key: str | None = OPERATOR,
        **ids: Any,
    ) -> Any:
        operation = self._described["paths"][template][method.lower()]
        self.visited.add((method, template))
        answer = Api(key)(method, template.format(**ids) + query, body)
        assert answer.status_code == status, answer.content
        assert answer["X-Request-Id"]
        response = operation["responses"][str(status)]
        if "$ref" in response:
            response = self._described["components"]["responses"][response["$ref"].rpartition("/")[2]]
        if status == 204:
            assert answer.content == b""
            return None
        kind = answer["Content-Type"].partition(";")[0]
        schema = response["content"][kind]["schema"]
        if body is not None and status < 400:
            self._check(operation["requestBody"]["content"]["application/json"]["schema"], body, template)
        if kind == "text/plain":
            return answer.content.decode()
        if answer.streaming:
            hang_up(answer)
            return None
        self._check(schema, answer.json(), template)
        self.heard(operation, status, ids, answer.json())
        return answer.json()

    def heard(self, operation: dict[str, Any], status: int, ids: dict[str, Any], told: Any) -> None:
        """An answer has come; `ids` stood in its path. For tours that look further."""

    def _check(self, schema: Any, value: Any, where: str) -> None:
        rooted = {"$ref": "urn:api" + schema["$ref"]} if list(schema) == ["$ref"] else self._absolute(schema)
        errors = list(Draft202012Validator(rooted, registry=self._registry).iter_errors(value))
        assert errors == [], (where, [(error.json_path, error.message) for error in errors])

    def _absolute(self, schema: Any) -> Any:
        if isinstance(schema, dict):
            return {key: f"urn:api{value}" if key == "$ref" else self._absolute(value) for key, value in schema.items()}
        return [self._absolute(item) for item in schema] if isinstance(schema, list) else schema


def go_everywhere(go: Tour) -> None:
    """Every operation but `/readyz`, which needs committed rows. No broker is woken."""
    _catalog(go)
    _apps(go)
    _sessions(go)
    _caches(go)
    Job.objects.all().delete()
    _jobs(go)
    _interventions(go)
    _definitions(go)
    _others(go)
    openapi_webhooks.tour(go)
    _service(go)


def _catalog(go: Tour) -> None:
    go("PUT", "/v1/products/{product}/catalog", 200, CATALOG, product="shop")
    go("GET", "/v1/products/{product}/catalog", 200, product="shop")
    go("GET", "/v1/products/{product}/catalog", 404, product="nobody")
    go("GET", "/v1/products", 200)
    go("GET", "/v1/products/{product}/envs", 200, product="shop")
    go("GET", "/v1/products/{product}/envs/{env}", 200, product="shop", env="prd")
    go("POST", "/v1/products", 201, {"tag": "extra", "envs": [{"slug": "dev"}]})
    go("POST", "/v1/products", 409, {"tag": "extra"})
    go("PATCH", "/v1/products/{product}", 200, {"name": "Extra"}, product="extra")
    go("GET", "/v1/products/{product}", 200, product="extra")
    envs = "/v1/products/{product}/envs"
    go("POST", envs, 201, {"slug": "prd", "name": "Production"}, product="extra")
    go("POST", envs, 409, {"slug": "prd"}, product="extra")
    go("PATCH", envs + "/{env}", 200, {"name": "Live"}, product="extra", env="prd")
    go("DELETE", envs + "/{env}", 204, product="extra", env="prd")
    go("DELETE", envs + "/{env}", 404, product="extra", env="prd")
    go("DELETE", "/v1/products/{product}", 204, product="extra")
    go("GET", "/v1/keys", 200)
    made = go("POST", "/v1/keys", 201, {"name": "k", "product": "shop", "scopes": ["jobs:read"]})
    go("GET", "/v1/keys", 200)
    go("GET", "/v1/keys", 403, key=made["key"])
    go("DELETE", "/v1/keys/{key_id}", 204, key_id=made["id"])
    go("DELETE", "/v1/keys/{key_id}", 404, key_id=99)


def _apps(go: Tour) -> None:
    apps, app, at = (
        "/v1/products/{product}/apps",
        {"product": "shop", "tag": "extra"},
        "/v1/products/{product}/apps/{tag}",
    )
    go("POST", apps, 201, {"tag": "extra", "envs": {"prd": {"base_url": "http://127.0.0.1:9"}}}, product="shop")
    go("POST", apps, 409, {"tag": "extra"}, product="shop")
    go("GET", apps, 200, product="shop")
    go("PATCH", at, 200, {"timeout": 5}, **app)
    go("GET", at, 200, **app)
    go("PUT", at + "/envs/{env}", 200, {"base_url": "http://127.0.0.1:9"}, env="prd", **app)
    go("GET", at + "/check", 200, query="?env=prd", **app)
    go("DELETE", at + "/envs/{env}", 204, env="prd", **app)
    go("POST", at + "/events", 201, {"tag": "list", "resource": "/list"}, **app)
    go("POST", at + "/events", 409, {"tag": "list", "resource": "/list"}, **app)
    go("PUT", at + "/events/{event}", 200, {"resource": "/all"}, event="list", **app)
    go("PUT", at + "/envs/{env}", 404, {"base_url": "http://127.0.0.1:9"}, env="nope", **app)
    go("GET", at + "/events", 200, **app)
    go("GET", at + "/events/{event}", 200, event="list", **app)
    go("DELETE", at + "/events/{event}", 204, event="list", **app)
    go("DELETE", at, 204, **app)
    for kind in kinds.all_kinds():
        if kind.name != "app":
            _components(go, kind)
    secrets = "/v1/products/{product}/secrets"
    go("POST", secrets, 200, {"key": "EXTRA", "value": "value"}, product="shop")
    go("GET", secrets, 200, product="shop")
    go("GET", secrets + "/{secret}", 200, product="shop", secret="EXTRA")
    go("DELETE", secrets + "/{secret}", 204, product="shop", secret="EXTRA")


def _components(go: Tour, kind: Kind) -> None:
    sample = SAMPLES[kind.plural]
    written, reached, event = sample.component, sample.reached, sample.event
    all_of_it, at = f"/v1/products/{{product}}/{kind.plural}", f"/v1/products/{{product}}/{kind.plural}/{{tag}}"
    one = {"product": "shop", "tag": "extra"}
    go("POST", all_of_it, 201, {"tag": "extra", **written}, product="shop")
    go("POST", all_of_it, 409, {"tag": "extra", **written}, product="shop")
    go("GET", all_of_it, 200, product="shop")
    go("PATCH", at, 200, {"description": "changed"}, **one)
    go("PATCH", at, 400, {"descriptoin": "changed"}, **one)
    go("GET", at, 200, **one)
    if kind.connected:
        go("PUT", at + "/envs/{env}", 200, reached, env="prd", **one)
        go("GET", at + "/check", 200, query="?env=prd", **one)
        go("DELETE", at + "/envs/{env}", 204, env="prd", **one)
    if event is not None:
        go("POST", at + "/events", 201, {"tag": "one", **event}, **one)
        go("POST", at + "/events", 409, {"tag": "one", **event}, **one)
        go("PUT", at + "/events/{event}", 200, event, event="one", **one)
        go("GET", at + "/events", 200, **one)
        go("GET", at + "/events/{event}", 200, event="one", **one)
        go("DELETE", at + "/events/{event}", 204, event="one", **one)
    go("DELETE", at, 204, **one)


def _sessions(go: Tour) -> None:
    sessions, at = "/v1/products/{product}/sessions", "/v1/products/{product}/sessions/{tag}"
    user = {"product": "shop", "tag": "user"}
    written = {"tag": "user", "selector": "$Session{id}", "expiry": 7, "period": "days", "schema": {"id": "u_1"}}
    go("POST", sessions, 201, written, product="shop")
    go("POST", sessions, 409, written, product="shop")
    go("GET", sessions, 200, product="shop")
    go("PATCH", at, 200, {"period": "mins", "description": "whom we mail"}, **user)
    go("GET", at, 200, **user)
    started = go("POST", at + "/start", 201, {"env": "prd", "data": {"id": "u_1"}}, **user)
    go("POST", at + "/verify", 200, {"token": started["token"]}, **user)
    go("POST", "/v1/actions/dispatch", 201, {**SEND, "session": started["token"]})
    go("POST", "/v1/actions/dispatch", 201, {**SEND, "session": {"tag": "user", "token": started["token"]}})
    go("DELETE", at, 409, **user)
    go("POST", at + "/revoke", 200, {"token": started["token"]}, **user)
    go("POST", at + "/verify", 200, {"token": started["token"]}, **user)
    go("POST", at + "/revoke", 200, {"identifier": 7, "env": "prd"}, **user)
    go("POST", at + "/revoke", 200, {"session_id": started["session_id"], "env": "prd"}, **user)
    go("POST", "/v1/actions/dispatch", 400, {**SEND, "session": started["token"]})
    go("DELETE", at, 204, query="?force=true", **user)
    go("GET", at, 404, **user)


def _caches(go: Tour) -> None:
    caches, at = "/v1/products/{product}/caches", "/v1/products/{product}/caches/{tag}"
    pages = {"product": "shop", "tag": "pages"}
    go("POST", caches, 201, {"tag": "pages", "expiry": 60_000}, product="shop")
    go("POST", caches, 409, {"tag": "pages", "expiry": 60_000}, product="shop")
    go("GET", caches, 200, product="shop")
    go("PATCH", at, 200, {"expiry": 5_000, "name": "Pages"}, **pages)
    go("GET", at, 200, **pages)
    place = Environment.objects.get(slug="prd")
    caching.keep(
        place.product_id,
        "pages",
        "k",
        environment_id=place.pk,
        namespace="actions",
        target={"app": "mail"},
        result="{}",
    )
    go("GET", at + "/entries", 200, **pages)
    go("DELETE", at + "/entries", 200, query="?env=prd", **pages)
    go("POST", "/v1/actions/dispatch", 201, {**SEND, "cache": "pages"})
    go("POST", "/v1/actions/dispatch", 404, {**SEND, "cache": "pags"})
    go("DELETE", at, 409, **pages)
    go("DELETE", at, 204, query="?force=true", **pages)


def _jobs(go: Tour) -> None:
    go("POST", "/v1/schedules/preview", 200, {"schedule": {"cron": "0 9 * * *", "tz": "America/New_York"}, "count": 3})
    go("POST", "/v1/schedules/preview", 200, {"schedule": {"every": 60_000}, "count": None, "from": None})
    go("POST", "/v1/schedules/preview", 400, {"schedule": {"cron": "x"}})
    done = go("POST", "/v1/actions/dispatch", 201, {**SEND, "labels": {"a": "b"}, "concurrency_key": "k"})["job_id"]
    complete(claim_one(), '{"status": 200}')
    broken = go("POST", "/v1/actions/dispatch", 201, {**SEND, "retries": 1, "retryConfig": {"initialDelay": 1}})[
        "job_id"
    ]
    postpone(claim_one())
    recurring = go("POST", "/v1/actions/dispatch", 201, {**SEND, "schedule": {"every": 60_000, "limit": 3}})["job_id"]
    fail(claim_one())
    once = {**SEND, "idempotency_key": "once", "schedule": {"start_at": 4_000_000_000_000}}
    go("POST", "/v1/actions/dispatch", 201, once)
    go("POST", "/v1/actions/dispatch", 200, once)
    go("POST", "/v1/actions/dispatch", 400, {**SEND, "shedule": {}})
    go("POST", "/v1/actions/dispatch", 401, SEND, key=None)
    go("POST", "/v1/jobs/dispatch-many", 201, {"jobs": [{"namespace": "actions", **SEND}]})
    claim_one()
    for job_id in (done, broken, recurring):
        go("GET", "/v1/jobs/{job_id}", 200, job_id=job_id)
        go("GET", "/v1/jobs/{job_id}/history", 200, job_id=job_id)
        go("GET", "/v1/jobs/{job_id}/explain", 200, job_id=job_id)
        go("GET", "/v1/jobs/{job_id}/explain", 200, query="?at=1", job_id=job_id)
    go("GET", "/v1/jobs/{job_id}", 404, job_id="job_x")
    for query in ("", "?cursor=&limit=1", "?status=failed,completed&order=created_at", "?label=a:b"):
        go("GET", "/v1/jobs", 200, query=query)
    go("GET", "/v1/jobs", 400, query="?limit=0")
    go("GET", "/v1/jobs/stats", 200)
    go("GET", "/v1/jobs/stats/series", 200, query="?interval=60000")
    go("GET", "/v1/jobs/stats/series", 400, query="?interval=1")
    go("GET", "/v1/events/stream", 200, query="?event=job.failed,job.completed&label=a:b")
    go("GET", "/v1/events/stream", 400, query="?event=job.done")
    go("DELETE", "/v1/jobs/{job_id}", 204, job_id=done)
    go("DELETE", "/v1/jobs/{job_id}", 404, job_id=done)


def _definitions(go: Tour) -> None:
    all_of_it, at = "/v1/products/{product}/jobs", "/v1/products/{product}/jobs/{tag}"
    daily = {"product": "shop", "tag": "daily"}
    written = {
        "tag": "daily",
        "name": "n",
        "event_type": "ACTION",
        "event_tag": "send",
        "executions": 0,
        "intervals": 86_400_000,
    }
    go("POST", all_of_it, 201, written, product="shop")
    go("POST", all_of_it, 409, written, product="shop")
    go("GET", all_of_it, 200, product="shop")
    go("GET", at, 200, **daily)
    made = {"product_tag": "shop", "env": "prd", "event": "daily", "input": {}, "start_at": 4_000_000_000_000}
    go("POST", "/v1/processor/jobs/schedule", 201, made)
    go("POST", "/v1/processor/jobs/schedule", 201, made, query="?wait=1")
    go("POST", "/v1/processor/jobs/schedule", 404, {**made, "event": "nothing"})
    go("PATCH", at, 200, {"intervals": 60_000}, **daily)
    go("DELETE", at, 409, **daily)
    go("DELETE", at, 204, query="?force=true", **daily)


def _interventions(go: Tour) -> None:
    at = to_ms(database_now() + timedelta(hours=1))
    job_id = go("POST", "/v1/actions/dispatch", 201, {**SEND, "schedule": {"every": 60_000, "start_at": at}})["job_id"]
    for verb, body in (
        ("pause", {"note": "n"}), ("resume", {}), ("reschedule", {"cron": "0 9 * * *"}), ("trigger", {}), ("cancel", {"reason": "r"}),
    ):  # fmt: skip
        go("POST", f"/v1/jobs/{{job_id}}/{verb}", 200, body, job_id=job_id)
    go("POST", "/v1/jobs/{job_id}/pause", 409, {}, job_id=job_id)
    failed = go("POST", "/v1/actions/dispatch", 201, {**SEND, "priority": 9})["job_id"]
    fail(claim_one())
    go("POST", "/v1/jobs/{job_id}/retry", 200, {"delay": 5}, job_id=failed)
    _many(go)


def _many(go: Tour) -> None:
    bodies: dict[str, dict[str, Any]] = {
        "pause": {"label": ["a:b"], "note": "n"}, "resume": {"recurring": True}, "retry": {"from": 0, "delay": 5},
        "reschedule": {"env": "prd", "dry_run": True, "schedule": {"every": 60_000}}, "cancel": {"status": "queued"},
        "delete": {"status": ["completed", "failed"], "to": 1},
    }  # fmt: skip
    for verb, body in bodies.items():
        go("POST", f"/v1/jobs/{verb}-many", 200, body)
        go("POST", f"/v1/jobs/{verb}-many", 400, {})
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(many, "MOST_AT_ONCE", 0)
        begun = go("POST", "/v1/jobs/cancel-many", 202, {"product": "shop"})["operation_id"]
    go("GET", "/v1/operations/{operation_id}", 200, operation_id=begun)
    go("POST", "/v1/operations/{operation_id}/abort", 200, {}, operation_id=begun)
    go("GET", "/v1/operations/{operation_id}", 404, operation_id="op_none")


def _others(go: Tour) -> None:
    """A dispatch of each other namespace, for so late that no claim meets it."""
    written = {plural: [sample.entry("extra")] for plural, sample in SAMPLES.items() if plural != "apps"}
    go("PUT", "/v1/products/{product}/catalog", 200, written, product="shop")
    there = {"product": "shop", "env": "prd", "schedule": {"start_at": 4_000_000_000_000}}
    for path in DISPATCHED:
        if path != "/v1/actions/dispatch":
            go("POST", path, 201, {**there, **dispatched(path, "extra")})


def _service(go: Tour) -> None:
    worker()
    go("POST", "/v1/products/{product}/hold", 200, {"env": "prd", "note": "n"}, product="shop")
    go("GET", "/v1/products/{product}/hold", 200, product="shop")
    go("GET", "/v1/queues", 200)
    go("POST", "/v1/products/{product}/release", 200, {}, product="shop")
    go("GET", "/v1/workers", 200)
    go("GET", "/v1/workers", 401, key=None)
    go("GET", "/healthz", 200, key=None)
    assert "ductape_queue_depth" in go("GET", "/metrics", 200)
