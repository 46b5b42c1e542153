"""What a reader of the catalog asks for in the address and cannot be had is told, not passed over."""

from __future__ import annotations

from typing import Any

import pytest
from pytest_django import Settings

from executors.catalog import document
from executors.catalog.schema import read_document
from tests.integration.api import OPERATOR, Api, told

pytestmark = [pytest.mark.django_db, pytest.mark.urls("tests.integration.api")]

STORED: dict[str, Any] = {
    "envs": [{"slug": "prd"}],
    "secrets": [{"key": "KEY", "value": "s3cret"}],
    "sessions": [{"tag": "s", "selector": "$Session{id}", "expiry": 7, "period": "days"}],
    "caches": [{"tag": "c", "expiry": 60}],
    "apps": [{"tag": "mail", "events": [{"tag": "send", "method": "POST", "resource": "/send"}]}],
}


@pytest.mark.parametrize(
    "path",
    [
        "", "/shop", "/shop/envs", "/shop/envs/prd", "/shop/catalog", "/shop/secrets", "/shop/secrets/KEY",
        "/shop/sessions", "/shop/sessions/s", "/shop/caches", "/shop/caches/c", "/shop/caches/c/entries", "/shop/apps",
        "/shop/apps/mail", "/shop/apps/mail/events", "/shop/apps/mail/events/send",
    ],
)  # fmt: skip
def test_a_parameter_that_does_not_exist_is_refused(path: str, settings: Settings) -> None:
    settings.OPERATOR_API_KEY = OPERATOR
    document.store("shop", read_document(STORED, "shop"))
    api = Api()

    answer = api.get(f"/v1/products{path}?limit=5")

    assert told(answer) == (400, "unknown_field")
    assert [(error["field"], error["code"]) for error in answer.json()["errors"]] == [("limit", "unknown_field")]
    assert api.get(f"/v1/products{path}").status_code == 200
