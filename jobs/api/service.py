"""The service itself over HTTP: is it up, is everything there, who works, what waits, how it went.

`healthz` and `readyz` need no key: they tell nothing of any product. Worker processes and metrics
tell of the whole installation, so they need an operator key.
"""

from __future__ import annotations

from django.http import HttpResponse
from drf_spectacular.utils import extend_schema
from rest_framework.permissions import AllowAny
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from core.clock import database_now
from core.errors import Forbidden, Unavailable
from core.openapi import obj, one_of, ref
from core.tenancy import scopes
from core.tenancy.auth import principal_of
from jobs import load, metrics
from jobs.api.reading import Query, environment_ids
from jobs.api.shapes import queue_shape, scheduler_shape, worker_shape
from jobs.operations.health import readiness

_MOST_PROCESSES = 1_000


class HealthView(APIView):
    """The process is up. Asks nobody, needs no key."""

    authentication_classes = []
    permission_classes = [AllowAny]

    @extend_schema(
        operation_id="healthz", summary="Is the process up?", tags=["service"], auth=[], responses={200: obj({"status": one_of("ok")})}
    )  # fmt: skip
    def get(self, request: Request) -> Response:
        """The process is up."""
        return Response({"status": "ok"})


class ReadyView(APIView):
    """Everything that jobs need is there. Needs no key."""

    authentication_classes = []
    permission_classes = [AllowAny]

    @extend_schema(
        operation_id="readyz", summary="Is the system ready?", tags=["service"], auth=[], responses={200: ref("Readiness"), 503: ref("Problem")}
    )  # fmt: skip
    def get(self, request: Request) -> Response:
        """Database, broker, a scheduler and a worker seen lately; 503 names what is missing."""
        checks = readiness()
        missing = [check for check in checks if not check.ok]
        shown = {check.name: {"ok": check.ok, **({"detail": check.detail} if check.detail else {})} for check in checks}
        if missing:
            raise Unavailable(
                "; ".join(f"{check.name}: {check.detail}" for check in missing),
                code="not_ready",
                retry_after=2,
                extra={"missing": [check.name for check in missing], "checks": shown},
            )
        return Response({"status": "ready", "checks": shown})


class WorkersView(APIView):
    """Who works."""

    required_scope = scopes.JOBS_READ

    @extend_schema(
        operation_id="workers", summary="List workers and schedulers", tags=["service"], responses={200: ref("Workers")}
    )
    def get(self, request: Request) -> Response:
        """Worker processes, those that were lost or stopped in the last hour too, and schedulers. Operator keys only."""
        operators_only(request)
        Query(request.query_params, ()).done()
        now = database_now()
        return Response(
            {
                "workers": [worker_shape(worker, now) for worker in load.workers(now)[:_MOST_PROCESSES]],
                "schedulers": [scheduler_shape(scheduler) for scheduler in load.schedulers(now)[:_MOST_PROCESSES]],
            }
        )


class QueuesView(APIView):
    """What waits."""

    required_scope = scopes.JOBS_READ

    @extend_schema(
        operation_id="queues",
        summary="Show how deep and old the queues are",
        tags=["service"],
        responses={200: ref("Queues")},
    )
    def get(self, request: Request) -> Response:
        """Depth and age of each queue; a product's key sees the runs of its product only."""
        Query(request.query_params, ()).done()
        now = database_now()
        loads = load.queue_loads(environment_ids(principal_of(request), None, None), now)
        return Response({"queues": [queue_shape(queue, now) for queue in loads]})


class MetricsView(APIView):
    """Prometheus' side."""

    required_scope = scopes.JOBS_READ

    @extend_schema(
        operation_id="metrics", summary="Metrics for Prometheus", tags=["service"], responses={(200, "text/plain"): {"type": "string"}}
    )  # fmt: skip
    def get(self, request: Request) -> HttpResponse:
        """Metrics in Prometheus' text format. Operator keys only (`authorization: {credentials: …}` in its configuration)."""
        operators_only(request)
        return HttpResponse(metrics.exposition(), content_type=metrics.CONTENT_TYPE)


def operators_only(request: Request) -> None:
    """Raise Forbidden for the key of a product: this tells of the whole installation."""
    if not principal_of(request).is_operator:
        raise Forbidden("this tells of the whole installation: it needs an operator key", code="operator_key_needed")
