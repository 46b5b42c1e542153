"""Dispatch over HTTP: one view for the ten namespaces, and dispatch-many. Parse → operation → serialise."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from drf_spectacular.utils import OpenApiParameter, extend_schema

from core.openapi import ref
from core.tenancy import scopes
from core.tenancy.auth import Principal
from core.tenancy.lean import LeanView, json_answer
from jobs.api.bodies import idempotency_key, read_dispatch, read_many
from jobs.api.dispatch_schemas import dispatch_body
from jobs.operations.dispatch import dispatch, dispatch_many
from jobs.operations.targets import TARGETS, TargetNames

KEY = OpenApiParameter(
    "Idempotency-Key", str, OpenApiParameter.HEADER, description="sent again within 24 h: the first answer again"
)


class DispatchView(LeanView):
    """An event of one namespace becomes a job."""

    required_scope = scopes.JOBS_DISPATCH
    names: TargetNames = TARGETS["actions"]

    def respond(self, request: HttpRequest, principal: Principal, body: dict[str, Any]) -> HttpResponse:
        asked = read_dispatch(body, self.names)
        header = request.META.get("HTTP_IDEMPOTENCY_KEY")
        if header is not None:
            asked = replace(asked, idempotency_key=idempotency_key(header, body))
        done = dispatch(asked, principal=principal)
        return _answer(done.as_dict(), created=done.created, replayed=done.replayed)


class DispatchManyView(LeanView):
    """Many events become jobs, all or none."""

    required_scope = scopes.JOBS_DISPATCH
    body_limit = settings.BULK_BODY_LIMIT_BYTES

    def respond(self, request: HttpRequest, principal: Principal, body: dict[str, Any]) -> HttpResponse:
        key = idempotency_key(request.META.get("HTTP_IDEMPOTENCY_KEY"), body)
        done = dispatch_many(read_many(body), principal=principal, idempotency_key=key)
        return _answer({"jobs": [job.as_dict() for job in done.jobs]}, created=True, replayed=done.replayed)

    @extend_schema(
        operation_id="jobs_dispatch_many",
        summary="Dispatch up to 1 000 jobs",
        tags=["dispatch"],
        parameters=[KEY],
        request={"application/json": ref("DispatchMany")},
        responses={
            201: ref("DispatchResults"),
            200: ref("DispatchResults"),
            409: ref("Problem"),
            422: ref("Problem"),
        },
    )
    def post(self, request: HttpRequest) -> HttpResponse:
        """At most 1000 jobs in one transaction; a problem names its job as `jobs.<index>`.

        200 with `Idempotent-Replayed: true` where the call as a whole was answered before.
        """
        raise NotImplementedError("`respond` answers")


def dispatch_view(names: TargetNames) -> type[DispatchView]:
    """The view of one namespace, described with its own body."""

    class View(DispatchView):
        @extend_schema(
            operation_id=f"{names.namespace.replace('.', '_')}_dispatch",
            summary=f"Dispatch a job of {names.namespace}",
            tags=["dispatch"],
            parameters=[KEY],
            request={"application/json": dispatch_body(names)},
            responses={
                201: ref("DispatchResult"),
                200: ref("DispatchResult"),
                409: ref("Problem"),
                422: ref("Problem"),
            },
        )
        def post(self, request: HttpRequest) -> HttpResponse:
            """Make a job: now, later, or again and again. Everything that can be wrong is told now.

            200 where the job was there already: by its unique key, or (`Idempotent-Replayed: true`) by the
            idempotency key.
            """
            raise NotImplementedError("`respond` answers")

    View.names = names
    View.__name__ = View.__qualname__ = "".join(map(str.title, names.namespace.split("."))) + "DispatchView"
    return View


def _answer(result: dict[str, Any], *, created: bool, replayed: bool) -> HttpResponse:
    answer = json_answer(result, status=201 if created and not replayed else 200)
    if replayed:
        answer["Idempotent-Replayed"] = "true"
    return answer
