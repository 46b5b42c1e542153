"""The parameters of queries as OpenAPI describes them; `reading` reads them."""

from __future__ import annotations

from drf_spectacular.utils import OpenApiParameter

from core.openapi import TEXT, TIME_GIVEN, Schema, list_of, one_of
from jobs.states import JobStatus

LONGEST_WAIT = 60_000  # ms
MOST_LISTED = 1_000
DEFAULT_LISTED = 50
FURTHEST_OFFSET = 100_000  # a cursor goes on for ever
MOST_FAILURES = 1_000_000_000
SHOWN_IN_HISTORY = ("running", "completed", "failed", "cancelled", "skipped", "missed")
LAST_RUN = ("completed", "failed", "cancelled")
ORDERS = ("-created_at", "created_at")


def _query(name: str, schema: Schema, description: str = "", *, explode: bool | None = None) -> OpenApiParameter:
    return OpenApiParameter(name, schema, OpenApiParameter.QUERY, description=description, explode=explode)


_FLAG: Schema = {"type": "boolean"}
_PLACE = [
    _query("product", TEXT, "its tag; one that does not exist matches nothing"),
    _query("env", TEXT, "the slug of an environment"),
    _query("namespace", TEXT),
]
_WINDOW = [
    _query("from", TIME_GIVEN, "inclusive; of the end of jobs that are final, of scheduled_at of the others"),
    _query("to", TIME_GIVEN, "inclusive"),
]
FILTER = [
    _query("status", list_of(one_of(*map(str, JobStatus))), "one, or a comma list", explode=False),
    _query("recurring", _FLAG),
    *_PLACE,
    *_WINDOW,
    _query("target", TEXT, "component:event, or either of them"),
    _query("label", list_of(TEXT), "key:value; a job must have all that are given"),
    _query("queue", TEXT),
    _query("q", TEXT, "a job's id, or text in its target, queue, unique key, error or reasons"),
    _query("last_run_status", one_of(*LAST_RUN)),
    _query(
        "consecutive_failures",
        {"type": "integer", "minimum": 1, "maximum": MOST_FAILURES},
        "at least so many runs failed in a row, up to the last one",
    ),
    _query("retrying", _FLAG, "waits in a back-off"),
]
STATS = [*_PLACE, *_WINDOW]
WAIT = _query(
    "wait",
    {"type": "integer", "minimum": 0, "maximum": LONGEST_WAIT},
    "ms; answers as soon as the open run, else the next one, has ended, or the job is final or paused",
)
FORCE = _query("force", _FLAG, "cancel it first if it runs")
HISTORY_STATUS = _query("status", list_of(one_of(*SHOWN_IN_HISTORY)), "one, or a comma list", explode=False)


def limit_and_offset() -> list[OpenApiParameter]:
    return [
        _query("limit", {"type": "integer", "minimum": 1, "maximum": MOST_LISTED, "default": DEFAULT_LISTED}),
        _query("offset", {"type": "integer", "minimum": 0, "maximum": FURTHEST_OFFSET, "default": 0}),
    ]


def list_paging() -> list[OpenApiParameter]:
    return [
        *limit_and_offset(),
        _query("cursor", TEXT, "next_cursor of the page before; empty: the first page, without a total"),
        _query("order", {**one_of(*ORDERS), "default": ORDERS[0]}),
    ]
