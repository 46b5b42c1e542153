"""A schedule before it is created: when it would run. Nothing is stored."""

from __future__ import annotations

from datetime import UTC, datetime, tzinfo

from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from core.clock import database_now
from core.errors import Invalid
from core.openapi import TEXT, TIME, TIME_GIVEN, list_of, nullable, obj, ref
from core.tenancy import scopes
from core.tenancy.parsing import body_of
from core.times import MICROSECOND, parse_time, to_ms
from core.zones import UnknownZone, zone
from executors.catalog.reading import Problems, Reader
from jobs.schedule import first_occurrence, parse_schedule, preview
from jobs.schedule.parsing import FURTHEST, TOO_FAR
from jobs.schedule.preview import MOST_OCCURRENCES

USUAL_COUNT = 10
_ASKED = obj(
    {"schedule": ref("Schedule")},
    {
        "count": {**nullable({"type": "integer", "minimum": 1, "maximum": MOST_OCCURRENCES}), "default": USUAL_COUNT},
        "from": nullable(TIME_GIVEN),
    },
)
_TOLD = obj(
    {
        "occurrences": list_of(TIME),
        "local": list_of({**TEXT, "description": "ISO 8601 in the schedule's zone"}),
        "description": {**TEXT, "description": "the schedule as a sentence"},
        "notes": list_of({**TEXT, "description": "what a change of the clock does to it"}),
    }
)


class PreviewView(APIView):
    """What a schedule means."""

    required_scope = scopes.JOBS_READ

    @extend_schema(
        operation_id="schedule_preview",
        summary="Preview a schedule",
        tags=["schedules"],
        request={"application/json": _ASKED},
        responses={200: _TOLD},
    )
    def post(self, request: Request) -> Response:
        """The next occurrences of a schedule as it would be dispatched now, or at `from`."""
        body = body_of(request)
        problems = Problems()
        reader = Reader(body, "", problems, {"schedule", "count", "from"})
        count = reader.number("count", low=1, high=MOST_OCCURRENCES)
        if body.get("schedule") is None:
            reader.problem("schedule", 'is required: an object such as {"cron": "0 9 * * *"}', "required")
        problems.raise_if_any()
        now = database_now() if body.get("from") is None else _from(body["from"], body["schedule"])
        schedule = parse_schedule(body["schedule"], now=now)
        first = first_occurrence(schedule, now=now)
        told = preview(schedule, count=count or USUAL_COUNT, after=(first or now) - MICROSECOND)
        return Response(
            {
                "occurrences": [to_ms(at) for at in told.occurrences],
                "local": list(told.local),
                "description": told.description,
                "notes": list(told.notes),
            }
        )


def _from(value: object, schedule: object) -> datetime:
    """Without an offset a reading of the schedule's clock.

    Raises Invalid, also so far in the future that a schedule of that day would be refused.
    """
    try:
        moment = parse_time(value, _zone_of(schedule))
    except ValueError as error:
        raise Invalid.field("from", str(error)) from None
    if moment - database_now() > FURTHEST:
        raise Invalid.field("from", TOO_FAR)
    return moment


def _zone_of(schedule: object) -> tzinfo:
    """UTC too where the zone is none: that is told with all else that is wrong with the schedule."""
    name = (schedule.get("tz") or schedule.get("timezone")) if isinstance(schedule, dict) else None
    try:
        return zone(name) if isinstance(name, str) else UTC
    except UnknownZone:
        return UTC
