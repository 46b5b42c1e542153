"""Operations over HTTP: how far a …-many call has come in the background, and its end before the end."""

from __future__ import annotations

from typing import Any

from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from core.errors import NotFound
from core.fields import parameters
from core.ids import decode, encode
from core.openapi import COUNT, FLAG, TEXT, TIME, list_of, nullable, obj, one_of, ref
from core.tenancy import scopes
from core.tenancy.auth import Principal, principal_of
from core.tenancy.parsing import body_of
from core.times import to_ms
from executors.catalog.reading import Problems, Reader
from jobs.api.many import BEGUN, DONE
from jobs.models import Operation
from jobs.operations import many
from jobs.states import Verb

OPERATION = obj(
    {
        "id": TEXT,
        "verb": one_of(*map(str, Verb)),
        "dry_run": FLAG,
        "status": one_of(many.RUNNING, many.COMPLETED, many.ABORTED),
        "total": {**nullable(COUNT), "description": "jobs that matched; null until they are counted"},
        "done": {**COUNT, "description": "jobs that were asked"},
        "count": {**COUNT, "description": "jobs that did it"},
        "skipped": COUNT,
        "errors": list_of(obj({"job_id": TEXT, "code": TEXT, "detail": TEXT})),
        "created_at": TIME,
    },
    {"finished_at": TIME, "pause_id": TEXT},
)
COMPONENTS = {"Operation": OPERATION, "ManyDone": DONE, "ManyBegun": BEGUN}


class OperationView(APIView):
    """One operation."""

    required_scope = scopes.JOBS_READ

    @extend_schema(
        operation_id="operations_get",
        summary="Read how far an operation has come",
        tags=["jobs"],
        responses={200: ref("Operation")},
    )
    def get(self, request: Request, operation_id: str) -> Response:
        """What a …-many call has done so far."""
        parameters(request.query_params, ())
        return Response(_shape(_visible(principal_of(request), operation_id)))


class AbortView(APIView):
    """The end of an operation before its end."""

    required_scope = scopes.JOBS_MANAGE

    @extend_schema(
        operation_id="operations_abort",
        summary="Abort an operation",
        tags=["jobs"],
        request={"application/json": obj({})},
        responses={200: ref("Operation"), 409: ref("Problem")},
    )
    def post(self, request: Request, operation_id: str) -> Response:
        """Ask no further job; what was done stays done. Twice is no error; 409 where it had completed."""
        problems = Problems()
        Reader(body_of(request), "", problems, set())
        problems.raise_if_any()
        principal = principal_of(request)
        many.abort(_visible(principal, operation_id).pk, actor=principal.name)
        return Response(_shape(_visible(principal, operation_id)))


def _visible(principal: Principal, operation_id: str) -> Operation:
    """An operation that was asked with a key that saw no more than this one. Raises NotFound."""
    key = decode("op", operation_id)
    found = Operation.objects.filter(pk=key).first() if key is not None else None
    if found is None or not _sees(principal, found):
        raise NotFound(f"there is no operation {operation_id[:60]}", code="operation_not_found")
    return found


def _sees(principal: Principal, operation: Operation) -> bool:
    if not principal.is_operator and operation.product_id != principal.product_id:
        return False
    if principal.environment_ids is None:
        return True
    return operation.environment_ids is not None and principal.environment_ids.issuperset(operation.environment_ids)


def _shape(operation: Operation) -> dict[str, Any]:
    shape: dict[str, Any] = {
        "id": str(operation),
        "verb": operation.verb,
        "dry_run": operation.dry_run,
        "status": operation.status,
        "total": operation.total,
        "done": operation.count + operation.skipped,
        "count": operation.count,
        "skipped": operation.skipped,
        "errors": operation.errors,
        "created_at": to_ms(operation.created_at),
    }
    if operation.finished_at is not None:
        shape["finished_at"] = to_ms(operation.finished_at)
    if operation.verb == Verb.PAUSE and not operation.dry_run:
        shape["pause_id"] = encode("pause", operation.pk)
    return shape
