"""What the event of a definition needs is not removed from the catalog: the definitions that need it are named."""

from __future__ import annotations

from typing import Any

import pytest
from pytest_django import Settings

from core.clock import database_now
from core.times import to_ms
from tests.conformance.world import claim_one, complete, postpone
from tests.integration.api import OPERATOR, Api, told
from tests.integration.definition_world import DEFINITIONS, HOUR, JOB, SCHEDULE, catalog, define, schedule

pytestmark = pytest.mark.django_db

PRODUCT = "/v1/products/shop"


@pytest.fixture(autouse=True)
def _here(settings: Settings) -> None:
    settings.OPERATOR_API_KEY = OPERATOR
    settings.ROOT_URLCONF = "tests.integration.api"
    settings.LOCAL_PATHS_ALLOW = ["/tmp"]
    catalog()


def refused(path: str) -> dict[str, Any]:
    answer = Api().delete(f"{PRODUCT}{path}")
    assert told(answer) == (409, "in_use")
    problem: dict[str, Any] = answer.json()
    return problem


@pytest.mark.parametrize(
    ("definition", "paths"),
    [
        ({}, ["/apps/mail", "/apps/mail/events/action_tag"]),
        ({"event_type": "NOTIFICATION", "event_tag": "alerts:order_update"}, ["/notifications/alerts", "/notifications/alerts/events/order_update"]),
        ({"event_type": "DATABASE_ACTION", "event_tag": "sync"}, ["/databases/stock", "/databases/stock/events/sync"]),
        ({"event_type": "GRAPH_ACTION", "event_tag": "people:find"}, ["/graphs/people", "/graphs/people/events/find"]),
        ({"event_type": "MESSAGEBROKER", "event_tag": "news"}, ["/brokers/bus", "/brokers/bus/events/news"]),
        ({"event_type": "STORAGE", "event_tag": "files:upload"}, ["/storage/files"]),
        ({"event_type": "FUNCTION", "event_tag": "resize"}, ["/functions/resize"]),
        ({"event_type": "FEATURE", "event_tag": "report"}, ["/features/report"]),
    ],
    ids=lambda value: value.get("event_type", "ACTION") if isinstance(value, dict) else "",
)  # fmt: skip
def test_what_a_definition_runs_is_removed_by_force_only(definition: dict[str, Any], paths: list[str]) -> None:
    define(**definition)
    for path in reversed(paths):
        problem = refused(path)
        assert (problem["jobs"], problem["definitions"]) == (0, ["example_job"])
        assert "definition 'example_job' needs" in problem["detail"]
    assert Api().delete(f"{PRODUCT}{paths[0]}?force=true").status_code == 204
    assert Api().post(SCHEDULE, JOB).status_code == 404  # told when it is scheduled


def test_what_no_definition_runs_goes() -> None:
    define()
    for path in ("/apps/crm", "/apps/mail/events/other", "/functions/resize"):
        assert Api().delete(f"{PRODUCT}{path}").status_code == 204


def test_a_connection_goes_since_a_definition_is_of_no_environment() -> None:
    define()
    assert Api().delete(f"{PRODUCT}/apps/mail/envs/prd").status_code == 204


def test_jobs_and_definitions_are_told_together() -> None:
    define()
    schedule(start_at=to_ms(database_now()) + HOUR)
    define(tag="second")
    problem = refused("/apps/mail")
    assert (problem["jobs"], problem["definitions"]) == (1, ["example_job", "second"])
    assert "an unfinished job and definitions 'example_job', 'second' need app 'mail'" in problem["detail"]
    for tag in ("example_job", "second"):
        assert Api().delete(f"{DEFINITIONS}/{tag}?force=true").status_code == 204
    assert Api().delete(f"{PRODUCT}/apps/mail").status_code == 204


def test_the_first_of_very_many_are_named() -> None:
    for number in range(10):
        define(tag=f"d{number}")
    assert "'d7' and 2 more need app 'mail'" in refused("/apps/mail")["detail"]


def test_a_document_does_not_prune_what_a_definition_needs() -> None:
    define()
    whole = Api().get(f"{PRODUCT}/catalog").json()
    without = {**whole, "apps": [app for app in whole["apps"] if app["tag"] != "mail"]}
    answer = Api()("PUT", f"{PRODUCT}/catalog?prune=true", without)
    assert told(answer) == (409, "in_use")
    assert [error["field"] for error in answer.json()["errors"]] == ["apps.mail"]
    assert answer.json()["definitions"] == ["example_job"]
    assert Api()("PUT", f"{PRODUCT}/catalog?prune=true&force=true", without).status_code == 200


def test_what_a_run_began_with_is_needed_until_it_has_ended() -> None:
    define()
    schedule(retries=1)
    taken = claim_one()
    changed = Api()("PATCH", f"{DEFINITIONS}/example_job", {"event_type": "FUNCTION", "event_tag": "resize"})
    assert changed.json()["rescheduled"] == 1
    problem = refused("/apps/mail")
    assert (problem["jobs"], "definitions" in problem) == (1, False)
    complete(taken)
    assert Api().delete(f"{PRODUCT}/apps/mail").status_code == 204


def test_a_run_that_waits_for_another_attempt_needs_the_old_and_its_job_the_new() -> None:
    define(event_tag="action_tag")
    schedule(retries=1)
    postpone(claim_one())
    Api()("PATCH", f"{DEFINITIONS}/example_job", {"event_tag": "other"})
    assert refused("/apps/mail/events/action_tag")["jobs"] == 1
    assert refused("/apps/mail/events/other")["jobs"] == 1
    assert refused("/apps/mail")["jobs"] == 1  # the same one
