"""…-many calls in the background: progress, abort, what a crash leaves, two at once, and who may look."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from pytest_django import Settings

from core import clock, failpoints
from core.ids import encode
from core.shortcache import forget_everything
from core.tenancy import scopes
from jobs import background
from jobs.models import Job, JobEvent, Operation
from jobs.operations import many
from tests.conformance.world import claim_one, fresh, new_job
from tests.integration.api import OPERATOR, Api, key_of, told

pytestmark = pytest.mark.django_db

HOURLY = {"every": 3_600_000}
CANCEL = {"product": "shop", "reason": "enough"}


class Killed(BaseException):
    """A process that dies at this point: nothing in the code catches it."""


@pytest.fixture(autouse=True)
def _here(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    settings.OPERATOR_API_KEY = OPERATOR
    settings.ROOT_URLCONF = "tests.integration.api"
    monkeypatch.setattr(many, "MOST_AT_ONCE", 4)
    monkeypatch.setattr(many, "CHUNK", 2)
    forget_everything()
    yield
    forget_everything()


def begin(call: str = "cancel", body: dict[str, Any] | None = None, api: Api | None = None) -> str:
    answer = (api or Api()).post(f"/v1/jobs/{call}-many", CANCEL if body is None else body)
    assert answer.status_code == 202, answer.content
    operation: str = answer.json()["operation_id"]
    return operation


def seen(operation: str, api: Api | None = None) -> dict[str, Any]:
    answer = (api or Api()).get(f"/v1/operations/{operation}")
    assert answer.status_code == 200, answer.content
    shown: dict[str, Any] = answer.json()
    assert shown["id"] == operation
    return shown


def progress(operation: str) -> tuple[Any, ...]:
    shown = seen(operation)
    return tuple(shown[name] for name in ("status", "total", "done", "count", "skipped"))


def cancelled() -> int:
    return Job.objects.filter(status="cancelled").count()


def after_so_many_chunks(chunks: int) -> None:
    """The process that works on it is killed before it commits the next one."""
    left = [chunks]

    def die() -> None:
        if left[0] == 0:
            raise Killed
        left[0] -= 1

    failpoints.register("many:before_commit", die)


def test_up_to_the_threshold_the_answer_has_the_counts_and_beyond_it_the_operation() -> None:
    for _ in range(4):
        new_job()
    assert Api().post("/v1/jobs/cancel-many", CANCEL).json() == {"count": 4, "skipped": 0}
    for _ in range(5):
        new_job()

    operation = begin()

    assert progress(operation) == ("running", None, 0, 0, 0)
    assert cancelled() == 4
    assert many.go_on_with_one()
    assert progress(operation) == ("completed", 5, 5, 5, 0)
    assert cancelled() == 9
    shown = seen(operation)
    assert (shown["verb"], shown["dry_run"], shown["errors"]) == ("cancel", False, [])
    assert shown["finished_at"] >= shown["created_at"]
    assert set(JobEvent.objects.filter(type="job.cancelled").values_list("actor", flat=True)) == {"operator"}
    assert not many.go_on_with_one()


def test_what_takes_longer_than_a_caller_waits_goes_on_in_the_background(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(many, "PATIENCE_SECONDS", 0.0)
    job = new_job()

    operation = begin()

    assert progress(operation) == ("running", 1, 0, 0, 0)
    assert many.go_on_with_one()
    assert progress(operation) == ("completed", 1, 1, 1, 0)
    assert fresh(job).cancel_reason == "enough"


def test_a_pause_in_the_background_has_its_id_at_once() -> None:
    jobs = [new_job(HOURLY) for _ in range(5)]
    answer = Api().post("/v1/jobs/pause-many", {"recurring": True}).json()
    many.go_on_with_one()

    assert seen(answer["operation_id"])["pause_id"] == answer["pause_id"]
    resumed = Api().post("/v1/jobs/resume-many", {"pause_id": answer["pause_id"]}).json()
    many.go_on_with_one()
    assert progress(resumed["operation_id"]) == ("completed", 5, 5, 5, 0)
    assert {fresh(job).pause_id for job in jobs} == {None}


def test_a_dry_run_of_many_counts_in_the_background_and_changes_nothing() -> None:
    for _ in range(5):
        new_job()
    claim_one()

    operation = begin("delete", {"product": "shop", "dry_run": True})
    many.go_on_with_one()

    assert progress(operation) == ("completed", 5, 5, 4, 1)
    assert seen(operation)["dry_run"] is True
    assert Job.objects.count() == 5


def test_jobs_that_are_made_after_the_call_are_not_touched() -> None:
    for _ in range(5):
        new_job()
    operation = begin()
    late = new_job()

    many.go_on_with_one()

    assert progress(operation) == ("completed", 5, 5, 5, 0)
    assert fresh(late).status == "queued"


def test_an_aborted_operation_asks_no_further_job_and_keeps_what_is_done() -> None:
    for _ in range(6):
        new_job()
    operation = begin()
    after_so_many_chunks(1)
    with pytest.raises(Killed):
        many.go_on_with_one()
    failpoints.clear()

    aborted = Api().post(f"/v1/operations/{operation}/abort")

    assert (aborted.status_code, aborted.json()["status"], aborted.json()["done"]) == (200, "aborted", 2)
    with clock.shift(many.TAKEN):
        assert not many.go_on_with_one()
    assert cancelled() == 2
    assert Api().post(f"/v1/operations/{operation}/abort").status_code == 200


def test_an_abort_between_two_chunks_ends_whoever_works_on_it() -> None:
    for _ in range(6):
        new_job()
    operation = begin()
    held = many._chunk(Operation.objects.get())
    assert held is not None
    Api().post(f"/v1/operations/{operation}/abort", {})

    assert many._chunk(held) is None

    assert (cancelled(), progress(operation)) == (2, ("aborted", None, 2, 2, 0))


def test_a_completed_operation_is_not_aborted() -> None:
    Api().post("/v1/jobs/cancel-many", CANCEL)
    operation = str(Operation.objects.get())

    assert told(Api().post(f"/v1/operations/{operation}/abort", {})) == (409, "operation_ended")

    assert seen(operation)["status"] == "completed"


def test_a_chunk_that_dies_before_its_commit_is_done_again_by_another_and_counted_once() -> None:
    jobs = [new_job() for _ in range(6)]
    operation = begin()
    after_so_many_chunks(2)

    with pytest.raises(Killed):
        many.go_on_with_one()
    failpoints.clear()

    assert (cancelled(), progress(operation)) == (4, ("running", 6, 4, 4, 0))
    assert not many.go_on_with_one()  # it is still the dead one's
    with clock.shift(many.TAKEN):
        assert many.go_on_with_one()
    assert (cancelled(), progress(operation)) == (6, ("completed", 6, 6, 6, 0))
    events = JobEvent.objects.filter(type="job.cancelled").values_list("job_id", flat=True)
    assert sorted(events) == sorted(job.pk for job in jobs)


def test_a_call_whose_process_dies_while_it_is_answered_is_finished_in_the_background() -> None:
    for _ in range(4):
        new_job()
    after_so_many_chunks(1)

    with pytest.raises(Killed):
        Api().post("/v1/jobs/cancel-many", CANCEL)
    failpoints.clear()
    with clock.shift(many.TAKEN):
        assert many.go_on_with_one()

    assert progress(str(Operation.objects.get())) == ("completed", 4, 4, 4, 0)


def test_of_two_who_work_on_one_operation_only_one_goes_on() -> None:
    for _ in range(6):
        new_job()
    operation = begin()
    late = Operation.objects.get()
    first = many._chunk(Operation.objects.get())
    assert first is not None

    assert many._chunk(late) is None

    assert (cancelled(), progress(operation)) == (2, ("running", None, 2, 2, 0))


def test_operations_take_turns(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(many, "TURN_SECONDS", 0.0)
    for _ in range(5):
        new_job()
    first, second = begin(), begin("delete", {"product": "shop"})

    taken = []
    for _ in range(4):
        many.go_on_with_one()
        taken.append(max(Operation.objects.all(), key=lambda operation: operation.free_at))

    assert [str(operation) for operation in taken] == [first, second, first, second]


def test_the_schedulers_thread_goes_on_until_it_is_stopped(monkeypatch: pytest.MonkeyPatch) -> None:
    for _ in range(5):
        new_job()
    operation = begin()
    monkeypatch.setattr("jobs.background.connection.close", lambda: None)  # the test's own
    pauses: list[float] = []

    class Stopped(threading.Event):
        def wait(self, timeout: float | None = None) -> bool:
            pauses.append(timeout or 0.0)
            return len(pauses) == 3

    background.go_on(Stopped())

    assert seen(operation)["status"] == "completed"
    assert pauses == [1.0, 0.0, 1.0]  # at once after work, a second later when there is none


def test_what_breaks_does_not_end_the_schedulers_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []

    def break_down() -> bool:
        asked.append(1)
        raise RuntimeError("broken")

    class Stopped(threading.Event):
        def wait(self, timeout: float | None = None) -> bool:
            return len(asked) == 2

    monkeypatch.setattr(many, "go_on_with_one", break_down)
    monkeypatch.setattr("jobs.background.connection.close", lambda: None)

    background.go_on(Stopped())

    assert len(asked) == 2


def test_an_operation_is_forgotten_a_month_after_its_end() -> None:
    Api().post("/v1/jobs/cancel-many", CANCEL)
    for _ in range(5):
        new_job()
    unfinished = begin()

    assert many.prune() == 0
    with clock.shift(many.KEPT + timedelta(seconds=1)):
        assert many.prune() == 1

    assert [str(operation) for operation in Operation.objects.all()] == [unfinished]


# --- who may --------------------------------------------------------------------------------------


def test_an_operation_exists_for_keys_that_see_all_that_its_own_saw() -> None:
    mine, both = key_of("shop", envs=("prd",)), key_of("shop", envs=("prd", "stg"))
    for _ in range(5):
        new_job()
    operation = begin(api=mine)
    path = f"/v1/operations/{operation}"

    for sees in (mine, both, key_of("shop"), Api()):
        assert seen(operation, sees)["status"] == "running"
    for stranger in (key_of("other"), key_of("shop", envs=("stg",))):
        assert told(stranger.get(path)) == (404, "operation_not_found")
        assert told(stranger.post(f"{path}/abort", {})) == (404, "operation_not_found")
    whole = begin(api=key_of("shop"))
    assert told(mine.get(f"/v1/operations/{whole}")) == (404, "operation_not_found")
    assert told(key_of("shop").get(f"/v1/operations/{begin()}")) == (404, "operation_not_found")  # an operator's
    assert seen(operation)["status"] == "running"


def test_scopes_and_ids_of_operations() -> None:
    job = new_job()
    reader = key_of("shop", scopes_={scopes.JOBS_READ})
    for _ in range(5):
        new_job()
    operation = begin(api=key_of("shop"))

    assert seen(operation, reader)["status"] == "running"
    assert told(reader.post(f"/v1/operations/{operation}/abort", {})) == (403, "scope_missing")
    assert told(Api(None).get(f"/v1/operations/{operation}")) == (401, "unauthenticated")
    assert told(Api().get(f"/v1/operations/{encode('job', job.pk)}")) == (404, "operation_not_found")
    assert told(Api().get("/v1/operations/op_x")) == (404, "operation_not_found")
    wrong = Api().post(f"/v1/operations/{operation}/abort", {"now": True})
    assert [error["field"] for error in wrong.json()["errors"]] == ["now"]
