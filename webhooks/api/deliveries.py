"""What became of the telling, over HTTP: the log, replays, a test, statistics."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from core.fields import not_one_of, reject_unknown
from core.ids import decode, encode
from core.openapi import TEXT, TIME_GIVEN, list_of, one_of, ref
from core.tenancy import scopes
from core.tenancy.auth import principal_of
from core.tenancy.parsing import body_of
from core.times import parse_time
from executors.catalog.reading import Problems, Reader
from jobs.api.parameters import DEFAULT_LISTED, MOST_LISTED
from jobs.api.reading import Query
from webhooks.api import schemas
from webhooks.api.shapes import delivery_shape, delivery_with_payload, stats_shape
from webhooks.api.views import TAGS
from webhooks.operations import recovery, replay
from webhooks.operations.fields import EVENTS
from webhooks.queries import (
    SHOWN,
    DeliveryFilter,
    find_delivery,
    find_endpoint,
    page_of_deliveries,
    stats_of,
)  # fmt: skip

_CURSOR = "cur"
MISSING = "missing"
_WINDOW = [
    OpenApiParameter("from", TIME_GIVEN, description="inclusive; of when the delivery was made"),
    OpenApiParameter("to", TIME_GIVEN, description="exclusive"),
]


class DeliveriesView(APIView):
    """The delivery log of an endpoint."""

    required_scope = scopes.WEBHOOKS_MANAGE

    @extend_schema(
        operation_id="webhooks_deliveries",
        summary="Read the delivery log of a webhook",
        tags=TAGS,
        parameters=[
            OpenApiParameter("status", list_of(one_of(*SHOWN)), description="one, or a comma list", explode=False),
            OpenApiParameter("event", list_of(one_of(*EVENTS)), description="one, or a comma list", explode=False),
            OpenApiParameter("job_id", TEXT),
            *_WINDOW,
            OpenApiParameter(
                "limit", {"type": "integer", "minimum": 1, "maximum": MOST_LISTED, "default": DEFAULT_LISTED}
            ),
            OpenApiParameter("cursor", TEXT, description="next_cursor of the page before"),
        ],
        responses={200: ref("WebhookDeliveries")},
    )
    def get(self, request: Request, webhook_id: str) -> Response:
        """The newest first, each with all of its attempts."""
        query = Query(request.query_params, {"status", "event", "job_id", "from", "to", "limit", "cursor"})
        limit = query.number("limit", low=1, high=MOST_LISTED, default=DEFAULT_LISTED)
        after = _id(query, "cursor", _CURSOR, "is not one that this list gave: use next_cursor of the page before")
        wanted = DeliveryFilter(
            statuses=query.choices("status", SHOWN),
            types=query.choices("event", EVENTS),
            job_id=_id(query, "job_id", "job", "is not the id of a job: job_ and 26 letters and digits"),
            since=query.time("from"),
            before=query.time("to"),
        )
        query.done()
        endpoint = find_endpoint(principal_of(request), webhook_id)
        found, next_after = page_of_deliveries(endpoint, wanted, limit=limit, after=after)
        return Response(
            {
                "deliveries": [delivery_shape(each) for each in found],
                "next_cursor": None if next_after is None else encode(_CURSOR, next_after),
                "limit": limit,
            }
        )


class DeliveryView(APIView):
    """One delivery."""

    required_scope = scopes.WEBHOOKS_MANAGE

    @extend_schema(
        operation_id="webhooks_delivery",
        summary="Get a delivery with what is sent",
        tags=TAGS,
        responses={200: ref("WebhookDelivery")},
    )
    def get(self, request: Request, webhook_id: str, delivery_id: str) -> Response:
        """With all of its attempts, and the payload."""
        Query(request.query_params, ()).done()
        endpoint = find_endpoint(principal_of(request), webhook_id)
        return Response(delivery_with_payload(find_delivery(endpoint, delivery_id)))


class ReplayOneView(APIView):
    """A delivery once more."""

    required_scope = scopes.WEBHOOKS_MANAGE

    @extend_schema(
        operation_id="webhooks_replay_delivery",
        summary="Send a delivery again",
        tags=TAGS,
        request=None,
        responses={200: ref("WebhookDelivery"), 409: ref("Problem")},
    )
    def post(self, request: Request, webhook_id: str, delivery_id: str) -> Response:
        """Under the same webhook-id, from the first attempt on. One that waits or is under way is 409."""
        reject_unknown(body_of(request), frozenset())
        principal = principal_of(request)
        endpoint = find_endpoint(principal, webhook_id)
        replay.replay_one(find_delivery(endpoint, delivery_id), actor=principal.name)
        return Response(delivery_with_payload(find_delivery(endpoint, delivery_id)))


class ReplayView(APIView):
    """A range of deliveries once more."""

    required_scope = scopes.WEBHOOKS_MANAGE

    @extend_schema(
        operation_id="webhooks_replay",
        summary="Send the deliveries of a time again",
        tags=TAGS,
        request={"application/json": schemas.REPLAY},
        responses={200: ref("WebhookReplayed"), 409: ref("Problem")},
    )
    def post(self, request: Request, webhook_id: str) -> Response:
        """Those made from `from` on and before `to` (left out: now) that have ended, of that `status`. `missing` is what
        the webhook was never told of in that time, because it was not there or disabled."""
        principal = principal_of(request)
        endpoint = find_endpoint(principal, webhook_id)
        statuses, wanted = _range(body_of(request))
        count = 0
        if not statuses or statuses != {MISSING}:
            count += replay.replay_range(endpoint, wanted, actor=principal.name)
        if MISSING in statuses and wanted.since is not None:
            count += recovery.deliver_missing(endpoint, since=wanted.since, before=wanted.before, actor=principal.name)
        return Response({"count": count})


class TestView(APIView):
    """An event that only tries the endpoint."""

    required_scope = scopes.WEBHOOKS_MANAGE

    @extend_schema(
        operation_id="webhooks_test",
        summary="Send a test event to a webhook",
        tags=TAGS,
        request={"application/json": schemas.TEST},
        responses={202: ref("WebhookDelivery"), 409: ref("Problem")},
    )
    def post(self, request: Request, webhook_id: str) -> Response:
        """A made-up event, marked `"test": true`, sent as a real one; what becomes of it is in the delivery log."""
        principal = principal_of(request)
        endpoint = find_endpoint(principal, webhook_id)
        problems = Problems()
        event = Reader(body_of(request), "", problems, {"event"}).choice("event", EVENTS)
        problems.raise_if_any()
        sent = replay.send_test(endpoint, event, actor=principal.name)
        return Response(delivery_with_payload(find_delivery(endpoint, str(sent))), status=202)


class StatsView(APIView):
    """How an endpoint does."""

    required_scope = scopes.WEBHOOKS_MANAGE

    @extend_schema(
        operation_id="webhooks_stats",
        summary="Read the statistics of a webhook",
        tags=TAGS,
        parameters=_WINDOW,
        responses={200: ref("WebhookStats")},
    )
    def get(self, request: Request, webhook_id: str) -> Response:
        """Of the deliveries that were made in that time."""
        query = Query(request.query_params, {"from", "to"})
        since, before = query.time("from"), query.time("to")
        query.done()
        endpoint = find_endpoint(principal_of(request), webhook_id)
        return Response(stats_shape(stats_of(endpoint, since=since, before=before), endpoint))


def _id(query: Query, name: str, prefix: str, wrong: str) -> UUID | None:
    text = query.text(name)
    found = None if text is None else decode(prefix, text)
    if text is not None and found is None:
        query.wrong(name, wrong)
    return found


def _range(body: dict[str, Any]) -> tuple[frozenset[str], DeliveryFilter]:
    """The body of a replay: what is asked for, and the deliveries that are. Raises Invalid."""
    problems = Problems()
    reader = Reader(body, "", problems, {"from", "to", "status"})
    times = {}
    for name in ("from", "to"):
        given = reader.data.get(name)
        if given is None:
            continue
        try:
            times[name] = parse_time(given)
        except ValueError as error:
            reader.problem(name, str(error))
    if reader.data.get("from") is None:
        reader.problem("from", "is required: from when on they are sent again", "required")
    if len(times) == 2 and times["from"] >= times["to"]:
        reader.problem("from", "is not before `to`: nothing is between them")
    statuses = _statuses(reader)
    problems.raise_if_any()
    ended = statuses - {MISSING} or frozenset(replay.REPLAYABLE)
    return statuses, DeliveryFilter(statuses=ended, since=times["from"], before=times.get("to"))


def _statuses(reader: Reader) -> frozenset[str]:
    known = (*replay.REPLAYABLE, MISSING)
    if isinstance(reader.data.get("status"), str):
        chosen = reader.choice("status", known)
        return frozenset({chosen} if chosen else ())
    found = set()
    for path, status in reader.items("status"):
        if not isinstance(status, str) or status not in known:
            reader.problems.add(path, not_one_of(status if isinstance(status, str) else "", known))
        else:
            found.add(status)
    return frozenset(found)
