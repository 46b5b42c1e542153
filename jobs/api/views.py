"""Jobs over HTTP: read, list, history, interventions. A view is parse → operation → serialise."""

from __future__ import annotations

from datetime import timedelta
from typing import Any, ClassVar
from uuid import UUID

from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from core.errors import NotFound
from core.ids import decode
from core.openapi import TEXT, Schema, obj, ref
from core.tenancy import scopes
from core.tenancy.auth import Principal, principal_of
from core.tenancy.parsing import body_of, without_body
from core.tenancy.visibility import sees
from executors.catalog.reading import Problems, Reader
from jobs import queries
from jobs.api import examples
from jobs.api.parameters import (
    FILTER,
    FORCE,
    HISTORY_STATUS,
    LONGEST_WAIT,
    ORDERS,
    SHOWN_IN_HISTORY,
    STATS,
    WAIT,
    limit_and_offset,
    list_paging,
)  # fmt: skip
from jobs.api.reading import FILTER_FIELDS, STATS_FIELDS, Query, read_filter
from jobs.api.shapes import history_shape, job_with_result, page_shape
from jobs.models import Job
from jobs.operations import interventions
from jobs.operations.reschedule import reschedule
from jobs.operations.waiting import watcher
from jobs.states import RunStatus
from jobs.stats import job_stats

LONGEST_NOTE = 2_000
LONGEST_DELAY = 366 * 86_400_000  # ms


class JobsView(APIView):
    """The jobs that the key sees."""

    required_scope = scopes.JOBS_READ

    @extend_schema(
        operation_id="jobs_list",
        summary="List jobs",
        tags=["jobs"],
        parameters=[*FILTER, *list_paging()],
        responses={200: ref("JobPage")},
    )
    def get(self, request: Request) -> Response:
        """A page of jobs. With `cursor` (empty: the first page) it costs the same however deep it is."""
        query = Query(request.query_params, {*FILTER_FIELDS, "limit", "offset", "cursor", "order"})
        wanted = read_filter(query, principal_of(request))
        limit, offset = query.paging()
        oldest_first = query.choice("order", ORDERS) == "created_at"
        after = _after(query)
        if query.has("cursor") and query.has("offset"):
            query.wrong("offset", "has no meaning with a cursor: leave one out")
        query.done()
        with queries.bounded_reading():
            page = queries.list_jobs(wanted, limit=limit, offset=offset, after=after, oldest_first=oldest_first)
            shown = page_shape(page)
            if query.has("cursor"):
                return Response({**shown, "limit": limit})
            total = queries.count_jobs(wanted)
        exact = total <= queries.MOST_COUNTED
        return Response(
            {
                **shown,
                "total": min(total, queries.MOST_COUNTED),
                **({} if exact else {"total_is_lower_bound": True}),
                "limit": limit,
                "offset": offset,
            }
        )


class JobView(APIView):
    """One job."""

    required_scope: ClassVar[dict[str, str]] = {"GET": scopes.JOBS_READ, "DELETE": scopes.JOBS_MANAGE}

    @extend_schema(
        operation_id="jobs_get",
        summary="Get a job, or wait for its run",
        tags=["jobs"],
        parameters=[WAIT],
        responses={200: ref("Job")},
    )
    def get(self, request: Request, job_id: str) -> Response:
        """The job; with `wait`, as soon as its open (else its next) run has ended, at the latest after that time."""
        query = Query(request.query_params, {"wait"})
        wait = query.number("wait", low=0, high=LONGEST_WAIT, default=0)
        query.done()
        job = visible_job(principal_of(request), job_id)
        if wait:
            watcher.wait(job, wait / 1000)
            job = visible_job(principal_of(request), job_id)
        return Response(job_with_result(job))

    @extend_schema(
        operation_id="jobs_delete",
        summary="Delete a job",
        tags=["jobs"],
        parameters=[FORCE],
        responses={204: None, 409: ref("Problem")},
    )
    def delete(self, request: Request, job_id: str) -> Response:
        """The job and its history are gone. Refused while it runs, unless `force` cancels it first."""
        without_body(request)
        query = Query(request.query_params, {"force"})
        force = query.flag("force") or False
        query.done()
        principal = principal_of(request)
        job = visible_job(principal, job_id)
        interventions.delete(job.pk, force=force, actor=principal.name)
        return Response(status=204)


class HistoryView(APIView):
    """The runs of a job."""

    required_scope = scopes.JOBS_READ

    @extend_schema(
        operation_id="jobs_history",
        summary="Read the history of a job",
        tags=["jobs"],
        parameters=[HISTORY_STATUS, *limit_and_offset()],
        responses={200: ref("JobHistory")},
    )
    def get(self, request: Request, job_id: str) -> Response:
        """Newest run first, each with its attempts; occurrences that never ran have no number."""
        query = Query(request.query_params, {"limit", "offset", "status"})
        limit, offset = query.paging()
        statuses = frozenset(map(RunStatus, query.choices("status", SHOWN_IN_HISTORY)))
        query.done()
        job = visible_job(principal_of(request), job_id)
        return Response(history_shape(job, queries.history(job.pk, limit=limit, offset=offset, statuses=statuses)))


class StatsView(APIView):
    """Jobs and runs in numbers."""

    required_scope = scopes.JOBS_READ

    @extend_schema(
        operation_id="jobs_stats",
        summary="Statistics of jobs and runs",
        tags=["jobs"],
        parameters=STATS,
        responses={200: ref("JobStats")},
    )
    def get(self, request: Request) -> Response:
        """Jobs by state, as a list with the same window holds them, and the runs that ended in that window."""
        query = Query(request.query_params, STATS_FIELDS)
        wanted = read_filter(query, principal_of(request))
        query.done()
        with queries.bounded_reading():
            return Response(job_stats(wanted))


