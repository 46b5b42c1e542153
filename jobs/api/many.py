"""The …-many calls over HTTP: a list's filter as a body, and what is asked of all that it finds.

Owns the body: a filter that selects nothing in particular is refused, paging has no meaning.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any, ClassVar
from uuid import UUID

from django.http import QueryDict
from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from core.errors import Invalid
from core.ids import decode, encode
from core.openapi import COUNT, FLAG, TEXT, TIME_GIVEN, Schema, list_of, obj, one_of, ref
from core.tenancy import scopes
from core.tenancy.auth import Principal, principal_of
from core.tenancy.parsing import body_of
from executors.catalog.reading import Problems, Reader
from jobs.api import examples
from jobs.api.parameters import LAST_RUN, MOST_FAILURES
from jobs.api.reading import FILTER_FIELDS, Query, read_filter
from jobs.api.views import LONGEST_DELAY, LONGEST_NOTE
from jobs.operations import many
from jobs.operations.many import Asked
from jobs.operations.reschedule import check_changes
from jobs.queries import JobFilter
from jobs.states import JobStatus, Verb

_FLAGS = ("recurring", "retrying")
_LISTS = ("status", "label")
_TIMES = ("from", "to")
_MOST_IN_A_LIST = 50
_NOTE: Schema = {**TEXT, "maxLength": LONGEST_NOTE}

_STATUS = one_of(*map(str, JobStatus))
_WORD: Schema = {**TEXT, "minLength": 1, "maxLength": 300}
_LABEL: Schema = {**TEXT, "pattern": "^[^:]+:", "maxLength": 300}
_FILTER: dict[str, Schema] = {
    "status": {"oneOf": [_STATUS, {**list_of(_STATUS), "minItems": 1}]},
    "label": {
        "oneOf": [_LABEL, {**list_of(_LABEL), "minItems": 1}],
        "description": "key:value; a job must have all that are given",
    },
    **dict.fromkeys(_FLAGS, FLAG),
    **dict.fromkeys(_TIMES, TIME_GIVEN),
    **dict.fromkeys(("product", "env", "namespace", "target", "queue", "q"), _WORD),
    "last_run_status": one_of(*LAST_RUN),
    "consecutive_failures": {"type": "integer", "minimum": 1, "maximum": MOST_FAILURES},
}
_ERRORS = list_of(obj({"job_id": TEXT, "code": TEXT, "detail": TEXT}))
DONE = obj(
    {"count": COUNT, "skipped": COUNT},
    {
        "pause_id": {**TEXT, "description": "by which resume-many takes back just this pause"},
        "errors": {
            **_ERRORS,
            "description": "the first of those that were skipped for another reason than their state",
        },
    },
)
BEGUN = obj({"operation_id": TEXT}, {"pause_id": TEXT})


class ManyView(APIView):
    """A verb for all jobs that a filter finds."""

    required_scope = scopes.JOBS_MANAGE
    verb: ClassVar[Verb]
    more: ClassVar[frozenset[str]]  # the body's fields besides the filter and dry_run

    def arguments(self, reader: Reader) -> dict[str, Any]:
        raise NotImplementedError

    def answer(self, request: Request) -> Response:
        """Read, do, and tell how many; 202 where it goes on in the background."""
        principal = principal_of(request)
        body = body_of(request)
        asked = self._asked(body, principal)
        operation = many.start(asked)
        told: dict[str, Any] = {}
        if operation.verb == Verb.PAUSE and not operation.dry_run:
            told["pause_id"] = encode("pause", operation.pk)
        if operation.finished_at is None:
            return Response({"operation_id": str(operation), **told}, status=202)
        told |= {"count": operation.count, "skipped": operation.skipped}
        return Response({**told, "errors": operation.errors} if operation.errors else told)

    def _asked(self, body: Mapping[str, Any], principal: Principal) -> Asked:
        """Raises Invalid."""
        problems = Problems()
        of_filter = {*FILTER_FIELDS, *(("pause_id",) if self.verb is Verb.RESUME else ())}
        reader = Reader(body, "", problems, {*of_filter, "dry_run", *self.more})
        dry_run = bool(reader.value("dry_run", bool))
        pause_id = _pause_id(reader) if self.verb is Verb.RESUME else None
        query = _query(reader)
        arguments = self.arguments(reader)
        problems.raise_if_any()
        if all(body.get(name) is None for name in of_filter):
            raise Invalid("name which jobs: a filter with at least one field", code="empty_filter")
        wanted: JobFilter = read_filter(query, principal)
        query.done()
        return Asked(
            verb=self.verb,
            wanted=wanted,
            pause_id=pause_id,
            arguments=arguments,
            dry_run=dry_run,
            actor=principal.name,
            product_id=principal.product_id,
            environment_ids=principal.environment_ids,
        )


def _query(reader: Reader) -> Query:
    """The filter of a body as that of a list's query, with each value of its type."""
    given = QueryDict(mutable=True)
    for name in FILTER_FIELDS:
        values = _texts(reader, name)
        if values:
            given.setlist(name, values)
    return Query(given, FILTER_FIELDS)


