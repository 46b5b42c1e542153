"""A storage's job over REST: stored in the catalog, checked at its dispatch, listed with what it is for."""

from __future__ import annotations

from pathlib import Path

import pytest
from pytest_django import Settings

from tests.integration.api import OPERATOR, Api

pytestmark = [pytest.mark.django_db, pytest.mark.urls("tests.integration.api")]


def test_a_storages_job_is_dispatched_and_a_wrong_one_refused(tmp_path: Path, settings: Settings) -> None:
    settings.OPERATOR_API_KEY = OPERATOR
    api = Api()
    document = {
        "envs": [{"slug": "prd"}],
        "storage": [{"tag": "files", "type": "local", "envs": {"prd": {"path": str(tmp_path)}}}],
    }
    assert api("PUT", "/v1/products/shop/catalog", document).status_code == 200
    body = {"product": "shop", "env": "prd", "storage": "files"}

    taken = api("POST", "/v1/storage/dispatch", {**body, "event": "upload", "input": {"fileName": "a", "content": "x"}})
    by_operation = api("POST", "/v1/storage/dispatch", {**body, "operation": "stats", "input": {}})
    refused = api("POST", "/v1/storage/dispatch", {**body, "event": "upload", "input": {"fileName": "../a"}})

    assert (taken.status_code, by_operation.status_code, refused.status_code) == (201, 201, 400), taken.content
    assert {error["field"] for error in refused.json()["errors"]} == {"input.fileName", "input.content"}
