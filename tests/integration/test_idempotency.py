"""Idempotency keys: sent twice, carried out once; another body, a key in the body, races, 24 hours."""

from __future__ import annotations

import json
from collections import Counter
from datetime import timedelta
from functools import partial
from typing import Any

import pytest
from django.db import connection, transaction
from pytest_django import Settings

from core import clock
from core.clock import database_now
from core.shortcache import forget_everything
from executors.catalog.models import SavedEvent
from jobs.models import IdempotencyKey, Job
from jobs.operations import idempotency
from jobs.operations.idempotency import Asked, InProgress
from tests.integration.api import OPERATOR, Api, key_of, told
from tests.integration.dispatch_world import ACTIONS, BODY, MANY, at_once, catalog, counts

pytestmark = pytest.mark.django_db

ITEM = {"namespace": "actions", **BODY}
KEY = {"Idempotency-Key": "order-7"}


@pytest.fixture(autouse=True)
def _here(settings: Settings) -> None:
    settings.OPERATOR_API_KEY = OPERATOR
    settings.ROOT_URLCONF = "tests.integration.api"
    catalog()


def _post(headers: dict[str, str], _: int) -> Any:
    return Api().post(ACTIONS, BODY, **headers)


def again(response: Any) -> bool:
    return bool(response.get("Idempotent-Replayed") == "true")


def test_the_same_key_and_body_answer_the_first_result_again() -> None:
    body = {**BODY, "schedule": {"every": 3_600_000}}
    first = Api().post(ACTIONS, body, **KEY)
    second = Api().post(ACTIONS, dict(reversed(body.items())), **KEY)  # the order of fields does not count
    assert (first.status_code, again(first)) == (201, False)
    assert (second.status_code, again(second)) == (200, True)
    assert second.json() == first.json()
    assert "next_run_at" in first.json()
    assert counts() == (1, 1)


def test_header_and_field_are_the_same_key_and_must_not_differ() -> None:
    first = Api().post(ACTIONS, {**BODY, "idempotency_key": "order-7"})
    assert again(Api().post(ACTIONS, BODY, **KEY))
    assert again(Api().post(ACTIONS, {**BODY, "idempotency_key": "order-7"}, **{"Idempotency-Key": '"order-7"'}))
    differs = Api().post(ACTIONS, {**BODY, "idempotency_key": "order-8"}, **KEY)
    assert told(differs) == (400, "invalid")
    assert differs.json()["errors"][0]["field"] == "idempotency_key"
    assert (first.status_code, counts()) == (201, (1, 1))


def test_another_body_with_the_key_is_refused() -> None:
    Api().post(ACTIONS, BODY, **KEY)
    assert told(Api().post(ACTIONS, {**BODY, "priority": 6}, **KEY)) == (422, "idempotency_key_reused")
    assert told(Api().post(ACTIONS, {**BODY, "input": {"body": {"n": 2}}}, **KEY)) == (422, "idempotency_key_reused")
    assert counts() == (1, 1)


@pytest.mark.parametrize(
    ("first", "second", "same"),
    [
        ("1", "1.0", True),
        ("1", "1e0", True),
        ("0", "-0.0", True),
        ("100000000000000000000", "1e20", True),
        ('{"a": [2.0, {"b": 3}]}', '{"a": [2, {"b": 3.0}]}', True),
        ("1.5", "1", False),
        ("1.0", '"1.0"', False),
        ('"1.0]"', '"1]"', False),
        ("9007199254740993", "9007199254740992.0", False),  # no double is the first
        ("1e20", "1e21", False),
    ],
)
def test_a_whole_number_is_the_same_however_it_is_written(first: str, second: str, same: bool) -> None:
    text = json.dumps(BODY).replace('{"n": 1}', '{"n": %s}')
    assert Api().post(ACTIONS, text % first, **KEY).status_code == 201
    answer = Api().post(ACTIONS, text % second, **KEY)
    assert (answer.status_code, again(answer)) == ((200, True) if same else (422, False))
    assert counts() == (1, 1)


def test_a_digest_is_not_longer_than_what_was_asked() -> None:
    digested: list[int] = []
    wide = [1e308, 1.0] * 1000

    class Counted(json.JSONEncoder):
        def encode(self, o: Any) -> str:
            text = super().encode(o)
            digested.append(len(text))
            return text

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(idempotency, "_CANONICAL", Counted(separators=(",", ":")))
        idempotency.digest_of({"n": wide})
    assert digested[1] < digested[0]


@pytest.mark.parametrize("key", ["", " ", "x" * 256, "a\x01b"])
def test_a_key_that_is_no_key_is_told(key: str) -> None:
    response = Api().post(ACTIONS, BODY, **{"Idempotency-Key": key})
    assert (response.status_code, response.json()["errors"][0]["field"]) == (400, "Idempotency-Key")
    assert counts() == (0, 0)


def test_a_key_belongs_to_its_product() -> None:
    catalog("other")
    mine, theirs = key_of(), key_of("other")
    assert mine.post(ACTIONS, BODY, **KEY).status_code == 201
    assert theirs.post(ACTIONS, {**BODY, "product": "other"}, **KEY).status_code == 201
    assert told(theirs.post(ACTIONS, BODY, **KEY)) == (404, "product_not_found")  # no answer of somebody else's
    assert again(Api().post(ACTIONS, BODY, **KEY))  # an operator dispatches into the same product
    assert counts() == (2, 2)


