"""What unfinished jobs need is not removed: directly, through the steps of their features, through references."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest
from pytest_django import Settings

from core.shortcache import forget_everything
from core.tenancy.models import AuditEntry, Environment
from executors.catalog import document, kinds, removing, sealed
from executors.catalog.models import Component
from executors.catalog.schema import read_document
from executors.providers.feature.needing import named_feature, steps_of, with_features
from jobs import uses
from jobs.models import Job
from tests.conformance.world import claim_one, complete, new_job
from tests.integration.test_apps_api import OPERATOR, call

pytestmark = pytest.mark.django_db

LATER = {"start_at": "2100-01-01T00:00:00Z"}
CATALOG: dict[str, Any] = {
    "envs": [{"slug": "dev"}, {"slug": "prd"}],
    "secrets": [
        {"key": "OF_APP", "value": "aaaa"}, {"key": "OF_EVENT", "value": "bbbb"}, {"key": "OF_DB", "value": "cccc"},
        {"key": "OF_VARIABLE", "value": "dddd"}, {"key": "OF_CONSTANT", "value": "eeee"}, {"key": "OF_STEP", "value": "ffff"},
        {"key": "OF_INPUT", "value": "gggg", "envs": {"dev": "hhhh"}}, {"key": "NOBODYS", "value": "iiii"},
        {"key": "SEALED", "value": "jjjj"},
    ],
    "apps": [
        {
            "tag": "mail",
            "auth": {"type": "bearer", "token": "$Secret{OF_APP}"},
            "variables": [{"key": "V", "type": "string", "default": "$Secret{OF_VARIABLE}"}],
            "constants": [{"key": "C", "type": "string", "value": "$Secret{OF_CONSTANT}"}],
            "envs": {"prd": {"base_url": "https://mail.example"}, "dev": {"base_url": "https://dev.example"}},
            "events": [
                {"tag": "send", "method": "POST", "resource": "/send"},
                {"tag": "list", "resource": "/list", "headers": {"x-key": "$Secret{OF_EVENT}"}},
            ],
        },
    ],
    "databases": [
        {
            "tag": "db", "type": "postgresql",
            "envs": {"prd": {"connection_url": "postgresql://u:p-$Secret{SEALED}@db.example/d"},
                     "dev": {"connection_url": "$Secret{OF_DB}"}},
        },
    ],
    "brokers": [{"tag": "main", "type": "redis", "envs": {"prd": {"url": "redis://r.example"}}, "topics": [{"tag": "t"}, {"tag": "u"}]}],
    "features": [
        {"tag": "inner", "steps": [
            {"tag": "a", "type": "action", "app": "mail", "event": "mail:send", "input": {"body": {"k": "$Secret{OF_STEP}"}}},
            {"tag": "p", "type": "publish", "broker": "main", "event": "t"},
        ]},
        {"tag": "outer", "steps": [
            {"tag": "i", "type": "feature", "feature": "inner"},
            {"tag": "d", "type": "database", "database": "db", "operation": "query", "input": {"table": "x"}},
        ]},
        {"tag": "outermost", "steps": [{"tag": "o", "type": "feature", "feature": "outer"}]},
        {"tag": "other", "steps": [{"tag": "l", "type": "action", "app": "mail", "event": "list"}]},
    ],
}  # fmt: skip


@pytest.fixture(autouse=True)
def _here(settings: Settings) -> Iterator[None]:
    settings.OPERATOR_API_KEY = OPERATOR
    forget_everything()
    document.store("shop", read_document(CATALOG, "shop"))
    yield
    forget_everything()


def job(namespace: str, target: dict[str, str], *, env: str = "prd", schedule: Any = LATER, **changes: Any) -> Job:
    place = Environment.objects.get(product__tag="shop", slug=env)
    where = {"product_id": place.product_id, "environment_id": place.pk}
    return new_job(schedule, **where, namespace=namespace, target=target, **changes)


def feature(tag: str, **changes: Any) -> Job:
    return job("features", {"tag": tag}, **changes)


def action(event: str = "send", **changes: Any) -> Job:
    return job("actions", {"app": "mail", "event": event}, **changes)


def removed(path: str) -> tuple[int, int | None]:
    """The status of a DELETE, and how many jobs it told."""
    answer = call("DELETE", path)
    return answer.status_code, answer.json()["jobs"] if answer.status_code == 409 else None


def pruned(without: str, tag: str) -> Any:
    """The catalog without one entry, as a document that prunes."""
    whole = call("GET", "/catalog").json()
    whole[without] = [
        entry for entry in whole[without] if tag not in (entry.get(name) for name in ("tag", "key", "slug"))
    ]
    return call("PUT", "/catalog?prune=true", whole)


NEEDED_BY_OUTERMOST = [
    "/apps/mail", "/apps/mail/envs/prd", "/apps/mail/events/send", "/brokers/main", "/brokers/main/events/t",
    "/databases/db", "/databases/db/envs/prd", "/features/inner", "/features/outer", "/features/outermost",
]  # fmt: skip


@pytest.mark.parametrize("path", NEEDED_BY_OUTERMOST)
@pytest.mark.parametrize("tag", ["outermost", "outer"])
def test_what_a_step_needs_in_whatever_depth_is_removed_by_force_only(path: str, tag: str) -> None:
    feature(tag)
    expected = (204, None) if (path, tag) == ("/features/outermost", "outer") else (409, 1)
    assert removed(path) == expected
    if expected[0] == 409:
        assert call("GET", path.replace("/envs/prd", "")).status_code == 200
        assert call("DELETE", f"{path}?force=true").status_code == 204


@pytest.mark.parametrize(
    "path",
    ["/apps/mail/envs/dev", "/apps/mail/events/list", "/brokers/main/events/u", "/features/other"],
)
def test_what_no_step_of_the_feature_needs_there_is_removed(path: str) -> None:
    feature("outermost")
    assert removed(path) == (204, None)


def test_jobs_and_jobs_of_features_are_counted_together() -> None:
    action()
    for tag in ("inner", "outer", "outermost", "other"):
        feature(tag)
    assert removed("/apps/mail/events/send") == (409, 4)
    assert removed("/apps/mail/events/list") == (409, 1)
    assert removed("/apps/mail") == (409, 5)


def test_features_whose_jobs_have_ended_need_nothing() -> None:
    complete(claim_one(feature("outermost", schedule=None)))
    assert removed("/apps/mail/events/send") == (204, None)


def test_a_document_does_not_prune_what_a_step_needs() -> None:
    feature("outer")
    refused = pruned("apps", "mail")
    assert (refused.status_code, refused.json()["code"], refused.json()["jobs"]) == (409, "in_use", 1)
    assert [error["field"] for error in refused.json()["errors"]] == ["apps.mail"]


def test_what_a_document_takes_from_its_features_can_go_with_it() -> None:
    feature("inner")
    whole = call("GET", "/catalog").json()
    whole["apps"][0]["events"] = [event for event in whole["apps"][0]["events"] if event["tag"] != "send"]
    inner = next(entry for entry in whole["features"] if entry["tag"] == "inner")
    inner["steps"] = [step for step in inner["steps"] if step["tag"] != "a"]
    stored = call("PUT", "/catalog?prune=true", whole)
    assert (stored.status_code, stored.json()["removed"]) == (200, ["apps.mail.events.send"])


def test_features_that_run_each_other_in_a_circle_are_followed_once() -> None:
    step = {"tag": "s", "type": "feature"}
    steps = steps_of({"a": {"steps": [{**step, "feature": "b"}]}, "b": {"steps": [{**step, "feature": "a"}]}})
    assert {named.tag for named in with_features([named_feature("a")], steps)} == {"a", "b"}


@pytest.mark.parametrize(
    ("key", "made"),
    [
        ("OF_APP", lambda: action()),
        ("OF_EVENT", lambda: action("list")),
        ("OF_EVENT", lambda: feature("other")),
        ("OF_APP", lambda: feature("outermost")),
        ("OF_STEP", lambda: feature("outermost")),
        ("OF_STEP", lambda: feature("inner")),
        ("SEALED", lambda: job("databases", {"database": "db", "operation": "query"})),
        ("OF_DB", lambda: job("databases", {"database": "db", "operation": "query"}, env="dev")),
        ("OF_INPUT", lambda: action(input={"body": {"a": ["$Trim('x' )", {"b": "Bearer $Secret{OF_INPUT}"}]}})),
        ("OF_INPUT", lambda: action(input={"body": {"a": "$Concat([$Secret{OF_INPUT}, 'x'], '')"}})),
        ("OF_VARIABLE", lambda: action(input={"body": {"a": "$Variable{mail}{V}"}})),
        ("OF_CONSTANT", lambda: feature("other", input={"a": "$Constant{mail}{C}"})),
    ],
)
def test_a_secret_that_an_unfinished_job_comes_to_use_is_removed_by_force_only(key: str, made: Any) -> None:
    made()
    assert removed(f"/secrets/{key}") == (409, 1)
    assert pruned("secrets", key).json()["errors"][0]["field"] == f"secrets.{key}"
    assert call("DELETE", f"/secrets/{key}?force=true").status_code == 204


@pytest.mark.parametrize(
    ("key", "made"),
    [
        ("NOBODYS", lambda: action(input={"body": {"a": "$Secret{OF_INPUT} NOBODYS"}})),
        ("OF_EVENT", lambda: action("send")),
        ("OF_DB", lambda: job("databases", {"database": "db", "operation": "query"})),
        ("OF_VARIABLE", lambda: action()),
        ("OF_INPUT", lambda: action(env="dev", input={"body": {"a": "$Secret{OF_INPUT}"}})),
        ("OF_INPUT", lambda: action(input={"body": {"a": "$$Secret{OF_INPUT}"}})),
        ("OF_APP", lambda: complete(claim_one(action(schedule=None)))),
    ],
)
def test_a_secret_that_no_unfinished_job_uses_is_removed(key: str, made: Any) -> None:
    made()
    assert removed(f"/secrets/{key}") == (204, None)


def test_what_is_sealed_is_opened_no_oftener_for_many_secrets_that_go(monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[str] = []
    real = sealed.open_sealed

    def counted(row: Any) -> dict[str, str]:
        opened.append(str(row))
        return real(row)

    monkeypatch.setattr(removing, "open_sealed", counted)
    kept = {**CATALOG, "secrets": [], "apps": [], "databases": [], "brokers": [], "features": []}
    kept["databases"] = [{**CATALOG["databases"][0], "envs": {}}]

    assert call("PUT", "/catalog?prune=true&dry_run=true", kept).status_code == 200
    assert max(Counter(opened).values()) == 2  # before anything goes, and what is left then


def test_a_value_of_one_environment_is_needed_by_the_jobs_in_it() -> None:
    used = {"body": {"a": "$Secret{OF_INPUT}"}}
    action(env="dev", input=used)
    for _ in range(2):
        action(env="prd", input=used)
    assert removed("/secrets/OF_INPUT?env=dev") == (409, 1)
    assert removed("/secrets/OF_INPUT") == (409, 2)


def test_however_many_jobs_refer_to_something_else_the_one_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(uses, "MOST_OPENED", 1)
    for _ in range(3):
        action(input={"body": {"a": "$Secret{OF_INPUT}", "b": "NOBODYS"}})
    assert removed("/secrets/OF_INPUT") == (409, 2)  # so many and one more
    action(input={"body": {"a": "$Secret{NOBODYS}"}})
    assert removed("/secrets/NOBODYS") == (409, 1)


def test_a_job_that_needs_a_secret_twice_is_one() -> None:
    action("list", input={"body": {"a": "$Secret{OF_EVENT}", "b": "$Secret{OF_APP}"}})
    assert removed("/secrets/OF_EVENT") == (409, 1)
    assert removed("/secrets/OF_APP") == (409, 1)


VARIABLE, CONSTANT = {"body": {"a": "$Variable{mail}{V}"}}, {"body": {"a": "$Constant{mail}{C}"}}
CHANGES = [
    ("PATCH", "/apps/mail", {"variables": None}, VARIABLE, "apps.mail.variables.V"),
    ("PATCH", "/apps/mail", {"constants": None}, CONSTANT, "apps.mail.constants.C"),
    ("PATCH", "/apps/mail", {"constants": [{"key": "D", "type": "string", "value": "x"}]}, CONSTANT, "apps.mail.constants.C"),
    ("PUT", "/catalog", {"apps": [{"tag": "mail"}]}, CONSTANT, "apps.mail.constants.C"),
]  # fmt: skip


@pytest.mark.parametrize(("method", "path", "body", "input", "field"), CHANGES)
def test_a_variable_or_constant_that_an_unfinished_job_uses_is_taken_away_by_force_only(
    method: str, path: str, body: Any, input: Any, field: str
) -> None:
    job("events", {"broker": "main", "event": "t"}, input=input)
    before = call("GET", "/catalog").json()

    refused = call(method, path, body)

    assert (refused.status_code, refused.json()["code"], refused.json()["jobs"]) == (409, "in_use", 1)
    assert [error["field"] for error in refused.json()["errors"]] == [field]
    assert call("GET", "/catalog").json() == before
    assert call(method, f"{path}?force=true", body).status_code == 200


def test_what_an_app_holds_for_a_job_of_another_component_goes_with_it_by_force_only() -> None:
    job("events", {"broker": "main", "event": "t"}, input=CONSTANT)
    assert removed("/apps/mail/envs/prd") == (204, None)
    refused = call("DELETE", "/apps/mail")
    assert (refused.status_code, refused.json()["jobs"]) == (409, 1)
    assert "an unfinished job needs constant 'C' of app 'mail'" in refused.json()["detail"]
    assert call("DELETE", "/apps/mail?force=true").status_code == 204


def test_a_variable_that_an_environment_sets_goes_with_the_connection_by_force_only() -> None:
    variables = [{"key": "V", "type": "string"}]
    connection = {"base_url": "https://mail.example", "variables": {"V": "x"}}
    assert (
        call(
            "PATCH", "/apps/mail", {"variables": variables, "envs": {"prd": connection, "dev": connection}}
        ).status_code
        == 200
    )
    job("events", {"broker": "main", "event": "t"}, input=VARIABLE)
    assert removed("/apps/mail/envs/dev") == (204, None)
    assert removed("/apps/mail/envs/prd") == (409, 1)
    without = {"base_url": "https://mail.example"}
    assert call("PUT", "/apps/mail/envs/prd", without).json()["code"] == "in_use"
    assert call("PUT", "/apps/mail/envs/prd?force=true", without).status_code == 200


def test_a_variable_that_keeps_a_value_is_not_lost() -> None:
    job("events", {"broker": "main", "event": "t"}, input=VARIABLE)
    changed = {"variables": [{"key": "V", "type": "string", "default": "other"}], "constants": None}
    assert call("PATCH", "/apps/mail", changed).status_code == 200


def test_environments_and_products_with_jobs_tell_how_many() -> None:
    complete(claim_one(action(schedule=None)))
    action(env="dev")
    action(env="dev")
    one, two, all_of_them = call("DELETE", "/envs/prd"), call("DELETE", "/envs/dev"), call("DELETE", "")
    assert [(each.status_code, each.json()["code"], each.json()["jobs"]) for each in (one, two, all_of_them)] == [
        (409, "in_use", 1),
        (409, "in_use", 2),
        (409, "in_use", 3),
    ]
    assert one.json()["detail"] == "environment 'prd' of product 'shop' still has a job: delete it first"
    refused = pruned("envs", "dev")
    assert (refused.status_code, refused.json()["errors"][0]["field"]) == (409, "envs.dev")


@pytest.mark.parametrize(
    "path",
    ["/apps/mail", "/apps/mail/envs/dev", "/apps/mail/events/list", "/secrets/NOBODYS", "/databases/db", "/caches/c", "/envs/dev"],
)  # fmt: skip
def test_a_part_that_cannot_be_read_here_keeps_no_other_one(path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    document.store("shop", read_document({"caches": [{"tag": "c", "expiry": 1}]}, "shop"))
    broker = kinds.get("broker")
    assert isinstance(broker, kinds.ShapedKind)
    monkeypatch.setitem(broker.drivers, "redis", ("nowhere", "redis"))  # a process without that driver
    Component.objects.filter(tag="db").update(secrets="of another key ring")

    assert call("DELETE", path).status_code == 204

    assert AuditEntry.objects.latest("pk").detail == {"removed": [path[1:].replace("/", ".")]}
    assert call("DELETE", path).status_code == 404


@pytest.mark.parametrize("path", ["/apps/mail/events/x%00", "/apps/mail/envs/x%00", "/secrets/x%00", "/secrets/NOBODYS?env=x%00", "/envs/x%00", "/caches/x%00"])  # fmt: skip
def test_a_name_that_no_database_takes_is_not_found(path: str) -> None:
    assert call("DELETE", path).status_code == 404