class InterventionView(APIView):
    """Something that is asked of a job; answers the job after it, 409 with `status_found` where its state forbids it."""

    required_scope = scopes.JOBS_MANAGE

    def intervene(self, job_id: UUID, body: dict[str, Any], *, actor: str) -> Job:
        raise NotImplementedError

    def answer(self, request: Request, job_id: str) -> Response:
        """What every verb does: find the job, do it, show the job."""
        principal = principal_of(request)
        job = visible_job(principal, job_id)
        return Response(job_with_result(self.intervene(job.pk, body_of(request), actor=principal.name)))


def _verb(name: str, body: Schema) -> Any:
    """The description of one verb's operation."""
    if shown := examples.VERBS.get(name):
        body = {**body, "examples": shown}  # beside a `$ref`, too: OpenAPI 3.1 allows it
    return extend_schema(
        operation_id=f"jobs_{name}",
        summary=f"{name.capitalize()} a job",
        tags=["jobs"],
        request={"application/json": body},
        responses={200: ref("Job"), 409: ref("Problem")},
    )


_REASON = obj({}, {"reason": {**TEXT, "maxLength": LONGEST_NOTE}})
_NOTE = obj({}, {"note": {**TEXT, "maxLength": LONGEST_NOTE}})
_DELAY = obj({}, {"delay": {"type": "integer", "minimum": 0, "maximum": LONGEST_DELAY, "description": "ms"}})


class CancelView(InterventionView):
    @_verb("cancel", _REASON)
    def post(self, request: Request, job_id: str) -> Response:
        """scheduled, queued, running or paused → cancelled, at once; what a running attempt still returns is discarded."""
        return self.answer(request, job_id)

    def intervene(self, job_id: UUID, body: dict[str, Any], *, actor: str) -> Job:
        return interventions.cancel(job_id, reason=_text(body, "reason"), actor=actor)


class PauseView(InterventionView):
    @_verb("pause", _NOTE)
    def post(self, request: Request, job_id: str) -> Response:
        """A recurring job → paused; a run that is running goes on and is recorded."""
        return self.answer(request, job_id)

    def intervene(self, job_id: UUID, body: dict[str, Any], *, actor: str) -> Job:
        return interventions.pause(job_id, note=_text(body, "note"), actor=actor)


class ResumeView(InterventionView):
    @_verb("resume", _NOTE)
    def post(self, request: Request, job_id: str) -> Response:
        """paused → scheduled at the next occurrence after now (completed or failed if its schedule ended meanwhile)."""
        return self.answer(request, job_id)

    def intervene(self, job_id: UUID, body: dict[str, Any], *, actor: str) -> Job:
        return interventions.resume(job_id, note=_text(body, "note"), actor=actor)


class RescheduleView(InterventionView):
    @_verb("reschedule", ref("Schedule"))
    def post(self, request: Request, job_id: str) -> Response:
        """A new `start_at`, `cron` (with `tz`) or `every`; what is not given stays. With only a `start_at` a
        recurring job keeps its recurrence from then on; `cron: null` or `every: null` with it makes a one-off."""
        return self.answer(request, job_id)

    def intervene(self, job_id: UUID, body: dict[str, Any], *, actor: str) -> Job:
        return reschedule(job_id, body, actor=actor)


class RetryView(InterventionView):
    @_verb("retry", _DELAY)
    def post(self, request: Request, job_id: str) -> Response:
        """A new run of the occurrence that failed last, now or after `delay`; the grid of a recurring job is untouched."""
        return self.answer(request, job_id)

    def intervene(self, job_id: UUID, body: dict[str, Any], *, actor: str) -> Job:
        problems = Problems()
        delay = Reader(body, "", problems, {"delay"}).number("delay", low=0, high=LONGEST_DELAY)
        problems.raise_if_any()
        return interventions.retry(job_id, delay=timedelta(milliseconds=delay or 0), actor=actor)


class TriggerView(InterventionView):
    @_verb("trigger", obj({}))
    def post(self, request: Request, job_id: str) -> Response:
        """One extra run of a recurring job now; its grid is untouched, a paused job stays paused."""
        return self.answer(request, job_id)

    def intervene(self, job_id: UUID, body: dict[str, Any], *, actor: str) -> Job:
        problems = Problems()
        Reader(body, "", problems, set())
        problems.raise_if_any()
        return interventions.trigger(job_id, actor=actor)


def visible_job(principal: Principal, job_id: str) -> Job:
    """The job of that id, if it exists for this key. Raises NotFound."""
    key = decode("job", job_id)
    job = queries.find_job(key) if key is not None else None
    if job is None or not sees(principal, product_id=job.product_id, environment_id=job.environment_id):
        raise NotFound(f"there is no job {job_id[:60]}", code="job_not_found")
    return job


def _after(query: Query) -> UUID | None:
    """Where the page before ended; an empty cursor is the beginning."""
    text = query.text("cursor")
    if text is None:
        return None
    after = decode("cur", text)
    if after is None:
        query.wrong("cursor", "is not one that this list gave: use next_cursor of the page before, or none")
    return after


def _text(body: dict[str, Any], name: str) -> str:
    problems = Problems()
    text = Reader(body, "", problems, {name}).text(name, limit=LONGEST_NOTE)
    problems.raise_if_any()
    return text or ""
