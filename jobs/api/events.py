"""Live events over HTTP: `GET /v1/events/stream`. Reads parameters and opens a stream; what it tells is
`jobs.operations.streaming`."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.http import StreamingHttpResponse
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework.request import Request
from rest_framework.views import APIView

from core.errors import Invalid
from core.ids import decode
from core.openapi import TEXT, list_of, one_of, ref
from core.tenancy import scopes
from core.tenancy.auth import Principal, principal_of_header, require
from jobs.api.reading import Query, read_labels
from jobs.operations.streaming import EventFilter, EventStream
from jobs.states import EventType

LAST_EVENT_ID = "Last-Event-ID"
LONGEST_ID = 18  # digits
_FIELDS = ("product", "env", "namespace", "event", "label", "job")


def _parameter(name: str, schema: dict[str, Any], description: str = "", *, place: Any = "query") -> OpenApiParameter:
    return OpenApiParameter(name, schema, place, description=description, explode=False if name == "event" else None)


_PARAMETERS = [
    _parameter("product", TEXT, "its tag; one that does not exist matches nothing"),
    _parameter("env", TEXT, "the slug of an environment"),
    _parameter("namespace", TEXT),
    _parameter(
        "event",
        list_of(one_of(*map(str, EventType))),
        "one, or a comma list; four are told only where a webhook listens to them",
    ),
    _parameter("label", list_of(TEXT), "key:value; a job must have all that are given"),
    _parameter("job", TEXT, "the id of a job"),
    _parameter(
        LAST_EVENT_ID,
        TEXT,
        "the last `id` that was received: goes on after it; without it, from now on",
        place="header",
    ),
]


class EventStreamView(APIView):
    """What happens to jobs, as it happens."""

    required_scope = scopes.JOBS_READ

    @extend_schema(
        operation_id="events_stream",
        summary="Listen to the transitions of jobs",
        tags=["jobs"],
        parameters=_PARAMETERS,
        responses={(200, "text/event-stream"): TEXT, 429: ref("Problem")},
    )
    def get(self, request: Request) -> StreamingHttpResponse:
        """Server-sent events: `event` is the transition (`job.completed`), `data` a JSON object with `job_id`, `seq`,
        `type`, `status`, `at`, `number` (of the run), `product`, `env`, `namespace`, `target` and `labels`. None that was
        recorded is lost over a reconnect with `Last-Event-ID`; one may come twice, with the same `job_id` and `seq`.
        `job.scheduled`, `job.started`, `job.skipped` and the `job.retrying` of a run are recorded only where a webhook
        listens to them: a stream alone does not see them."""
        query = Query(request.query_params, _FIELDS)
        wanted = EventFilter(
            product=query.text("product"),
            env=query.text("env"),
            namespace=query.text("namespace"),
            types=frozenset(map(EventType, query.choices("event", list(EventType)))),
            labels=read_labels(query),
            job_id=_job(query),
        )
        query.done()
        stream = EventStream(wanted, lambda: _caller(request), _last_event_id(request))
        headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}  # a proxy is to pass each event on at once
        return StreamingHttpResponse(stream, content_type="text/event-stream", headers=headers)


def _caller(request: Request) -> Principal:
    """Whose key it is, as it stands now."""
    principal = principal_of_header(request.META.get("HTTP_AUTHORIZATION", ""))
    require(principal, scopes.JOBS_READ)
    return principal


def _job(query: Query) -> UUID | None:
    text = query.text("job")
    job_id = None if text is None else decode("job", text)
    if text is not None and job_id is None:
        query.wrong("job", "is not the id of a job: job_ and 26 letters and digits")
    return job_id


def _last_event_id(request: Request) -> int | None:
    text = request.headers.get(LAST_EVENT_ID, "").strip()
    if not text:
        return None
    if not (text.isascii() and text.isdigit() and len(text) <= LONGEST_ID):
        raise Invalid.field(LAST_EVENT_ID, "must be the `id` of an event of this stream, or left out")
    return int(text)
