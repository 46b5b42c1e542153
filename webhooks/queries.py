"""Endpoints and deliveries read: what a key may see, pages, statistics. Never writes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from django.db.models import Prefetch, QuerySet

from core.errors import NotFound
from core.ids import decode
from core.tenancy.auth import Principal
from webhooks.models import DELIVERY_PREFIX, ENDPOINT_PREFIX, Attempt, Delivery, Endpoint
from webhooks.states import DeliveryStatus

# What callers call a status, and what that is in the rows.
SHOWN: dict[str, tuple[DeliveryStatus, ...]] = {
    "pending": (DeliveryStatus.PENDING, DeliveryStatus.DELIVERING),
    "delivered": (DeliveryStatus.DELIVERED,),
    "failed": (DeliveryStatus.FAILED,),
}


@dataclass(frozen=True, kw_only=True, slots=True)
class DeliveryFilter:
    """Which deliveries of an endpoint; what is left out does not matter. Times are those of their making."""

    statuses: frozenset[str] = frozenset()  # as callers call them
    types: frozenset[str] = frozenset()
    job_id: UUID | None = None
    since: datetime | None = None
    before: datetime | None = None

    def apply(self, deliveries: QuerySet[Delivery]) -> QuerySet[Delivery]:
        if self.statuses:
            deliveries = deliveries.filter(status__in=[each for name in self.statuses for each in SHOWN[name]])
        if self.types:
            deliveries = deliveries.filter(type__in=self.types)
        if self.job_id is not None:
            deliveries = deliveries.filter(message__job_id=self.job_id)
        if self.since is not None:
            deliveries = deliveries.filter(created_at__gte=self.since)
        if self.before is not None:
            deliveries = deliveries.filter(created_at__lt=self.before)
        return deliveries


def visible_endpoints(principal: Principal) -> QuerySet[Endpoint]:
    """Those that exist for this key: all, or its product's; of a key of some environments: those that reach no
    further than it does."""
    endpoints = Endpoint.objects.select_related("product")
    if principal.product_id is None:
        return endpoints
    endpoints = endpoints.filter(product_id=principal.product_id)
    if principal.environment_ids is None:
        return endpoints
    rows = endpoints.values_list("pk", "environment_ids")
    within = [pk for pk, ids in rows if ids is not None and principal.environment_ids.issuperset(ids)]
    return endpoints.filter(pk__in=within)


def find_endpoint(principal: Principal, id: str) -> Endpoint:
    """Raises NotFound."""
    key = decode(ENDPOINT_PREFIX, id)
    endpoint = visible_endpoints(principal).filter(pk=key).first() if key is not None else None
    if endpoint is None:
        raise NotFound(f"there is no webhook {id[:60]!r}", code="webhook_not_found")
    return endpoint


def find_delivery(endpoint: Endpoint, id: str) -> Delivery:
    """One of this endpoint's. Raises NotFound."""
    key = decode(DELIVERY_PREFIX, id)
    delivery = with_attempts(endpoint.deliveries.filter(pk=key)).first() if key is not None else None
    if delivery is None:
        raise NotFound(f"the webhook has no delivery {id[:60]!r}", code="delivery_not_found")
    return delivery


def with_attempts(deliveries: QuerySet[Delivery]) -> QuerySet[Delivery]:
    return deliveries.select_related("message", "endpoint").prefetch_related(
        Prefetch("attempts", queryset=Attempt.objects.order_by("pk"))
    )


def page_of_deliveries(
    endpoint: Endpoint, wanted: DeliveryFilter, *, limit: int, after: UUID | None
) -> tuple[Sequence[Delivery], UUID | None]:
    """The newest first, and where the next page begins (None: that was all)."""
    deliveries = wanted.apply(with_attempts(endpoint.deliveries.all()))
    if after is not None:
        deliveries = deliveries.filter(pk__lt=after)
    found = list(deliveries.order_by("-pk")[: limit + 1])
    return found[:limit], found[limit - 1].pk if len(found) > limit else None


@dataclass(frozen=True, kw_only=True, slots=True)
class EndpointStats:
    """Deliveries made in a window, by what became of them; durations in ms of their attempts."""

    pending: int
    delivered: int
    failed: int
    attempts: int
    duration_p50: int | None
    duration_p95: int | None
    duration_p99: int | None
    last_error: str

    @property
    def success_rate(self) -> float | None:
        """0–100 of those that have ended; None: none has."""
        ended = self.delivered + self.failed
        return round(100 * self.delivered / ended, 2) if ended else None


MOST_MEASURED = 20_000  # attempts whose durations are looked at: the newest


def stats_of(endpoint: Endpoint, *, since: datetime | None, before: datetime | None) -> EndpointStats:
    """Statistics of one endpoint."""
    deliveries = DeliveryFilter(since=since, before=before).apply(endpoint.deliveries.all())
    counts = {name: deliveries.filter(status__in=statuses).count() for name, statuses in SHOWN.items()}
    attempts = Attempt.objects.filter(delivery__in=deliveries)
    newest = list(attempts.order_by("-pk").values_list("duration_ms", "error")[:MOST_MEASURED])
    durations = sorted(duration for duration, _ in newest)
    return EndpointStats(
        pending=counts["pending"],
        delivered=counts["delivered"],
        failed=counts["failed"],
        attempts=attempts.count(),
        duration_p50=percentile(durations, 50),
        duration_p95=percentile(durations, 95),
        duration_p99=percentile(durations, 99),
        last_error=next((error for _, error in newest if error), ""),
    )


def percentile(ordered: Sequence[int], percent: int) -> int | None:
    """The smallest value that `percent` of them do not exceed; None of nothing."""
    if not ordered:
        return None
    return ordered[max(0, -(-len(ordered) * percent // 100) - 1)]
