"""`POST /v1/schedules/preview`: what a schedule means, and every contradiction in one, by its field."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

from tests.documented import ROOT
from tests.integration.api import OPERATOR, Api, key_of

pytestmark = [pytest.mark.django_db, pytest.mark.urls("tests.integration.api")]

PATH = "/v1/schedules/preview"
FROM = "2027-01-01T00:00:00Z"


@pytest.fixture(autouse=True)
def _operator(settings: Any) -> None:
    settings.OPERATOR_API_KEY = OPERATOR


def test_a_daily_time_that_one_day_does_not_have_as_the_docs_show_it() -> None:
    page = (ROOT / "docs" / "time.md").read_text()
    asked = re.search(rf"{PATH} .*?-d '(.*?)'\n```\n\n```json\n(.*?)```", page, re.DOTALL)
    assert asked is not None
    answer = Api().post(PATH, json.loads(asked[1]))
    assert answer.status_code == 200
    assert answer.json() == json.loads(asked[2])
    assert answer.json()["local"] == ["2027-03-14T03:00:00-04:00", "2027-03-15T02:30:00-04:00"]


def test_an_interval_begins_with_its_anchor() -> None:
    answer = Api().post(PATH, {"schedule": {"every": 60_000, "limit": 2}, "from": FROM}).json()
    assert answer["local"] == ["2027-01-01T00:00:00+00:00", "2027-01-01T00:01:00+00:00"]
    assert answer["description"] == "Every minute"


@pytest.mark.parametrize("name", ["tz", "timezone"])
def test_a_from_without_an_offset_is_a_reading_of_the_schedules_clock(name: str) -> None:
    schedule = {"cron": "0 9 * * *", name: "America/New_York"}
    answer = Api().post(PATH, {"schedule": schedule, "from": "2027-01-01T08:59", "count": 1}).json()
    assert answer["local"] == ["2027-01-01T09:00:00-05:00"]
    for wrong in ("nowhere", 5):
        refused = Api().post(PATH, {"schedule": {**schedule, name: wrong}, "from": "2027-01-01T08:59"}).json()
        assert [error["field"] for error in refused["errors"]] == [f"schedule.{name}"]


def test_no_more_than_a_hundred_and_no_less_than_one() -> None:
    for count, status in ((1, 200), (100, 200), (0, 400), (101, 400), ("5", 400)):
        answer = Api().post(PATH, {"schedule": {"cron": "* * * * *"}, "count": count})
        assert (count, answer.status_code) == (count, status)


# What is wrong, the field that is named, a word of the way out.
WRONG: list[tuple[dict[str, Any], str, str]] = [
    ({"cron": "0 9 * * *", "every": 60_000}, "schedule.every", "leave one out"),
    ({"every": 99}, "schedule.every", "from 100"),
    ({"every": 5}, "schedule.every", "from 100"),
    ({"every": "60000"}, "schedule.every", "whole number"),
    ({"every": 60_000, "limit": 0}, "schedule.limit", "from 1"),
    ({"limit": 3}, "schedule.limit", "without a recurrence"),
    ({"endDate": "2028-01-01T00:00:00Z"}, "schedule.endDate", "without a recurrence"),
    ({"tz": "Europe/Berlin"}, "schedule.tz", "without a recurrence"),
    ({"every": 60_000, "endDate": "2026-12-31T00:00:00Z"}, "schedule.endDate", "before the first occurrence"),
    ({"cron": "0 0 30 2 *"}, "schedule.cron", "no occurrence"),
    ({"cron": "0 9 * *"}, "schedule.cron", "use five"),
    ({"cron": "61 9 * * *"}, "schedule.cron", "minute"),
    ({"cron": "0 9 * * MOO"}, "schedule.cron", "day-of-week"),
    ({"cron": "* " * 5_000}, "schedule.cron", "characters"),
    ({"cron": 5}, "schedule.cron", "text"),
    ({"cron": "0 9 * * *", "tz": "Europe/Berln"}, "schedule.tz", "Europe/Berlin"),
    ({"cron": "0 9 * * *", "tz": ""}, "schedule.tz", "time zone"),
    ({"cron": "0 9 * * *", "misfire": "twice"}, "schedule.misfire", "once, skip, all"),
    ({"cron": "0 9 * * *", "overlap": "allow"}, "schedule.overlap", "skip, queue"),
    ({"cron": "0 9 * * *", "dst_gap": "both"}, "schedule.dst_gap", "shift, skip"),
    ({"cron": "0 9 * * *", "dst_overlap": "none"}, "schedule.dst_overlap", "first, both, last"),
    ({"cron": "0 9 * * *", "jitter": 86_400_000}, "schedule.jitter", "half the interval"),
    ({"every": 60_000, "jitter": 30_001}, "schedule.jitter", "half the interval, 30000 ms"),
    ({"cron": "0 9 * * *", "limt": 3}, "schedule.limt", "limit"),
    ({"cron": "0 9 * * *", "tz": "UTC", "timezone": "UTC"}, "schedule.tz", "twice"),
    ({"start_at": "tomorrow"}, "schedule.start_at", "ISO 8601"),
    ({"start_at": -1}, "schedule.start_at", "1970"),
    ({"start_at": 1e400}, "", "too large"),
]


@pytest.mark.parametrize(("schedule", "field", "way_out"), WRONG)
def test_each_contradiction_names_its_field_and_the_way_out(schedule: dict[str, Any], field: str, way_out: str) -> None:
    body = {"schedule": schedule, "from": FROM}
    answer = Api().post(PATH, '{"schedule": {"start_at": 1e400}}' if not field else body)
    assert answer.status_code == 400
    told = answer.json()
    if field:
        assert [error["field"] for error in told["errors"]] == [field]
    assert way_out in told["detail"]


def test_it_asks_for_a_key_and_the_right_to_read() -> None:
    body = {"schedule": {"every": 60_000}}
    assert Api(None).post(PATH, body).status_code == 401
    assert key_of(scopes_={"catalog:read"}).post(PATH, body).status_code == 403
    assert key_of().post(PATH, body).status_code == 200


def test_what_is_missing_or_unknown_in_the_body_is_named() -> None:
    assert Api().post(PATH, {}).json()["errors"][0]["field"] == "schedule"
    assert Api().post(PATH, {"schedule": {}, "cout": 3}).json()["errors"][0]["field"] == "cout"
    assert Api().post(PATH, {"schedule": {}, "from": "soon"}).json()["errors"][0]["field"] == "from"


def told(schedule: dict[str, Any], **asked: Any) -> list[str]:
    notes: list[str] = Api().post(PATH, {"schedule": schedule, **asked}).json()["notes"]
    return notes


NEW_YORK = {"cron": "30 2 * * *", "tz": "America/New_York"}


@pytest.mark.parametrize("end", [{"limit": 1}, {"endDate": "2027-03-13T12:00:00Z"}, {"limit": 1, "dst_gap": "skip"}])
def test_no_note_speaks_of_a_time_after_the_last_occurrence(end: dict[str, Any]) -> None:
    assert told({**NEW_YORK, **end}, **{"from": "2027-03-12T12:00:00Z"}) == []


def test_no_note_speaks_of_what_is_not_listed() -> None:
    assert told(NEW_YORK, **{"from": "2027-03-12T12:00:00Z", "count": 1}) == []
    (note,) = told({**NEW_YORK, "dst_gap": "skip"}, **{"from": "2027-03-12T12:00:00Z", "count": 2})
    assert note == "2027-03-14 02:30 does not exist in America/New_York: it does not run"


def test_a_day_that_a_zone_passes_over_is_told_with_the_day_on_which_it_runs() -> None:
    (note,) = told({"cron": "0 12 30 12 *", "tz": "Pacific/Apia"}, **{"from": "2011-12-01T00:00:00Z", "count": 1})
    assert note == "2011-12-30 12:00 does not exist in Pacific/Apia: runs at 2011-12-31 00:00"
    (note,) = told({"cron": "0 */12 * 12 *", "tz": "Pacific/Apia"}, **{"from": "2011-12-29T00:00:00Z", "count": 9})
    assert note == "2011-12-30 00:00 and 12:00 do not exist in Pacific/Apia: they do not run"


def test_jitter_is_told() -> None:
    assert told({"cron": "0 9 * * *", "jitter": 900_000}) == [
        "each run begins up to 15 minutes after its time (jitter)"
    ]
    assert told({"every": 60_000, "jitter": 30_000}) == ["each run begins up to 30 seconds after its time (jitter)"]


def test_more_notes_than_are_told_are_said_to_be_more() -> None:
    notes = told(
        {"cron": "30 1,2 8-14 3 *", "tz": "America/New_York"}, **{"from": "2027-01-01T00:00:00Z", "count": 100}
    )
    assert len(notes) <= 21
    notes = told(
        {"cron": "30 2 1-14 3 SUN", "tz": "America/New_York"}, **{"from": "1990-01-01T00:00:00Z", "count": 100}
    )
    assert len(notes) <= 21


def test_an_end_date_on_a_reading_that_comes_twice_holds_both() -> None:
    schedule = {"cron": "30 1 * * *", "tz": "America/New_York", "endDate": "2027-11-07T01:30:00", "dst_overlap": "both"}
    answer = Api().post(PATH, {"schedule": schedule, "from": "2027-11-06T12:00:00Z"}).json()
    assert answer["local"] == ["2027-11-07T01:30:00-04:00", "2027-11-07T01:30:00-05:00"]
