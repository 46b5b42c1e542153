"""What a call does not read is refused, of every operation: `?dry_run=true` where it stands in the body would carry it out."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from django.test import Client
from pytest_django import Settings

from core.ids import encode
from core.shortcache import forget_everything
from jobs.models import Hold, Job, Operation
from tests.conformance.world import fresh, new_job, snapshot
from tests.integration.api import OPERATOR, Api
from tests.integration.tour import CATALOG, SEND

pytestmark = pytest.mark.django_db

PROBES = {"/healthz", "/readyz", "/metrics"}  # whoever asks often adds what keeps caches away


@pytest.fixture(autouse=True)
def _here(settings: Settings) -> Iterator[None]:
    settings.OPERATOR_API_KEY = OPERATOR
    settings.EXTRA_EXECUTORS = {"noop": "tests.acceptance.executors.Echo"}
    forget_everything()
    yield
    forget_everything()


def ids() -> dict[str, str]:
    """What stands in the paths: things that are there."""
    assert Api()("PUT", "/v1/products/shop/catalog", CATALOG).status_code == 200
    job = Api().post("/v1/actions/dispatch", {**SEND, "schedule": {"every": 3_600_000}}).json()
    hook = Api().post("/v1/webhooks", {"url": "https://example.com/", "events": ["*"]}).json()
    Api().post("/v1/jobs/cancel-many", {"env": "prd", "dry_run": True})
    key = Api().post("/v1/keys", {"name": "k", "product": "shop"}).json()
    return {
        "product": "shop", "job_id": job["job_id"], "operation_id": str(Operation.objects.get()), "key_id": str(key["id"]), "tag": "mail",
        "env": "prd", "event": "send", "secret": "KEY", "webhook_id": hook["id"], "delivery_id": "dlv_none",
    }  # fmt: skip


def test_a_parameter_that_a_call_does_not_have_is_named_by_every_operation(described: dict[str, Any]) -> None:
    known = ids()
    asked = 0
    for path, item in described["paths"].items():
        for method in item.keys() & {"get", "post", "put", "patch", "delete"} if path not in PROBES else ():
            answer = Api()(method.upper(), f"{path.format(**known)}?unheard_of=1", {} if method != "delete" else None)
            where = (method, path, answer.status_code, b"" if answer.streaming else answer.content)
            assert answer.status_code in {400, 404}, where
            if answer.status_code == 404:  # the component is of another kind
                assert "/events" in path, where
                continue
            told = {(error["field"], error["code"]) for error in answer.json()["errors"]}
            assert ("unheard_of", "unknown_field") in told, where
            asked += 1
    assert asked > 100


def test_a_body_of_a_delete_is_named_by_every_operation(described: dict[str, Any]) -> None:
    known = ids()
    asked = 0
    for path, item in described["paths"].items():
        if "delete" in item:
            answer = Api()("DELETE", path.format(**known), {"force": True})
            assert answer.status_code in {400, 404}, (path, answer.status_code, answer.content)
            if answer.status_code == 400:
                [error] = answer.json()["errors"]
                assert (error["field"], error["code"]) == ("force", "unknown_field")
                assert "?force=true" in error["detail"]
                asked += 1
            key = {"Authorization": f"Bearer {OPERATOR}"}
            told = Client().generic("DELETE", path.format(**known), "force=true", "text/plain", headers=key)
            assert told.status_code in {404, 415}
            assert str(told.status_code) in item["delete"]["responses"], path
    assert asked > 5


@pytest.mark.parametrize("query", ["dry_run=true", "force=true", "status=completed", "env=stg"])
@pytest.mark.parametrize("call", ["cancel", "pause", "resume", "retry", "reschedule", "delete"])
def test_a_call_for_many_whose_address_says_more_than_its_body_does_nothing(call: str, query: str) -> None:
    job = new_job({"every": 3_600_000})
    before = snapshot(job)
    more = {"schedule": {"every": 60_000}} if call == "reschedule" else {}

    answer = Api().post(f"/v1/jobs/{call}-many?{query}", {"product": "shop", **more})

    assert answer.status_code == 400
    [error] = answer.json()["errors"]
    assert (error["field"], error["code"]) == (query.partition("=")[0], "unknown_field")
    assert "stands in its body" in error["detail"]
    assert snapshot(job) == before


def test_a_hold_of_an_environment_in_the_address_does_not_hold_the_whole_product() -> None:
    new_job()
    assert Api().post("/v1/products/shop/hold?env=prd").status_code == 400
    assert not Hold.objects.exists()


@pytest.mark.parametrize("verb", ["cancel", "pause", "reschedule", "trigger"])
def test_what_is_said_of_one_job_in_the_address_is_refused(verb: str) -> None:
    job: Job = new_job({"every": 3_600_000})
    answer = Api().post(f"/v1/jobs/{encode('job', job.pk)}/{verb}?reason=over", {})
    assert [error["field"] for error in answer.json()["errors"]] == ["reason"]
    assert fresh(job).status == job.status
