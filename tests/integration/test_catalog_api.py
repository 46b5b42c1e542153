"""PUT and GET of the catalog document: the difference, what is secret, who may."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from typing import Any

import pytest
import yaml
from django.conf import settings
from django.test import Client
from pytest_django import Settings

from core import crypto
from core.shortcache import forget_everything
from core.tenancy import keys, scopes
from core.tenancy.models import AuditEntry, Environment, Product
from executors.catalog.api.bodies import YAML_LIMIT_BYTES
from executors.catalog.models import Component, Connection, SavedEvent, Secret

pytestmark = pytest.mark.django_db

OPERATOR = "operator-key-of-at-least-32-characters"
DOCUMENT: dict[str, Any] = {
    "product": "shop",
    "name": "Shop",
    "envs": [{"slug": "dev", "name": "Development"}, {"slug": "prd", "name": "Production"}],
    "secrets": [
        {"key": "TOKEN", "envs": {"prd": "live-token", "dev": "test-token"}},
        {"key": "ALL", "value": "everywhere"},
    ],
    "apps": [
        {
            "tag": "mail",
            "name": "Mail",
            "auth": {"type": "bearer", "token": "$Secret{TOKEN}"},
            "envs": {
                "prd": {"base_url": "https://mail.example", "timeout": 10000},
                "dev": {
                    "base_url": "http://127.0.0.1:9000",
                    "auth": {"type": "basic", "username": "u", "password": "pw-literal"},
                },
            },
            "events": [
                {"tag": "send", "method": "POST", "resource": "/users/:userId/welcome", "success": [200, 202]},
                {"tag": "list", "method": "GET", "resource": "/users", "query": {"page": 1}},
            ],
        }
    ],
}
EVERYTHING = [
    "product", "envs.dev", "envs.prd", "secrets.TOKEN.envs.prd", "secrets.TOKEN.envs.dev", "secrets.ALL", "apps.mail",
    "apps.mail.envs.prd", "apps.mail.envs.dev", "apps.mail.events.send", "apps.mail.events.list",
]  # fmt: skip


@pytest.fixture(autouse=True)
def _here(settings: Settings) -> Iterator[None]:
    settings.OPERATOR_API_KEY = OPERATOR
    forget_everything()
    yield
    forget_everything()


def put(
    document: Any, query: str = "", *, key: str = OPERATOR, tag: str = "shop", content_type: str = "application/json"
) -> Any:
    data = document if isinstance(document, (str, bytes)) else json.dumps(document)
    return Client(raise_request_exception=False).put(
        f"/v1/products/{tag}/catalog{query}",
        data=data,
        content_type=content_type,
        headers={"Authorization": f"Bearer {key}"},
    )


EMPTY = [(b"", "application/json"), ("{}", "application/json"), (b"", "application/yaml"), ("{}", "application/yaml")]


@pytest.mark.parametrize(("body", "content_type"), EMPTY)
def test_an_empty_document_makes_no_product_and_prunes_none(body: Any, content_type: str) -> None:
    assert put(body, content_type=content_type).status_code == 400
    assert not Product.objects.exists()

    put(DOCUMENT)
    assert put(body, "?prune=true", content_type=content_type).json()["code"] in ("nothing_to_change", "malformed_body")
    assert Component.objects.count() == 1


def get(url: str = "/v1/products/shop/catalog", *, key: str = OPERATOR) -> Any:
    return Client().get(url, headers={"Authorization": f"Bearer {key}"})


def without(document: dict[str, Any], *path: Any) -> dict[str, Any]:
    changed = copy.deepcopy(document)
    holder: Any = changed
    for step in path[:-1]:
        holder = holder[step]
    del holder[path[-1]]
    return changed


def counts() -> tuple[int, ...]:
    return tuple(model.objects.count() for model in (Product, Environment, Secret, Component, Connection, SavedEvent))


def test_a_document_creates_the_product_and_says_what_it_made() -> None:
    response = put(DOCUMENT)

    assert response.status_code == 200
    assert response.json() == {"created": EVERYTHING, "updated": [], "removed": [], "unchanged": 0, "dry_run": False}
    assert counts() == (1, 2, 3, 1, 2, 2)


def test_the_same_document_again_changes_nothing() -> None:
    put(DOCUMENT)

    assert put(DOCUMENT).json() == {
        "created": [], "updated": [], "removed": [], "unchanged": len(EVERYTHING), "dry_run": False,
    }  # fmt: skip


def test_an_export_shows_no_secret_and_stores_as_nothing_new() -> None:
    put(DOCUMENT)

    exported = get()

    for secret in ("live-token", "test-token", "everywhere", "pw-literal"):
        assert secret not in exported.content.decode()
    (mail,) = exported.json()["apps"]
    assert mail["auth"] == {"type": "bearer", "token": "$Secret{TOKEN}"}
    assert mail["envs"]["dev"]["auth"] == {"type": "basic", "username": "u", "password": {"set": True}}
    assert exported.json()["secrets"] == [
        {"key": "ALL", "value": {"set": True}},
        {"key": "TOKEN", "envs": {"prd": {"set": True}, "dev": {"set": True}}},
    ]
    again = put(exported.json(), "?prune=true").json()
    assert (again["created"], again["updated"], again["removed"]) == ([], [], [])
    assert get().json() == exported.json()


def test_secrets_are_sealed_and_bound_to_their_place() -> None:
    put(DOCUMENT)

    prd = Secret.objects.get(key="TOKEN", environment__slug="prd")
    dev = Secret.objects.get(key="TOKEN", environment__slug="dev")
    assert "live-token" not in prd.value
    assert crypto.unseal(prd.value, prd.place) == "live-token"
    with pytest.raises(crypto.CannotOpen):
        crypto.unseal(prd.value, dev.place)


def test_a_dry_run_answers_the_same_and_stores_nothing() -> None:
    response = put(DOCUMENT, "?dry_run=true").json()

    assert response["created"] == EVERYTHING
    assert response["dry_run"] is True
    assert counts() == (0, 0, 0, 0, 0, 0)


def test_a_parameter_given_twice_is_refused() -> None:
    response = put(DOCUMENT, "?dry_run=true&dry_run=false")
    assert response.status_code == 400
    assert [(error["field"], error["code"]) for error in response.json()["errors"]] == [("dry_run", "duplicate")]


def test_what_is_not_named_stays_unless_pruned() -> None:
    put(DOCUMENT)
    less = without(without(without(DOCUMENT, "apps", 0, "events", 1), "apps", 0, "envs", "dev"), "secrets", 1)

    assert put(less).json()["removed"] == []
    assert put(less, "?prune=true").json()["removed"] == ["secrets.ALL", "apps.mail.envs.dev", "apps.mail.events.list"]
    assert counts() == (1, 2, 2, 1, 1, 1)
    assert put({"envs": [{"slug": "prd"}]}, "?prune=true").json()["removed"] == [
        "secrets.TOKEN.envs.prd", "secrets.TOKEN.envs.dev", "apps.mail", "envs.dev",
    ]  # fmt: skip


def test_a_change_is_told_where_it_is() -> None:
    put(DOCUMENT)
    changed = copy.deepcopy(DOCUMENT)
    changed["name"] = "New shop"
    changed["envs"][0]["name"] = "Dev"
    changed["secrets"][0]["envs"]["prd"] = "newer-token"
    changed["apps"][0]["timeout"] = 5
    changed["apps"][0]["envs"]["dev"]["auth"]["password"] = "newer"
    changed["apps"][0]["events"][1]["query"] = {"page": 2}

    assert put(changed).json()["updated"] == [
        "product", "envs.dev", "secrets.TOKEN.envs.prd", "apps.mail", "apps.mail.envs.dev", "apps.mail.events.list",
    ]  # fmt: skip


def test_a_marker_without_a_stored_secret_is_refused() -> None:
    marked = {
        "secrets": [{"key": "A", "value": {"set": True}}],
        "apps": [{"tag": "a", "auth": {"type": "bearer", "token": {"set": True}}}],
    }

    response = put(marked)

    assert response.status_code == 400
    assert [(error["field"], error["code"]) for error in response.json()["errors"]] == [
        ("secrets.0.value", "not_set"),
        ("apps.0.auth.token", "not_set"),
    ]
    assert counts() == (0, 0, 0, 0, 0, 0)


def test_all_or_nothing_is_stored() -> None:
    wrong = copy.deepcopy(DOCUMENT)
    wrong["apps"][0]["envs"]["stg"] = {"base_url": "https://x.example"}

    response = put(wrong)

    assert response.status_code == 400
    assert response.json()["errors"] == [
        {
            "field": "apps.0.envs.stg",
            "code": "env_not_found",
            "detail": "product 'shop' has no environment 'stg': add it to envs",
        }
    ]
    assert counts() == (0, 0, 0, 0, 0, 0)


def test_yaml_is_the_same_document() -> None:
    response = put(yaml.safe_dump(DOCUMENT, sort_keys=False), content_type="application/yaml")

    assert (response.status_code, response.json()["created"]) == (200, EVERYTHING)
    assert put(DOCUMENT).json()["unchanged"] == len(EVERYTHING)


@pytest.mark.parametrize(
    "text",
    [
        "a: [", "- 1", "just text", "envs: &e [{slug: prd}]\nsecrets: *e", "1: 2", "no: 1", "name: a\nname: b", "name: .inf",
        "!!python/object/apply:os.system ['true']", "name: \"\\0\"", "{" * 5000, "[" * 5000, "a: " * 3, "--- 1\n--- 2", "\t",
    ],
    ids=repr,
)  # fmt: skip
def test_bad_yaml_is_400(text: str) -> None:
    assert put(text[:200_000], content_type="application/yaml").status_code == 400


def test_a_document_too_long_for_yaml_is_stored_as_json() -> None:
    document = {**DOCUMENT, "apps": [{**DOCUMENT["apps"][0], "constants": {f"K{n}": "x" * 9_000 for n in range(120)}}]}
    assert len(json.dumps(document)) > YAML_LIMIT_BYTES

    refused = put(document, content_type="application/yaml")

    assert (refused.status_code, refused.json()["code"]) == (413, "too_large")
    assert "the most for YAML: send it as JSON (application/json), which may have 10485760" in refused.json()["detail"]
    assert put(document).status_code == 200


@pytest.mark.parametrize("page", ["actions.md", "api-errors.md"])
def test_the_limit_of_yaml_is_told(page: str) -> None:
    assert YAML_LIMIT_BYTES == 1024 * 1024
    told = (settings.BASE_DIR / "docs" / page).read_text()
    assert any("YAML" in line and "1 MiB" in line for line in told.splitlines())


def test_a_date_in_yaml_is_text() -> None:
    assert put("name: 2025-01-01\n", content_type="text/yaml").status_code == 200
    assert get().json()["name"] == "2025-01-01"


def test_unknown_query_parameters_and_flags_are_refused() -> None:
    assert put(DOCUMENT, "?dryrun=true").status_code == 400
    assert "did you mean 'dry_run'" in put(DOCUMENT, "?dryrun=true").json()["detail"]
    assert put(DOCUMENT, "?prune=maybe").status_code == 400


def test_products_and_environments_are_listed() -> None:
    put(DOCUMENT)

    (product,) = get("/v1/products").json()["products"]
    assert (product["tag"], product["name"]) == ("shop", "Shop")
    assert [env["slug"] for env in get("/v1/products/shop/envs").json()["envs"]] == ["dev", "prd"]


def test_a_stranger_sees_and_changes_nothing() -> None:
    put(DOCUMENT)
    stranger = keys.create(name="s", product=Product.objects.create(tag="other", name="Other")).text
    before = get().json()

    assert get(key=stranger).status_code == 404
    assert get("/v1/products/shop/envs", key=stranger).status_code == 404
    assert put({"name": "mine"}, key=stranger).status_code == 404
    assert put({"name": "mine"}, key=stranger, tag="a-new-one").status_code == 404
    assert [product["tag"] for product in get("/v1/products", key=stranger).json()["products"]] == ["other"]
    assert get().json() == before


def test_a_product_key_writes_its_own_and_a_limited_one_reads_its_part() -> None:
    put(DOCUMENT)
    shop = Product.objects.get(tag="shop")
    own = keys.create(name="o", product=shop).text
    limited = keys.create(name="l", product=shop, environments=[shop.environments.get(slug="dev")]).text
    reader = keys.create(name="r", product=shop, scopes=[scopes.CATALOG_READ]).text

    assert put(DOCUMENT, key=own).json()["unchanged"] == len(EVERYTHING)
    assert put(DOCUMENT, key=limited).status_code == 403
    assert put(DOCUMENT, key=reader).status_code == 403
    seen = get(key=limited).json()
    assert [env["slug"] for env in seen["envs"]] == ["dev"]
    assert list(seen["apps"][0]["envs"]) == ["dev"]
    assert seen["secrets"] == [{"key": "ALL", "value": {"set": True}}, {"key": "TOKEN", "envs": {"dev": {"set": True}}}]


@pytest.mark.parametrize("tag", ["a%00b", "a b", "%E2%82%AC", "x" * 200, "-"])
def test_an_impossible_tag_is_a_clear_answer(tag: str) -> None:
    assert put({}, tag=tag).status_code in (400, 404)
    assert get(f"/v1/products/{tag}/catalog").status_code == 404


def test_who_stored_what_is_noted_without_values_and_a_dry_run_is_not() -> None:
    put(DOCUMENT, "?dry_run=true")
    assert not AuditEntry.objects.exists()

    put(DOCUMENT)
    put(DOCUMENT)  # nothing changed

    (entry,) = AuditEntry.objects.all()
    assert (entry.actor, entry.action, entry.object) == ("operator", "catalog.stored", "shop")
    assert "live-token" not in str(entry.detail)
    assert "apps.mail" in str(entry.detail)