def _texts(reader: Reader, name: str) -> list[str]:
    value = reader.data.get(name)
    if value is None:
        return []
    if name in _FLAGS:
        return [] if reader.value(name, bool) is None else ["true" if value else "false"]
    if name == "consecutive_failures":
        number = reader.number(name, low=1, high=MOST_FAILURES)
        return [] if number is None else [str(number)]
    if name in _TIMES and isinstance(value, int) and not isinstance(value, bool):
        return [str(value)]
    if name in _LISTS and isinstance(value, list):
        if not 1 <= len(value) <= _MOST_IN_A_LIST or not all(isinstance(word, str) and word.strip() for word in value):
            reader.problem(name, f"must be text, or a list of 1 to {_MOST_IN_A_LIST} texts")
            return []
        return value
    text = reader.value(name, str)
    if text is not None and not text.strip(" ,"):
        reader.problem(name, "is empty, which would be any: leave it out, or name one")
        return []
    return [] if text is None else [text]


def _pause_id(reader: Reader) -> UUID | None:
    text = reader.text("pause_id")
    found = decode("pause", text) if text is not None else None
    if text is not None and found is None:
        reader.problem("pause_id", "is not one that pause-many answered")
    return found


def _many(verb: Verb, explained: str, **more: Schema) -> Any:
    """The description of one call."""
    fields = {**_FILTER, **more, "dry_run": {**FLAG, "description": "only count: nothing is changed"}}
    shown = {"examples": examples.MANY[verb]} if verb in examples.MANY else {}
    return extend_schema(
        operation_id=f"jobs_{verb}_many",
        summary=f"{verb.capitalize()} many jobs",
        description=explained,
        tags=["jobs"],
        request={"application/json": {**obj({}, fields), "minProperties": 1, **shown}},
        responses={200: ref("ManyDone"), 202: ref("ManyBegun")},
    )


class CancelManyView(ManyView):
    verb, more = Verb.CANCEL, frozenset({"reason"})

    @_many(verb, "Cancel all that a filter finds, by default in every state that can be cancelled.", reason=_NOTE)
    def post(self, request: Request) -> Response:
        return self.answer(request)

    def arguments(self, reader: Reader) -> dict[str, Any]:
        return {"reason": reader.text("reason", limit=LONGEST_NOTE) or ""}


class PauseManyView(ManyView):
    verb, more = Verb.PAUSE, frozenset({"note"})

    @_many(verb, "Pause the recurring jobs that a filter finds; one-offs are skipped.", note=_NOTE)
    def post(self, request: Request) -> Response:
        return self.answer(request)

    def arguments(self, reader: Reader) -> dict[str, Any]:
        return {"note": reader.text("note", limit=LONGEST_NOTE) or ""}


class ResumeManyView(ManyView):
    verb, more = Verb.RESUME, frozenset({"note"})

    @_many(
        verb,
        "Resume the paused jobs that a filter finds; with `pause_id` those that this pause-many paused.",
        note=_NOTE,
        pause_id=TEXT,
    )
    def post(self, request: Request) -> Response:
        return self.answer(request)

    def arguments(self, reader: Reader) -> dict[str, Any]:
        return {"note": reader.text("note", limit=LONGEST_NOTE) or ""}


class RetryManyView(ManyView):
    verb, more = Verb.RETRY, frozenset({"delay"})

    @_many(
        verb,
        "Run what failed once more, by default all that is `failed`, which also takes recurring jobs whose last run "
        "failed. `from` and `to` are of the end of that run.",
        delay={"type": "integer", "minimum": 0, "maximum": LONGEST_DELAY, "description": "ms"},
    )
    def post(self, request: Request) -> Response:
        return self.answer(request)

    def arguments(self, reader: Reader) -> dict[str, Any]:
        return {"delay": reader.number("delay", low=0, high=LONGEST_DELAY) or 0}


class RescheduleManyView(ManyView):
    verb, more = Verb.RESCHEDULE, frozenset({"schedule"})

    @_many(
        verb,
        "Give all that a filter finds a new time or grid, as `reschedule` does; those that cannot take it are skipped "
        "and told in `errors`.",
        schedule=ref("Schedule"),
    )
    def post(self, request: Request) -> Response:
        return self.answer(request)

    def arguments(self, reader: Reader) -> dict[str, Any]:
        schedule = reader.value("schedule", dict)
        if schedule is None:
            if reader.data.get("schedule") is None:
                reader.problem("schedule", 'is required: an object such as {"cron": "0 9 * * *"}', "required")
            return {}
        _check(schedule, reader)
        return {"schedule": schedule}


class DeleteManyView(ManyView):
    verb, more = Verb.DELETE, frozenset({"force"})

    @_many(
        verb,
        "Delete all that a filter finds, with their history; those that run are skipped unless `force` cancels them.",
        force=FLAG,
    )
    def post(self, request: Request) -> Response:
        return self.answer(request)

    def arguments(self, reader: Reader) -> dict[str, Any]:
        return {"force": bool(reader.value("force", bool))}


def _check(schedule: Mapping[str, Any], reader: Reader) -> None:
    try:
        check_changes(schedule)
    except Invalid as error:
        if not error.errors:
            reader.problem("schedule", error.detail, error.code)
        for each in error.errors:
            reader.problem(f"schedule.{each.field}", each.detail, each.code)


_VIEWS: Collection[type[ManyView]] = (
    CancelManyView, PauseManyView, ResumeManyView, RetryManyView, RescheduleManyView, DeleteManyView,
)  # fmt: skip
VIEWS = {f"{view.verb}-many": view for view in _VIEWS}
