"""A field of a reschedule has two names, of which one is used: another that is null takes nothing away."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from pytest_django import Settings

from core.shortcache import forget_everything
from jobs import wakeup
from tests.integration.api import OPERATOR, Api
from tests.integration.tour import CATALOG, SEND

pytestmark = pytest.mark.django_db


@pytest.fixture
def job(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    settings.OPERATOR_API_KEY = OPERATOR
    monkeypatch.setattr(wakeup, "wake", lambda queues: None)
    forget_everything()
    Api()("PUT", "/v1/products/shop/catalog", CATALOG)
    yield Api().post("/v1/actions/dispatch", {**SEND, "schedule": {"cron": "0 9 * * *"}}).json()["job_id"]
    forget_everything()


@pytest.mark.parametrize("changes", [{"timezone": "Asia/Tokyo", "tz": None}, {"tz": None, "timezone": "Asia/Tokyo"}])
def test_the_name_that_is_null_gives_way(job: str, changes: dict[str, Any]) -> None:
    changed = Api().post(f"/v1/jobs/{job}/reschedule", {"cron": "0 10 * * *", **changes}).json()

    assert changed["tz"] == "Asia/Tokyo"


def test_both_names_with_values_are_refused(job: str) -> None:
    both = {"cron": "0 10 * * *", "timezone": "Asia/Tokyo", "tz": "Asia/Seoul"}

    for path, body in (
        (f"/v1/jobs/{job}/reschedule", both),
        ("/v1/jobs/reschedule-many", {"product": "shop", "schedule": both}),
    ):
        answer = Api().post(path, body)
        assert answer.status_code == 400
        assert "given twice, as 'timezone' and 'tz'" in answer.json()["detail"]


def test_many_are_refused_a_wrong_value_beside_a_null_also_where_no_job_matches(job: str) -> None:
    body = {"product": "nobody", "schedule": {"every": 60_000, "timezone": {}, "tz": None}}

    answer = Api().post("/v1/jobs/reschedule-many", body)

    assert answer.status_code == 400
    assert answer.json()["errors"][0]["field"].endswith("tz")
