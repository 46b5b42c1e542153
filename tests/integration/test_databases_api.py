"""Databases over HTTP: what a caller sees of a dispatch, and of a check of the connection."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from pytest_django import Settings

from tests.integration.api import OPERATOR, Api
from tests.integration.database_world import World, database, with_stock

pytestmark = [pytest.mark.django_db, pytest.mark.urls("tests.integration.api")]


@pytest.fixture
def api(tmp_path: Path, settings: Settings) -> Iterator[Api]:
    settings.OPERATOR_API_KEY = OPERATOR
    with database("sqlite", tmp_path) as made:
        World("sqlite", with_stock(made).url)
        yield Api()


def test_the_deletion_of_the_documents_is_taken_as_it_is_written(api: Api) -> None:
    body = {"product": "shop", "env": "prd", "database": "stock-db", "operation": "deleteMany"}
    ago = '$DateAdd($Now(), -90, "days")'

    taken = api.post("/v1/databases/dispatch", {**body, "input": {"filter": {"made": {"$lt": ago}}}})
    refused = api.post("/v1/databases/dispatch", {**body, "input": {"filter": {}}})
    unknown = api.post("/v1/databases/dispatch", {**body, "operation": "deletMany", "input": {}})

    assert taken.status_code == 201, taken.json()
    assert [(error["field"], error["code"]) for error in refused.json()["errors"]] == [("input.filter", "required")]
    assert "did you mean 'deleteMany'?" in unknown.json()["detail"]


def test_a_check_tells_what_it_reached(api: Api) -> None:
    told = api.get("/v1/products/shop/databases/stock-db/check?env=prd").json()

    assert told["ok"] is True
    assert told["detail"].startswith("connected: SQLite 3.")
