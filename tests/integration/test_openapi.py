"""The API's description: complete, valid, true for a tour of calls, and its page loads nothing from elsewhere."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from itertools import islice
from typing import Any
from urllib.parse import quote

import pytest
from django.urls import URLPattern, URLResolver, get_resolver
from jsonschema import Draft202012Validator
from pytest_django import Settings

from core.shortcache import forget_everything
from executors import registry
from executors.catalog import kinds
from jobs import wakeup
from jobs.operations.targets import TARGETS
from tests.integration.api import OPERATOR, Api, hang_up
from tests.integration.tour import CATALOG, SEND, Tour, go_everywhere

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def _here(settings: Settings) -> Iterator[None]:
    settings.OPERATOR_API_KEY = OPERATOR
    forget_everything()
    yield
    forget_everything()


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


TAGS = {"catalog", "definitions", "dispatch", "jobs", "keys", "maintenance", "schedules", "service", "webhooks"}


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


def test_a_tour_of_every_operation_answers_as_described(
    described: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(wakeup, "wake", lambda queues: None)
    go = Tour(described)
    go_everywhere(go)
    operations = {
        (method.upper(), path)
        for path, item in described["paths"].items()
        for method in item
        if method in {"get", "post", "put", "patch", "delete"}
    }
    assert operations - go.visited == {("GET", "/readyz")}  # it needs committed rows


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
        "webhook_id": Api().post("/v1/webhooks", {"url": "https://example.com/", "events": ["*"]}).json()["id"],
        "delivery_id": "dlv_none",
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
