"""API keys over HTTP: a key gives no more than it has, and nobody sees a stranger's."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from pytest_django import Settings

from core.clock import database_now
from core.shortcache import forget_everything
from core.tenancy import scopes
from core.tenancy.models import ApiKey, AuditEntry
from core.times import to_ms
from tests.conformance.world import environment
from tests.integration.api import OPERATOR, Api, key_of, told

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def _here(settings: Settings) -> Iterator[None]:
    settings.OPERATOR_API_KEY = OPERATOR
    settings.ROOT_URLCONF = "tests.integration.api"
    forget_everything()
    yield
    forget_everything()


def made(caller: Api, body: dict[str, Any]) -> dict[str, Any]:
    answer = caller.post("/v1/keys", body)
    assert answer.status_code == 201, answer.content
    shown: dict[str, Any] = answer.json()
    return shown


def test_a_key_is_made_shown_once_used_and_revoked() -> None:
    environment()
    expires = to_ms(database_now() + timedelta(days=1))

    key = made(
        Api(),
        {
            "name": "ci",
            "product": "shop",
            "envs": ["prd"],
            "scopes": ["jobs:read", "keys:manage"],
            "expires_at": expires,
        },
    )

    assert (key["product"], key["envs"], key["scopes"]) == ("shop", ["prd"], ["jobs:read", "keys:manage"])
    assert key["expires_at"] == expires
    caller = Api(key["key"])
    (shown,) = [entry for entry in caller.get("/v1/keys").json()["keys"] if entry["id"] == key["id"]]
    assert "key" not in shown
    assert key["key"].startswith(shown["prefix"])
    assert Api().delete(f"/v1/keys/{key['id']}").status_code == 204
    assert Api().delete(f"/v1/keys/{key['id']}").status_code == 204
    assert told(caller.get("/v1/keys")) == (401, "unauthenticated")
    assert [entry.action for entry in AuditEntry.objects.order_by("id")] == ["key.created", "key.revoked"]
    assert key["key"] not in str(list(AuditEntry.objects.values()))


def test_an_operator_key_without_a_product_makes_another_operator_key() -> None:
    assert made(Api(), {"name": "second"})["product"] is None


def test_a_product_key_makes_keys_of_its_product_with_its_own_scopes() -> None:
    caller = key_of(envs=(), scopes_={scopes.JOBS_READ, scopes.KEYS_MANAGE})
    environment()

    key = made(caller, {"name": "child"})
    assert (key["product"], key["scopes"]) == ("shop", ["jobs:read", "keys:manage"])
    assert told(caller.post("/v1/keys", {"name": "x", "scopes": ["jobs:manage"]})) == (403, "scope_missing")
    assert told(caller.post("/v1/keys", {"name": "x", "product": "other"})) == (404, "product_not_found")


def test_a_key_of_one_environment_makes_only_keys_of_it_and_sees_only_those() -> None:
    environment()
    whole = made(Api(), {"name": "whole", "product": "shop"})
    limited = key_of(envs=("stg",), name="limited")

    child = made(limited, {"name": "child"})

    assert child["envs"] == ["stg"]
    assert told(limited.post("/v1/keys", {"name": "x", "envs": ["prd"]})) == (400, "invalid")
    assert [entry["name"] for entry in limited.get("/v1/keys").json()["keys"]] == ["child", "limited"]
    assert told(limited.delete(f"/v1/keys/{whole['id']}")) == (404, "key_not_found")


def test_strangers_see_and_revoke_nothing() -> None:
    key = made(Api(), {"name": "ours", "product": environment().product.tag})
    stranger = key_of("other")

    assert [entry["product"] for entry in stranger.get("/v1/keys").json()["keys"]] == ["other"]
    for path in (f"/v1/keys/{key['id']}", "/v1/keys/999999", f"/v1/keys/{2**70}"):
        assert told(stranger.delete(path)) == (404, "key_not_found")
    blind = key_of(scopes_={scopes.JOBS_READ})
    assert told(blind.get("/v1/keys")) == (403, "scope_missing")
    assert told(Api(None).post("/v1/keys", {"name": "x"})) == (401, "unauthenticated")
    assert ApiKey.objects.get(pk=key["id"]).revoked_at is None


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "name"), ({"name": " "}, "name"), ({"name": 1}, "name"), ({"name": "x" * 201}, "name"),
        ({"name": "x", "scopes": "jobs:read"}, "scopes"), ({"name": "x", "scopes": []}, "scopes"),
        ({"name": "x", "scopes": ["jobs:raed"]}, "scopes"), ({"name": "x", "expires_at": 1}, "expires_at"),
        ({"name": "x", "expires_at": "soon"}, "expires_at"), ({"name": "x", "envs": ["prd"]}, "envs"),
        ({"name": "x", "product": "shop", "envs": ["prd", "nowhere"]}, "envs.1"), ({"name": "x", "product": 1}, "product"),
        ({"nmae": "x"}, "nmae"),
    ],
)  # fmt: skip
def test_a_wrong_field_is_named(body: dict[str, Any], field: str) -> None:
    environment()

    answer = Api().post("/v1/keys", body)

    assert answer.status_code == 400
    assert [error["field"] for error in answer.json()["errors"]] == [field]
