"""`processor.job.schedule` over HTTP: the older way to make a job, with the answer of a dispatch."""

from __future__ import annotations

from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from core.openapi import ANY_OBJECT, TEXT, Schema, nullable, obj, ref
from core.tenancy import scopes
from core.tenancy.auth import principal_of, require
from core.tenancy.parsing import body_of
from jobs import queries
from jobs.api.bodies import idempotency_key
from jobs.api.dispatch import KEY
from jobs.api.dispatch_schemas import OPTIONS
from jobs.api.parameters import LONGEST_WAIT
from jobs.api.reading import Query
from jobs.api.shapes import job_with_result
from jobs.operations.dispatch import Dispatched
from jobs.operations.scheduling import REPEAT, schedule
from jobs.operations.waiting import TooManyWaiting, watcher

_WAIT = OpenApiParameter(
    "wait",
    {"type": "integer", "minimum": 0, "maximum": LONGEST_WAIT},
    OpenApiParameter.QUERY,
    description="ms; answers the job as soon as its run has ended, at the latest after that time as it is then. "
    "Needs the scope jobs:read, too",
)
_EXAMPLE = {
    "env": "prd",
    "product_tag": "my-product",
    "event": "send_notification",
    "input": {
        "slug": "order_update",
        "push_notification": {
            "title": {"en": "Order Shipped"},
            "body": {"en": "Your order #12345 has been shipped!"},
            "data": {"trackingId": "XYZ987"},
            "device_token": "abcdef123456",
        },
    },
    "start_at": 198_766_789,
}
_BODY: Schema = {
    **obj(
        {"event": {**TEXT, "description": "the tag of a definition, else of an event (`component:event`)"}},
        {
            "env": OPTIONS["env"],
            "product_tag": nullable(OPTIONS["product"]),
            "product": nullable({**OPTIONS["product"], "description": "another name for `product_tag`"}),
            "app": nullable({**TEXT, "description": "the component of a bare `event`"}),
            "input": nullable(OPTIONS["input"]),
            "start_at": nullable(
                {
                    "description": "0 is now, a number below 1e11 seconds since 1970, another one milliseconds; or ISO 8601",
                    "oneOf": [{"type": "number", "minimum": 0, "maximum": 253_402_300_799_999}, {"type": "string"}],
                }
            ),
            "retries": nullable(OPTIONS["retries"]),
            "cache": nullable(OPTIONS["cache"]),
            "session": nullable(OPTIONS["session"]),
            "repeat": nullable({**ANY_OBJECT, "description": f"of an event: {', '.join(REPEAT)}"}),
            "idempotency_key": nullable(OPTIONS["idempotency_key"]),
        },
    ),
    "examples": [_EXAMPLE],
}
_ANSWER: Schema = {"oneOf": [ref("DispatchResult"), ref("Job")]}


class ScheduleView(APIView):
    """A definition or an event becomes a job."""

    required_scope = scopes.JOBS_DISPATCH

    @extend_schema(
        operation_id="processor_job_schedule",
        summary="Schedule a definition or an event",
        tags=["definitions"],
        parameters=[_WAIT, KEY],
        request={"application/json": _BODY},
        responses={201: _ANSWER, 200: _ANSWER, 409: ref("Problem"), 422: ref("Problem")},
    )
    def post(self, request: Request) -> Response:
        """The answer is that of a dispatch; with `wait` the job. 200 where the idempotency key was used before."""
        principal = principal_of(request)
        query = Query(request.query_params, {"wait"})
        wait = query.number("wait", low=0, high=LONGEST_WAIT, default=0)
        query.done()
        if wait:
            require(principal, scopes.JOBS_READ)  # the job that is answered shows its result
        body = body_of(request, parameters={"wait"})
        key = idempotency_key(request.META.get("HTTP_IDEMPOTENCY_KEY"), body)
        done = schedule({**body, "idempotency_key": key}, principal=principal)
        answer = _waited(done, wait) if wait else done.as_dict()
        shown = Response(answer, status=201 if done.created and not done.replayed else 200)
        if done.replayed:
            shown["Idempotent-Replayed"] = "true"
        return shown


def _waited(done: Dispatched, wait: int) -> dict[str, object]:
    """The job after its run, or as it is; the dispatch's answer where it has been deleted meanwhile."""
    job = queries.find_job(done.job_id)
    if job is not None:
        try:
            watcher.wait(job, wait / 1000)
        except TooManyWaiting:
            pass  # the job is made: an error would be answered by making another one
        job = queries.find_job(done.job_id)
    return done.as_dict() if job is None else job_with_result(job)
