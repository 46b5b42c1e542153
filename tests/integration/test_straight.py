"""The short way to a dispatch answers as the long way does, header for header."""

from __future__ import annotations

from typing import Any

import pytest
from django.urls import resolve
from pytest_django import Settings

from core.tenancy.straight import _views
from jobs.models import Job
from jobs.operations.targets import TARGETS
from tests.integration.api import OPERATOR, Api
from tests.integration.dispatch_world import ACTIONS, BODY, catalog

pytestmark = pytest.mark.django_db

STRAIGHT = "core.tenancy.straight.StraightMiddleware"
MANY = "/v1/jobs/dispatch-many"


@pytest.fixture(autouse=True)
def _here(settings: Settings) -> None:
    settings.OPERATOR_API_KEY = OPERATOR
    settings.ROOT_URLCONF = "tests.integration.api"
    catalog()


def test_every_dispatch_goes_straight_and_nothing_else() -> None:
    paths = {f"/v1/{names.path}/dispatch" for names in TARGETS.values()} | {MANY}
    assert _views("ductape_jobs.urls").keys() == paths
    assert _views("tests.integration.api").keys() == paths
    assert all(resolve(path, "ductape_jobs.urls").func is view for path, view in _views("ductape_jobs.urls").items())


@pytest.mark.parametrize(
    ("path", "body", "key", "status"),
    [
        pytest.param(ACTIONS, BODY, OPERATOR, 201, id="a job"),
        pytest.param(MANY, {"jobs": [{"namespace": "actions", **BODY}]}, OPERATOR, 201, id="many jobs"),
        pytest.param(ACTIONS, {**BODY, "app": "nowhere"}, OPERATOR, 404, id="no such app"),
        pytest.param(ACTIONS, b"{", OPERATOR, 400, id="no JSON"),
        pytest.param(ACTIONS, BODY, "somebody-else", 401, id="a wrong key"),
        pytest.param(f"{ACTIONS}?page=1", BODY, OPERATOR, 400, id="a query"),
    ],
)
def test_both_ways_answer_alike(path: str, body: Any, key: str, status: int, settings: Settings) -> None:
    headers = {"X-Request-Id": "asked-twice"}
    short = Api(key).post(path, body, **headers)
    settings.MIDDLEWARE = [name for name in settings.MIDDLEWARE if name != STRAIGHT]
    long = Api(key).post(path, body, **headers)
    assert short.status_code == long.status_code == status
    assert short.headers == {**long.headers, "Content-Length": short.headers["Content-Length"]}
    assert int(short.headers["Content-Length"]) == len(short.content)
    assert short.headers["X-Request-Id"] == "asked-twice"


def test_a_host_that_is_not_ours_is_refused(settings: Settings) -> None:
    settings.ALLOWED_HOSTS = ["jobs.example.org"]
    assert Api().post(ACTIONS, BODY, Host="evil.example.org").status_code == 400
    assert Api().post(ACTIONS, BODY, Host="jobs.example.org").status_code == 201
    assert Job.objects.count() == 1


def test_other_methods_take_the_long_way() -> None:
    assert Api().get(ACTIONS).status_code == 405
