"""`GET /v1/jobs/stats/series`: the runs of a window in intervals, for charts."""

from __future__ import annotations

from datetime import timedelta

from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from core.clock import database_now
from core.openapi import ref
from core.tenancy import scopes
from core.tenancy.auth import principal_of
from core.times import EPOCH, from_ms, to_ms
from jobs import queries
from jobs.api.parameters import STATS
from jobs.api.reading import STATS_FIELDS, Query, read_filter
from jobs.stats import run_series, series_bounds

MOST_BUCKETS = 1_500  # a day by the minute, and some
SHORTEST, LONGEST, USUAL = 1_000, 366 * 86_400_000, 3_600_000  # ms, of an interval
WINDOW = timedelta(days=1)  # that is looked at where nobody says since when

_INTERVAL = OpenApiParameter(
    "interval",
    {"type": "integer", "minimum": SHORTEST, "maximum": LONGEST, "default": USUAL},
    description=f"ms; at most {MOST_BUCKETS} of them from `from` (by default a day before `to`) to `to` (by default now)",
)


class SeriesView(APIView):
    """Runs in numbers over time."""

    required_scope = scopes.JOBS_READ

    @extend_schema(
        operation_id="jobs_stats_series",
        summary="Statistics of runs over time",
        tags=["jobs"],
        parameters=[*STATS, _INTERVAL],
        responses={200: ref("JobSeries")},
    )
    def get(self, request: Request) -> Response:
        """The runs that ended in each interval, by how; their durations and lateness. Intervals without any are there, too."""
        query = Query(request.query_params, {*STATS_FIELDS, "interval"})
        wanted = read_filter(query, principal_of(request))
        interval = query.number("interval", low=SHORTEST, high=LONGEST, default=USUAL)
        query.done()
        until = wanted.until or from_ms(to_ms(database_now()))
        since = wanted.since or max(until - WINDOW, EPOCH)
        if since > until:
            query.wrong("from", "is later than now: name a `to` after it")
        start, end = series_bounds(since, until, interval)
        if (end - start) // interval > MOST_BUCKETS:
            needed = -(-(to_ms(until) - to_ms(since)) // (MOST_BUCKETS - 1))
            query.wrong(
                "interval", f"would make more than {MOST_BUCKETS} buckets: take {needed} ms or more, or less time"
            )
        query.done()
        with queries.bounded_reading():
            return Response(run_series(wanted, since=since, until=until, interval=interval))
