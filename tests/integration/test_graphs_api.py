"""Graphs through the API: the documented job, the catalog that holds its graph, and what each refuses."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from pytest_django import Settings

from core.shortcache import forget_everything
from tests.integration.api import OPERATOR, Api, told
from tests.integration.dispatch_world import job_of

pytestmark = [pytest.mark.django_db, pytest.mark.urls("tests.integration.api")]

DOCUMENTED: dict[str, Any] = {
    "env": "prd", "product": "my-app", "graph": "session-graph", "operation": "deleteNodes",
    "input": {"filter": {"expired": True}}, "schedule": {"cron": "0 4 * * *"},
}  # fmt: skip


@pytest.fixture
def api(settings: Settings, tmp_path: Path) -> Api:
    settings.OPERATOR_API_KEY = OPERATOR
    forget_everything()
    api = Api()
    catalog = {
        "envs": [{"slug": "prd"}, {"slug": "stg"}],
        "graphs": [
            {
                "tag": "session-graph", "type": "embedded", "envs": {"prd": {"path": str(tmp_path / "graph")}},
                "events": [{"tag": "expire", "operation": "DELETE_NODE", "template": {"where": {"expired": "{{gone}}"}}}],
            },
            {
                "tag": "server", "type": "neo4j",
                "envs": {"prd": {"connection_url": "bolt://neo4j:hush-hush@127.0.0.1:7687", "password": "quiet-one", "username": "u"}},
            },
        ],
    }  # fmt: skip
    assert api("PUT", "/v1/products/my-app/catalog", catalog).status_code == 200
    return api


def test_the_documented_job_is_accepted_as_it_is_written(api: Api) -> None:
    answer = api.post("/v1/graphs/dispatch", DOCUMENTED)

    assert answer.status_code == 201, answer.content
    assert job_of(answer).target == {"graph": "session-graph", "operation": "deleteNodes"}


def test_a_saved_action_is_dispatched_by_either_name(api: Api) -> None:
    body = {"env": "prd", "product": "my-app", "graph": "session-graph", "input": {"gone": True}}

    for name in ("event", "action"):
        answer = api.post("/v1/graphs/action/dispatch", {**body, name: "session-graph:expire"})
        assert answer.status_code == 201, answer.content


@pytest.mark.parametrize(
    ("change", "status", "field", "detail"),
    [
        ({"graph": "sesion-graph"}, 404, "graph", "did you mean 'session-graph'?"),
        ({"env": "stg"}, 404, "graph", "environment 'stg' of product 'my-app' has no connection for graph"),
        ({"operation": "deleteNodez"}, 400, "operation", "did you mean 'deleteNode'?"),
        ({"input": {}}, 400, "input.where", "allowAll: true"),
        ({"input": {"filter": {}}}, 400, "input.filter", "allowAll: true"),
        ({"input": {"filter": {"a`b": 1}}}, 400, "input.filter.a`b", "is not a name"),
        ({"input": {"filter": {"a": {"$lessThan": 1}}}}, 400, "input.filter.a.$lessThan", "is not one of"),
        ({"input": {"filtr": {"a": 1}, "allowAll": True}}, 400, "input.filtr", "did you mean 'filter'?"),
    ],
    ids=lambda value: str(value)[:30],
)
def test_what_is_wrong_is_told_with_its_field_and_the_way_out(
    api: Api, change: dict[str, Any], status: int, field: str, detail: str
) -> None:
    answer = api.post("/v1/graphs/dispatch", {**DOCUMENTED, **change})

    assert told(answer)[0] == status
    (error,) = answer.json()["errors"]
    assert error["field"] == field
    assert detail in error["detail"]


def test_an_operation_that_is_none_has_a_code_of_its_own(api: Api) -> None:
    member = {"operation": "makeNode", "input": {}}
    change = {"operation": "transaction", "input": {"operations": [member]}}
    answers = [api.post("/v1/graphs/dispatch", {**DOCUMENTED, **each}) for each in ({"operation": "makeNode"}, change)]

    assert [(error["field"], error["code"]) for answer in answers for error in answer.json()["errors"]] == [
        ("operation", "unknown_operation"), ("input.operations.0.operation", "unknown_operation"),
    ]  # fmt: skip


def test_a_catalog_shows_no_login_of_a_graph(api: Api) -> None:
    answer = api.get("/v1/products/my-app/catalog")

    assert answer.status_code == 200
    assert b"hush-hush" not in answer.content
    assert b"quiet-one" not in answer.content
    (server,) = [graph for graph in answer.json()["graphs"] if graph["tag"] == "server"]
    assert server["envs"]["prd"] == {"connection_url": {"set": True}, "password": {"set": True}, "username": "u"}
