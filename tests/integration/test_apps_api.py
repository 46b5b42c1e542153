"""Apps and secrets one at a time: written as small documents, answered without secrets, closed to strangers."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from django.test import Client
from pytest_django import Settings

from core.shortcache import forget_everything
from core.tenancy import keys, scopes
from core.tenancy.models import Environment, Product
from executors.catalog import document
from executors.catalog.schema import read_document
from jobs.lifecycle import intervene
from jobs.models import Job
from tests.conformance.world import claim_one, complete, new_job
from tests.servers.receiver import Answer, Receiver

pytestmark = pytest.mark.django_db

OPERATOR = "operator-key-of-at-least-32-characters"
BASE = "/v1/products/shop"
APP: dict[str, Any] = {
    "tag": "mail",
    "name": "Mail",
    "auth": {"type": "bearer", "token": "literal-token"},
    "envs": {"prd": {"base_url": "https://mail.example"}},
    "events": [{"tag": "send", "method": "POST", "resource": "/send"}],
}
PATHS = [
    ("GET", "/apps/mail/events/send"), ("GET", "/apps"), ("POST", "/apps"), ("GET", "/apps/mail"), ("PATCH", "/apps/mail"), ("DELETE", "/apps/mail"),
    ("PUT", "/apps/mail/envs/prd"), ("DELETE", "/apps/mail/envs/prd"), ("GET", "/apps/mail/events"),
    ("POST", "/apps/mail/events"), ("PUT", "/apps/mail/events/send"), ("DELETE", "/apps/mail/events/send"), ("GET", "/apps/mail/check?env=prd"),
    ("GET", "/secrets"), ("POST", "/secrets"), ("DELETE", "/secrets/KEY"),
]  # fmt: skip


@pytest.fixture(autouse=True)
def _here(settings: Settings) -> Iterator[None]:
    settings.OPERATOR_API_KEY = OPERATOR
    forget_everything()
    written = {
        "envs": [{"slug": "dev"}, {"slug": "prd"}],
        "apps": [APP],
        "secrets": [{"key": "KEY", "value": "s3cret"}],
    }
    document.store("shop", read_document(written, "shop"))
    yield
    forget_everything()


def call(method: str, path: str, body: Any = None, *, key: str = OPERATOR, match: str | None = None) -> Any:
    headers = {"Authorization": f"Bearer {key}", **({"If-Match": match} if match is not None else {})}
    return Client(raise_request_exception=False).generic(
        method, BASE + path, data=json.dumps(body or {}) if method in ("POST", "PUT", "PATCH") else "",
        content_type="application/json", headers=headers,
    )  # fmt: skip


def app() -> dict[str, Any]:
    found: dict[str, Any] = call("GET", "/apps/mail").json()
    return found


def test_an_app_is_made_read_changed_and_removed() -> None:
    made = call("POST", "/apps", {"tag": "pay", "envs": {"dev": {"base_url": "http://127.0.0.1:9"}}})
    assert (made.status_code, made.json()["tag"], list(made.json()["envs"])) == (201, "pay", ["dev"])
    assert call("POST", "/apps", {"tag": "pay"}).status_code == 409

    changed = call("PATCH", "/apps/mail", {"timeout": 500})
    assert changed.status_code == 200
    expected = {**APP, "timeout": 500, "auth": {"type": "bearer", "token": {"set": True}}}
    assert changed.json() == expected
    assert "timeout" not in call("PATCH", "/apps/mail", {"timeout": None}).json()

    assert [entry["tag"] for entry in call("GET", "/apps").json()["apps"]] == ["mail", "pay"]
    assert call("DELETE", "/apps/pay").status_code == 204
    assert call("GET", "/apps/pay").status_code == 404


def test_a_connection_is_set_and_removed() -> None:
    given = {"base_url": "https://dev.example", "auth": {"type": "basic", "username": "u", "password": "pw-literal"}}
    stored = call("PUT", "/apps/mail/envs/dev", given)

    assert stored.json() == {
        "base_url": "https://dev.example",
        "auth": {"type": "basic", "username": "u", "password": {"set": True}},
    }
    assert app()["auth"]["token"] == {"set": True}
    assert list(app()["envs"]) == ["dev", "prd"]
    assert call("DELETE", "/apps/mail/envs/dev").status_code == 204
    assert call("DELETE", "/apps/mail/envs/dev").status_code == 404
    assert list(app()["envs"]) == ["prd"]


def test_an_event_is_stored_and_removed() -> None:
    stored = call("POST", "/apps/mail/events", {"tag": "list", "resource": "/list"})

    assert (stored.status_code, stored.json()) == (201, {"tag": "list", "method": "GET", "resource": "/list"})
    assert [event["tag"] for event in call("GET", "/apps/mail/events").json()["events"]] == ["list", "send"]
    assert call("DELETE", "/apps/mail/events/list").status_code == 204
    assert call("DELETE", "/apps/mail/events/list").status_code == 404


def test_an_event_that_is_there_is_replaced_by_put_only() -> None:
    again = call("POST", "/apps/mail/events", {"tag": "send", "resource": "/other"})
    assert (again.status_code, again.json()["code"]) == (409, "exists")
    assert app()["events"] == APP["events"]

    replaced = call("PUT", "/apps/mail/events/send", {"tag": "send", "resource": "/other"})
    assert (replaced.status_code, replaced.json()) == (200, {"tag": "send", "method": "GET", "resource": "/other"})
    assert call("PUT", "/apps/mail/events/new", {"resource": "/new"}).json()["tag"] == "new"
    assert [event["tag"] for event in app()["events"]] == ["new", "send"]


def test_what_the_address_names_and_is_not_there_is_a_404() -> None:
    for method, path, code in (
        ("PUT", "/apps/mail/envs/nope", "env_not_found"),
        ("PUT", "/apps/nope/envs/prd", "app_not_found"),
        ("PUT", "/apps/nope/events/send", "app_not_found"),
        ("GET", "/apps/mail/check?env=nope", "env_not_found"),
    ):
        answer = call(method, path, {"base_url": "http://x", "resource": "/x"})
        assert (answer.status_code, answer.json()["code"]) == (404, code), path


def needing(status: str = "scheduled", *, env: str = "prd", product: str = "shop", **target: str) -> Job:
    """A job that needs the app `mail`, in that state."""
    environment = Environment.objects.get(product__tag=product, slug=env)
    place = {"product_id": environment.product_id, "environment_id": environment.pk}
    recurring = {"every": 60_000} if status == "paused" else {}
    schedule = {**recurring, "start_at": "2100-01-01T00:00:00Z"} if status in ("scheduled", "paused") else None
    job = new_job(schedule, **place, namespace="actions", target={"app": "mail", "event": "send", **target})
    if status in ("running", "completed"):
        taken = claim_one(job)
    if status == "completed":
        complete(taken)
    if status == "paused":
        intervene.pause(job.pk)
    job.refresh_from_db()
    assert job.status == status
    return job


@pytest.mark.parametrize("status", ["scheduled", "queued", "running", "paused"])
@pytest.mark.parametrize("path", ["/apps/mail", "/apps/mail/envs/prd", "/apps/mail/events/send"])
def test_what_an_unfinished_job_needs_is_removed_by_force_only(status: str, path: str) -> None:
    needing(status)
    before = app()

    refused = call("DELETE", path)

    assert (refused.status_code, refused.json()["code"], refused.json()["jobs"]) == (409, "in_use", 1)
    assert app() == before
    assert call("DELETE", f"{path}?force=maybe").status_code == 400
    assert call("DELETE", f"{path}?force=true").status_code == 204
    assert call("GET", "/apps/mail").json() != before


def test_jobs_that_are_done_or_need_something_else_hinder_nobody() -> None:
    document.store("other", read_document({"envs": [{"slug": "prd"}], "apps": [APP]}, "other"))
    call("PUT", "/apps/mail/envs/dev", {"base_url": "http://x"})
    call("PUT", "/apps/mail/events/list", {"resource": "/list"})
    needing("completed")
    needing(env="dev", event="list")
    needing(product="other")
    needing(app="pay")

    assert call("DELETE", "/apps/mail/envs/prd").status_code == 204
    assert call("DELETE", "/apps/mail/events/send").status_code == 204
    assert call("DELETE", "/apps/mail/events/list").json()["jobs"] == 1
    assert call("DELETE", "/apps/mail/envs/dev").json()["jobs"] == 1


def test_an_event_is_needed_in_whatever_way_it_is_spelled() -> None:
    needing()
    needing(event="mail:send")

    assert (
        "2 unfinished jobs need event 'send' of app 'mail'" in call("DELETE", "/apps/mail/events/send").json()["detail"]
    )


def test_a_document_prunes_what_jobs_need_by_force_only() -> None:
    needing()
    written = {"envs": [{"slug": "dev"}, {"slug": "prd"}]}

    for query in ("?prune=true", "?prune=true&dry_run=true"):
        refused = call("PUT", f"/catalog{query}", written)
        assert (refused.status_code, [error["field"] for error in refused.json()["errors"]]) == (409, ["apps.mail"])
    assert app()["tag"] == "mail"
    assert call("PUT", "/catalog?prune=true&force=true", written).json()["removed"] == ["secrets.KEY", "apps.mail"]


def test_a_secret_goes_in_and_never_comes_out() -> None:
    stored = call("POST", "/secrets", {"key": "KEY", "envs": {"prd": "live"}})

    assert stored.json() == {"key": "KEY", "value": {"set": True}, "envs": {"prd": {"set": True}}}
    assert call("DELETE", "/secrets/KEY?env=prd").status_code == 204
    assert call("DELETE", "/secrets/KEY?env=prd").status_code == 404
    assert call("GET", "/secrets").json() == {"secrets": [{"key": "KEY", "value": {"set": True}}]}
    assert call("DELETE", "/secrets/KEY").status_code == 204
    assert call("GET", "/secrets").json() == {"secrets": []}


@pytest.mark.parametrize(
    ("method", "path", "body", "field", "code"),
    [
        ("POST", "/apps", {"name": "x"}, "tag", "required"),
        ("POST", "/apps", {"tag": "x", "evnts": []}, "evnts", "unknown_field"),
        ("PATCH", "/apps/mail", {"tag": "other"}, "tag", "invalid"),
        ("PATCH", "/apps/mail", {"timeout": 0}, "timeout", "invalid"),
        ("PUT", "/apps/mail/envs/prd", {}, "base_url", "required"),
        ("PUT", "/apps/mail/events/send", {"tag": "other", "resource": "/x"}, "tag", "invalid"),
        ("PUT", "/apps/mail/events/send", {"resource": "http://evil/x"}, "resource", "invalid"),
        ("POST", "/apps/mail/events", {"tag": "x"}, "resource", "required"),
        ("POST", "/secrets", {"key": "a b", "value": "text"}, "key", "invalid"),
        ("GET", "/apps/mail/check", None, "env", "required"),
    ],
)
def test_a_mistake_is_told_at_the_field_that_was_sent(method: str, path: str, body: Any, field: str, code: str) -> None:
    answer = call(method, path, body)

    assert answer.status_code == 400
    assert [(error["field"], error["code"]) for error in answer.json()["errors"]] == [(field, code)]


@pytest.mark.parametrize(("status", "ok"), [(200, True), (401, False)])
def test_a_connection_is_tried_for_real(status: int, ok: bool) -> None:
    with Receiver() as receiver:
        receiver.answer("/", Answer(status=status))
        call("PUT", "/apps/mail/envs/dev", {"base_url": receiver.url})
        answer = call("GET", "/apps/mail/check?env=dev").json()
        (request,) = receiver.requests

    assert (answer["ok"], answer["status"]) == (ok, status)
    assert request.headers["authorization"] == "Bearer literal-token"


@pytest.mark.parametrize(("method", "path"), PATHS)
def test_a_stranger_finds_nothing_and_a_reader_writes_nothing(method: str, path: str) -> None:
    stranger = keys.create(name="s", product=Product.objects.create(tag="other", name="Other")).text
    reader = keys.create(name="r", product=Product.objects.get(tag="shop"), scopes=[scopes.CATALOG_READ]).text
    before = (app(), call("GET", "/secrets").json())
    body = {"tag": "x", "key": "X", "value": "y", "base_url": "http://x"}

    assert call(method, path, body, key=stranger).status_code == 404
    allowed = method == "GET" and "check" not in path
    assert call(method, path, body, key=reader).status_code == (200 if allowed else 403)
    assert (app(), call("GET", "/secrets").json()) == before


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("PATCH", "/apps/mail", {"timeout": 5}),
        ("DELETE", "/apps/mail", None),
        ("PUT", "/apps/mail/envs/prd", {"base_url": "https://other.example"}),
        ("DELETE", "/apps/mail/envs/prd", None),
        ("PUT", "/apps/mail/events/send", {"resource": "/other"}),
        ("DELETE", "/apps/mail/events/send", None),
    ],
)
def test_who_read_another_version_than_is_there_changes_nothing(method: str, path: str, body: Any) -> None:
    read = call("GET", "/apps/mail")["ETag"]
    assert call("PATCH", "/apps/mail", {"auth": {"type": "bearer", "token": "another"}}).status_code == 200
    before = app()
    refused = call(method, path, body, match=read)
    assert (refused.status_code, refused.json()["code"]) == (412, "changed_meanwhile")
    assert app() == before
    now = call("GET", "/apps/mail")["ETag"]
    assert now != read  # only a secret was changed
    assert call(method, path, body, match=now).status_code in (200, 204)


def test_a_change_answers_the_etag_of_what_it_made() -> None:
    first = call("PATCH", "/apps/mail", {"timeout": 5}, match="*")
    second = call("PATCH", "/apps/mail", {"timeout": 6}, match=f'"older", {first["ETag"]}')
    assert second.status_code == 200
    assert second["ETag"] == call("GET", "/apps/mail")["ETag"]
