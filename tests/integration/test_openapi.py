"""The API's description: complete, valid, true for a tour of calls, and its page loads nothing from elsewhere."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from datetime import timedelta
from io import StringIO
from itertools import islice
from typing import Any
from urllib.parse import quote

import pytest
from django.core.management import call_command
from django.urls import URLPattern, URLResolver, get_resolver
from jsonschema import Draft202012Validator
from pytest_django import Settings
from referencing import Registry, Resource
from referencing.jsonschema import DRAFT202012

from core.clock import database_now
from core.shortcache import forget_everything
from core.tenancy.models import Environment
from core.times import to_ms
from executors import caching, registry
from executors.catalog import kinds
from executors.catalog.kinds import Kind
from jobs import wakeup
from jobs.models import Job
from jobs.operations import many
from jobs.operations.targets import TARGETS
from tests.conformance.world import claim_one, complete, fail, postpone, worker
from tests.integration.api import OPERATOR, Api, hang_up

pytestmark = pytest.mark.django_db

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


@pytest.fixture(autouse=True)
def _here(settings: Settings) -> Iterator[None]:
    settings.OPERATOR_API_KEY = OPERATOR
    forget_everything()
    yield
    forget_everything()


@pytest.fixture(scope="module")
def described() -> dict[str, Any]:
    """The description, by the command whose warnings are errors."""
    out = StringIO()
    call_command("spectacular", "--format", "openapi-json", "--validate", "--fail-on-warn", stdout=out)
    description: dict[str, Any] = json.loads(out.getvalue())
    return description


def test_the_description_is_openapi_3_1_and_served_to_everybody(described: dict[str, Any]) -> None:
    answer = Api(None).get("/v1/openapi.json")

    assert answer.status_code == 200
    assert answer.json()["openapi"] == "3.1.0"
    assert set(answer.json()["paths"]) == set(described["paths"])


def test_every_change_of_a_catalog_declares_its_lock_and_what_it_locks_on(described: dict[str, Any]) -> None:
    paths = {
        path: operations
        for path, operations in described["paths"].items()
        if path.startswith("/v1/products/{product}")
        and not path.endswith(("/entries", "/check"))
        and not path.startswith("/v1/products/{product}/jobs")  # definitions are jobs', not a catalog's
    }
    assert len(paths) > 40
    for path, operations in paths.items():
        for method in operations.keys() & {"put", "patch", "delete"}:
            headers = [each["name"] for each in operations[method].get("parameters", ()) if each["in"] == "header"]
            assert ("If-Match" in headers, "412" in operations[method]["responses"]) == (True, True), (method, path)
        for method, status in (("get", "200"), ("put", "200"), ("patch", "200")):
            if method in operations and (method != "get" or operations.keys() - {"get", "post", "parameters"}):
                assert "ETag" in operations[method]["responses"][status]["headers"], (method, path)


def test_every_path_under_v1_is_described(described: dict[str, Any]) -> None:
    routes = {route for route in _routes(get_resolver().url_patterns) if route.startswith(("v1/", "healthz", "readyz"))}
    routes -= {"v1/openapi.json", "v1/docs"}
    routes -= {f"v1/{names.path}/dispatch" for names in TARGETS.values() if names.namespace not in registry.known()}

    shown = {"/" + re.sub(r"<(?:[a-z]+:)?([a-z_]+)>", r"{\1}", route) for route in routes}
    assert shown <= set(described["paths"])


def test_only_dispatches_that_can_succeed_are_described(
    described: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    def dispatches(description: dict[str, Any]) -> set[str]:
        return {path for path in description["paths"] if path.endswith("/dispatch")}

    assert dispatches(described) == {f"/v1/{names.path}/dispatch" for names in TARGETS.values()}
    item = described["components"]["schemas"]["DispatchMany"]["properties"]["jobs"]["items"]
    assert item["properties"]["namespace"]["enum"] == sorted(TARGETS)

    monkeypatch.delitem(registry.BUILT_IN, "graphs")
    left = dispatches(Api(None).get("/v1/openapi.json").json())
    assert dispatches(described) - left == {"/v1/graphs/dispatch"}


def _routes(patterns: list[Any], prefix: str = "") -> Iterator[str]:
    for pattern in patterns:
        if isinstance(pattern, URLResolver):
            yield from _routes(pattern.url_patterns, prefix + str(pattern.pattern))
        elif isinstance(pattern, URLPattern):
            yield prefix + str(pattern.pattern)


def test_every_reference_leads_somewhere_and_every_schema_is_one(described: dict[str, Any]) -> None:
    for reference in set(re.findall(r'"\$ref": ?"#/([^"]+)"', json.dumps(described))):
        node: Any = described
        for step in reference.split("/"):
            assert step in node, reference
            node = node[step]
    for name, schema in described["components"]["schemas"].items():
        Draft202012Validator.check_schema(schema)
        assert schema, name


TAGS = {"catalog", "definitions", "dispatch", "jobs", "keys", "maintenance", "schedules", "service"}


def test_operations_have_distinct_names_and_describe_what_they_do(described: dict[str, Any]) -> None:
    operations = [
        operation
        for path in described["paths"].values()
        for method, operation in path.items()
        if method != "parameters"
    ]
    names = [operation["operationId"] for operation in operations]

    assert len(names) == len(set(names))
    assert [operation["operationId"] for operation in operations if not operation.get("description")] == []
    summaries = [operation.get("summary", "") for operation in operations]
    assert all(summaries)
    assert len(set(summaries)) == len(summaries)
    assert {tag for operation in operations for tag in operation["tags"]} == TAGS
    for operation in operations:
        assert "default" in operation["responses"] or "500" in operation["responses"]


def test_the_page_loads_nothing_from_elsewhere() -> None:
    answer = Api(None).get("/v1/docs")

    page = answer.content.decode()
    assert answer.status_code == 200
    assert re.findall(r"(?:https?:)?//[a-z0-9.-]+\.[a-z]{2,}", page) == []
    assets = re.findall(r'(?:src|href)="([^"]+)"', page)
    assert assets
    for asset in assets:
        assert asset.startswith("/static/")
        found = Api(None).get(asset)
        assert found.status_code == 200
        found.close()
    assert "validatorUrl" in page


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
        return answer.json()

    def _check(self, schema: Any, value: Any, where: str) -> None:
        rooted = {"$ref": "urn:api" + schema["$ref"]} if list(schema) == ["$ref"] else self._absolute(schema)
        errors = list(Draft202012Validator(rooted, registry=self._registry).iter_errors(value))
        assert errors == [], (where, [(error.json_path, error.message) for error in errors])

    def _absolute(self, schema: Any) -> Any:
        if isinstance(schema, dict):
            return {key: f"urn:api{value}" if key == "$ref" else self._absolute(value) for key, value in schema.items()}
        return [self._absolute(item) for item in schema] if isinstance(schema, list) else schema


def test_a_tour_of_every_operation_answers_as_described(
    described: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(wakeup, "wake", lambda queues: None)
    go = Tour(described)
    _catalog(go)
    _apps(go)
    _sessions(go)
    _caches(go)
    Job.objects.all().delete()
    _jobs(go)
    _interventions(go)
    _definitions(go)
    _others(go)
    _service(go)
    operations = {
        (method.upper(), path)
        for path, item in described["paths"].items()
        for method in item
        if method in {"get", "post", "put", "patch", "delete"}
    }
    assert operations - go.visited == {("GET", "/readyz")}  # it needs committed rows


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


# kind → a component, how it is reached, one of its events
SAMPLES: dict[str, tuple[dict[str, Any], dict[str, Any], dict[str, Any]]] = {
    "notification": ({}, {"callbacks": {"url": "http://127.0.0.1:9/hook", "method": "POST"}}, {"callback": {"body": {"a": "{{a}}"}}}),
    "database": ({"type": "sqlite"}, {"connection_url": "sqlite:////tmp/of-the-tour.sqlite3"}, {"operation": "QUERY", "table": "t", "template": {}}),
    "graph": ({"type": "embedded"}, {"path": "/tmp/of-the-tour-graph"}, {"operation": "FIND_NODES", "template": {"labels": ["A"]}}),
    "storage": ({"type": "local"}, {"path": "/tmp/of-the-tour"}, {"operation": "upload", "template": {"fileName": "{{a}}.txt"}}),
    "broker": ({"type": "redis"}, {"url": "redis://127.0.0.1:9/0"}, {"topic": "t"}),
    "function": ({"method": "POST"}, {"url": "http://127.0.0.1:9/fn"}, {}),
    "feature": ({"steps": [{"tag": "a", "type": "sleep", "duration": 1}]}, {}, {}),
}  # fmt: skip


def _components(go: Tour, kind: Kind) -> None:
    written, reached, event = SAMPLES[kind.name]
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
    if kind.has_events:
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


DISPATCHED: dict[str, dict[str, Any]] = {
    "/v1/notifications/dispatch": {"notification": "extra", "event": "one", "input": {"callback": {"body": {"a": 1}}}},
    "/v1/databases/dispatch": {"database": "extra", "operation": "count", "input": {"table": "t"}},
    "/v1/databases/action/dispatch": {"database": "extra", "event": "one", "input": {}},
    "/v1/graphs/dispatch": {"graph": "extra", "operation": "countNodes", "input": {}},
    "/v1/graphs/action/dispatch": {"graph": "extra", "event": "one", "input": {}},
    "/v1/storage/dispatch": {"storage": "extra", "event": "listFiles", "input": {}},
    "/v1/events/dispatch": {"broker": "extra", "event": "one", "input": {"message": {"a": 1}}},
    "/v1/functions/dispatch": {"function": "extra", "input": {"payload": {}}},
    "/v1/features/dispatch": {"tag": "extra", "input": {}},
}


def _others(go: Tour) -> None:
    """A dispatch of each other namespace, for so late that no claim meets it."""
    written: dict[str, Any] = {}
    for kind in kinds.all_kinds():
        if kind.name != "app":
            entry, reached, event = SAMPLES[kind.name]
            envs = {"envs": {"prd": reached}} if kind.connected else {}
            events = {"events": [{"tag": "one", **event}]} if kind.has_events else {}
            written[kind.plural] = [{"tag": "extra", **entry, **envs, **events}]
    go("PUT", "/v1/products/{product}/catalog", 200, written, product="shop")
    there = {"product": "shop", "env": "prd", "schedule": {"start_at": 4_000_000_000_000}}
    for path, body in DISPATCHED.items():
        go("POST", path, 201, {**there, **body})


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


NASTY: list[Any] = [
    None, -1, "\x00", 2**63, 1.5, 1e308, "", "x" * 400, "\u00fc\u200b\U0001f600%", "' OR 1=1 --", "../..", [None], {"": None}, "$Now(",
    "2026-02-30T00:00:00Z", "9999-12-31T23:59:59.999Z", 253_402_300_799_999,
]  # fmt: skip


def test_nonsense_in_any_field_of_any_operation_gets_a_described_answer(
    described: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(wakeup, "wake", lambda queues: None)
    Api()("PUT", "/v1/products/shop/catalog", CATALOG)
    job_id = Api().post("/v1/actions/dispatch", {**SEND, "schedule": {"every": 3_600_000}}).json()["job_id"]
    ids = {
        "product": "shop",
        "job_id": job_id,
        "operation_id": "op_none",
        "key_id": "1",
        "tag": "mail",
        "env": "prd",
        "event": "send",
        "secret": "KEY",
    }

    for path, item in described["paths"].items():
        for method, operation in item.items():
            calls = _nonsense(described, path, operation, ids)
            for url, body in islice(calls, 0, None, SELDOM if _is_repeated(path) else 1):
                answer = Api()(method.upper(), url, body)
                where = (method, url, body, answer.status_code)
                assert answer.status_code < 500 or path == "/readyz", (where, answer.content)
                assert str(answer.status_code) in operation["responses"], where
                if answer.streaming:
                    hang_up(answer)
                if answer.status_code >= 400:
                    assert answer["Content-Type"] == "application/problem+json", where
                    assert set(answer.json()) >= {"type", "title", "status", "detail", "code", "errors", "request_id"}


SELDOM = 11  # of what the code has been asked before under another path, every so many calls


def _is_repeated(path: str) -> bool:
    """Whether another path is answered by the same code: a dispatch of another namespace, another kind of component."""
    if path.endswith("/dispatch"):
        return path != "/v1/actions/dispatch"
    return any(path.startswith(f"/v1/products/{{product}}/{kind.plural}") for kind in kinds.all_kinds()[1:])


def _nonsense(
    described: dict[str, Any], path: str, operation: dict[str, Any], ids: dict[str, str]
) -> Iterator[tuple[str, Any]]:
    """Calls with one wrong thing each: a part of the path, a parameter of the query, a field of the body."""
    usual = path.format(**ids)
    texts = [value for value in NASTY if isinstance(value, (str, int, float)) and value not in (True, "")]
    for place, parameter in enumerate(operation.get("parameters", ()), start=len(path)):
        for value in texts[place % 3 :: 3]:  # and a third of them for each parameter
            if parameter["in"] == "path":
                yield path.format(**{**ids, parameter["name"]: quote(str(value), safe="")}), None
            elif parameter["in"] == "query" and parameter["name"] != "wait":
                yield f"{usual}?{parameter['name']}={quote(str(value), safe='')}", None
    content = operation.get("requestBody", {}).get("content", {}).get("application/json")
    if content is None:
        return
    schema = content["schema"]
    if "$ref" in schema:
        schema = described["components"]["schemas"][schema["$ref"].rpartition("/")[2]]
    base = dict(SEND) if path.startswith("/v1/actions") else CATALOG if path.endswith("/catalog") else {}
    for place, name in enumerate({**schema.get("properties", {}), **base}):
        for value in NASTY[place % 3 :: 3]:  # a third of them for each field: the whole takes minutes
            yield usual, {**base, name: value}