def test_a_refused_dispatch_leaves_its_key_free() -> None:
    assert Api().post(ACTIONS, {**BODY, "event": "nothing"}, **KEY).status_code == 404
    assert Api().post(ACTIONS, BODY, **KEY).status_code == 201


def test_the_first_answer_comes_again_also_when_the_target_is_gone() -> None:
    first = Api().post(ACTIONS, BODY, **KEY)
    SavedEvent.objects.all().delete()
    forget_everything()
    assert Api().post(ACTIONS, BODY, **KEY).json() == first.json()
    assert told(Api().post(ACTIONS, BODY)) == (404, "event_not_found")


def test_a_key_is_forgotten_after_a_day_and_pruned() -> None:
    Api().post(ACTIONS, BODY, **KEY)
    with clock.shift(timedelta(hours=23, minutes=59)):
        assert again(Api().post(ACTIONS, BODY, **KEY))
        assert idempotency.prune() == 0
    with clock.shift(timedelta(hours=24, minutes=1)):
        changed = Api().post(ACTIONS, {**BODY, "priority": 1}, **KEY)
        assert (changed.status_code, counts()) == (201, (2, 2))
        assert again(Api().post(ACTIONS, {**BODY, "priority": 1}, **KEY))
        assert idempotency.prune() == 0  # taken anew
    with clock.shift(timedelta(hours=49)):
        assert idempotency.prune() == 1
    assert not IdempotencyKey.objects.exists()


def test_pruning_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(idempotency, "BATCH", 2)
    for n in range(5):
        Api().post(ACTIONS, BODY, **{"Idempotency-Key": f"k{n}"})
    later = database_now() + timedelta(days=2)
    assert [idempotency.prune(now=later, batches=1), idempotency.prune(now=later)] == [2, 3]


def test_the_key_is_looked_up_before_the_unique_key() -> None:
    body = {**BODY, "unique_key": "u", "on_conflict": "reject"}
    first = Api().post(ACTIONS, body, **KEY)
    assert again(Api().post(ACTIONS, body, **KEY))
    assert told(Api().post(ACTIONS, body)) == (409, "unique_conflict")
    returned = Api().post(ACTIONS, {**BODY, "unique_key": "u"}, **{"Idempotency-Key": "other"})
    assert (returned.status_code, again(returned)) == (200, False)
    assert returned.json() == first.json()
    replayed = Api().post(ACTIONS, {**BODY, "unique_key": "u"}, **{"Idempotency-Key": "other"})
    assert (again(replayed), replayed.json()) == (True, first.json())


def test_a_list_as_a_whole_may_have_a_key() -> None:
    body = {"jobs": [ITEM, {**ITEM, "env": "dev"}]}
    first = Api().post(MANY, body, **KEY)
    second = Api().post(MANY, body, **KEY)
    assert (first.status_code, second.status_code, again(second)) == (201, 200, True)
    assert second.json() == first.json()
    assert told(Api().post(MANY, {"jobs": [ITEM]}, **KEY)) == (422, "idempotency_key_reused")
    assert counts() == (2, 2)


def test_each_job_of_a_list_may_have_its_own_key() -> None:
    single = Api().post(ACTIONS, BODY, **{"Idempotency-Key": "a"}).json()
    jobs = [{**ITEM, "idempotency_key": key} for key in ("b", "a", "b")] + [ITEM]
    answer = Api().post(MANY, {"jobs": jobs})
    assert answer.status_code == 201
    made = answer.json()["jobs"]
    assert made[1] == single
    assert made[2] == made[0]
    assert made[3]["job_id"] not in {made[0]["job_id"], single["job_id"]}
    assert counts() == (3, 3)
    wrong = Api().post(MANY, {"jobs": [ITEM, {**ITEM, "idempotency_key": "a", "priority": 1}]})
    assert told(wrong) == (422, "idempotency_key_reused")
    assert wrong.json()["errors"][0]["field"] == "jobs.1"
    assert counts() == (3, 3)


@pytest.mark.django_db(transaction=True)
def test_identical_calls_at_once_make_one_job() -> None:
    for turn in range(5):
        key = {"Idempotency-Key": f"turn-{turn}"}
        responses = at_once(6, partial(_post, key))
        statuses = Counter(response.status_code for response in responses)
        assert statuses[201] == 1
        assert statuses[200] + statuses[409] == 5
        for response in responses:
            if response.status_code == 409:
                assert response.json()["code"] == "idempotency_in_progress"
                assert response["Retry-After"] == "1"
        assert len({response.json()["job_id"] for response in responses if response.status_code != 409}) == 1
        assert Job.objects.count() == turn + 1


@pytest.mark.django_db(transaction=True)
def test_a_call_whose_first_is_still_in_progress_is_told_to_come_back() -> None:
    if connection.vendor != "postgresql":
        pytest.skip("SQLite's one writer at a time makes the second wait instead")
    asked, now = Asked(1, "k", "d"), database_now()

    def second(_: int) -> str:
        with transaction.atomic():
            try:
                idempotency.take(asked, {}, now=now)
            except InProgress as error:
                return f"{error.status} after {error.retry_after}"
        return "taken"

    with transaction.atomic():
        assert idempotency.take(asked, {"first": True}, now=now) is None
        assert at_once(1, second) == ["409 after 1"]
    with transaction.atomic():
        assert idempotency.take(asked, {}, now=now) == {"first": True}
