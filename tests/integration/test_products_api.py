"""Products and environments over HTTP: made, renamed, and removed where nothing needs them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from django.test import Client
from pytest_django import Settings

from core.shortcache import forget_everything
from core.tenancy import keys
from core.tenancy.models import AuditEntry, Environment, Product
from executors.catalog.models import Secret
from tests.conformance.world import new_job

pytestmark = pytest.mark.django_db

OPERATOR = "operator-key-of-at-least-32-characters"


@pytest.fixture(autouse=True)
def _here(settings: Settings) -> Iterator[None]:
    settings.OPERATOR_API_KEY = OPERATOR
    forget_everything()
    yield
    forget_everything()


def call(method: str, path: str, body: Any = None, *, key: str = OPERATOR) -> Any:
    return Client(raise_request_exception=False).generic(
        method, f"/v1/products{path}", data=json.dumps(body) if body is not None else "",
        content_type="application/json", headers={"Authorization": f"Bearer {key}"},
    )  # fmt: skip


def test_a_product_is_made_with_its_environments_renamed_and_removed() -> None:
    made = call("POST", "", {"tag": "pay", "name": "Pay", "envs": [{"slug": "dev"}, {"slug": "prd", "name": "Live"}]})
    assert (made.status_code, made.json()["tag"]) == (201, "pay")
    assert [env["name"] for env in call("GET", "/pay/envs").json()["envs"]] == ["dev", "Live"]
    assert call("PATCH", "/pay", {"name": "Payments"}).json()["name"] == "Payments"
    assert call("PATCH", "/pay/envs/dev", {"name": "Development"}).json()["name"] == "Development"
    assert call("DELETE", "/pay").status_code == 204
    assert call("GET", "/pay").status_code == 404
    assert AuditEntry.objects.filter(action="catalog.removed", object="pay").count() == 1


def test_an_environment_goes_with_its_own_secrets_and_connections_only() -> None:
    document = {
        "envs": [{"slug": "dev"}, {"slug": "prd"}],
        "secrets": [{"key": "K", "value": "for all", "envs": {"prd": "live"}}],
        "apps": [
            {"tag": "a", "envs": {"dev": {"base_url": "http://a.example"}, "prd": {"base_url": "http://b.example"}}}
        ],
    }
    assert call("PUT", "/pay/catalog", document).status_code == 200
    assert call("DELETE", "/pay/envs/prd").status_code == 204
    left = call("GET", "/pay/catalog").json()
    assert (left["envs"], list(left["apps"][0]["envs"])) == ([{"slug": "dev", "name": "dev"}], ["dev"])
    assert list(Secret.objects.values_list("environment", flat=True)) == [None]


def test_what_still_has_jobs_stays() -> None:
    new_job()
    for path in ("/shop/envs/prd", "/shop"):
        refused = call("DELETE", path)
        assert (refused.status_code, refused.json()["code"]) == (409, "in_use")
    assert Environment.objects.filter(slug="prd", product__tag="shop").exists()


@pytest.mark.parametrize(
    ("body", "field"),
    [({}, "tag"), ({"tag": 1}, "tag"), ({"tag": "p", "nam": "x"}, "nam"), ({"tag": "p", "envs": {"a": {}}}, "envs")],
)
def test_a_product_that_is_not_one_is_told_by_field(body: Any, field: str) -> None:
    refused = call("POST", "", body)
    assert (refused.status_code, refused.json()["errors"][0]["field"]) == (400, field)
    assert not Product.objects.exists()


def test_only_an_operator_makes_and_removes_products() -> None:
    call("POST", "", {"tag": "pay", "envs": [{"slug": "dev"}]})
    product = Product.objects.get(tag="pay")
    key = keys.create(name="own", product=product, scopes=["catalog:read", "catalog:write"]).text
    assert call("POST", "", {"tag": "other"}, key=key).status_code == 403
    assert call("DELETE", "/pay", key=key).status_code == 403
    assert call("POST", "/pay/envs", {"slug": "prd"}, key=key).status_code == 201
    assert call("DELETE", "/pay/envs/prd", key=key).status_code == 204
