"""Why a job ran, waits or did not run at a moment, over HTTP."""

from __future__ import annotations

from typing import Any

from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from core.clock import database_now
from core.ids import encode
from core.openapi import TEXT, TIME, TIME_GIVEN, obj, one_of, ref
from core.tenancy import scopes
from core.tenancy.auth import principal_of
from core.times import to_ms_or_none
from core.zones import zone
from jobs.api.reading import Query
from jobs.api.shapes import hold_shape, run_shape
from jobs.api.views import visible_job
from jobs.explaining import Explanation, Reason
from jobs.models import Job
from jobs.operations.explain import explain
from jobs.schedule.parsing import FURTHEST, TOO_FAR
from jobs.states import JobStatus

_AT = OpenApiParameter(
    "at",
    {**TIME_GIVEN, "description": "milliseconds since 1970, or ISO 8601 (naive: in the job's `tz`)"},
    OpenApiParameter.QUERY,
    description="the moment; left out: now, and what the job waits for",
)
_TOLD = obj(
    {
        "job_id": TEXT,
        "status": one_of(*map(str, JobStatus)),
        "reason": {**one_of(*map(str, Reason)), "description": "stable; each is told in docs/explain.md"},
        "sentence": TEXT,
    },
    {
        "at": {**TIME, "description": "the moment that was asked for"},
        "occurrence": {**TIME, "description": "the occurrence that this speaks of"},
        "execution": ref("Execution"),
        "since": TIME,
        "until": TIME,
        "note": {**TEXT, "description": "what was said by whoever paused, held or cancelled"},
        "by": TEXT,
        "hold": ref("Hold"),
        "queue": {**TEXT, "description": "that the run waits in"},
        "concurrency_key": TEXT,
        "previous": {**TIME, "description": "the occurrence before the moment"},
        "next": {**TIME, "description": "the occurrence after it"},
        "instead": {**TIME, "description": "when it ran in place of a reading that the clock does not show, or twice"},
    },
)
_WAITS_IN_A_QUEUE = (Reason.HELD, Reason.CONCURRENCY, Reason.NO_WORKER, Reason.WORKER)


class ExplainView(APIView):
    """Why a job did what it did."""

    required_scope = scopes.JOBS_READ

    @extend_schema(
        operation_id="jobs_explain",
        summary="Explain why a job ran or did not run",
        tags=["jobs"],
        parameters=[_AT],
        responses={200: _TOLD},
    )
    def get(self, request: Request, job_id: str) -> Response:
        """Why the job ran, waits or did not run at a moment: `not_known` where that has been pruned or rescheduled away."""
        query = Query(request.query_params, {"at"})
        job = visible_job(principal_of(request), job_id)
        at = query.time("at", zone(job.tz))
        if at is not None and at - database_now() > FURTHEST:
            query.wrong("at", TOO_FAR)
        query.done()
        told = explain(job, at)
        return Response({"job_id": encode("job", job.pk), "status": job.status, **_shape(job, told, to_ms_or_none(at))})


def _shape(job: Job, told: Explanation, at: int | None) -> dict[str, Any]:
    """What has no meaning for the reason is left out. A run that has not begun has no `execution` yet."""
    run = told.run if told.run is not None and (told.run.number is not None or told.run.finished_at) else None
    fields: dict[str, Any] = {
        "at": at,
        "occurrence": to_ms_or_none(told.occurrence),
        "execution": run_shape(run) if run is not None else None,
        "since": to_ms_or_none(told.since),
        "until": to_ms_or_none(told.until),
        "note": told.note or None,
        "by": told.by or None,
        "hold": hold_shape(told.hold) if told.hold is not None else None,
        "queue": told.run.queue if told.run is not None and told.reason in _WAITS_IN_A_QUEUE else None,
        "concurrency_key": job.concurrency_key if told.reason is Reason.CONCURRENCY else None,
        "previous": to_ms_or_none(told.previous),
        "next": to_ms_or_none(told.next),
        "instead": to_ms_or_none(told.instead),
    }
    return {
        "reason": str(told.reason),
        "sentence": told.sentence,
        **{name: value for name, value in fields.items() if value is not None},
    }
