"""What `/metrics` tells of webhooks: read from the database at the scrape, as the rest is (`jobs.metrics`)."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

from django.db.models import Sum
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

from webhooks.models import AttemptTally, Delivery, Endpoint
from webhooks.states import AttemptOutcome, DeliveryStatus

_OPEN = [DeliveryStatus.PENDING, DeliveryStatus.DELIVERING]


def collect(now: datetime) -> Iterator[Metric]:
    """One scrape. Gauges read open rows only."""
    counted = dict(AttemptTally.objects.values("outcome").annotate(sum=Sum("attempts")).values_list("outcome", "sum"))
    attempts = CounterMetricFamily(
        "ductape_webhook_attempts", "Requests made to webhooks, by what they meant for their delivery.",
        labels=["outcome"],
    )  # fmt: skip
    for outcome in AttemptOutcome:
        attempts.add_metric([outcome], counted.get(outcome, 0))
    yield attempts
    waiting = Delivery.objects.filter(status__in=_OPEN)
    yield GaugeMetricFamily(
        "ductape_webhook_deliveries_pending", "Deliveries that wait for an attempt, or for its answer.",
        value=waiting.count(),
    )  # fmt: skip
    oldest = waiting.order_by("created_at").values_list("created_at", flat=True).first()
    yield GaugeMetricFamily(
        "ductape_webhook_oldest_pending_age_seconds", "How long ago the oldest of them was made.",
        value=0.0 if oldest is None else max(0.0, (now - oldest).total_seconds()),
    )  # fmt: skip
    endpoints = GaugeMetricFamily("ductape_webhook_endpoints", "Endpoints, by state.", labels=["state"])
    disabled = Endpoint.objects.filter(enabled=False).exclude(disabled_reason="").count()
    endpoints.add_metric(["enabled"], Endpoint.objects.filter(enabled=True).count())
    endpoints.add_metric(["disabled"], disabled)  # by the system itself
    endpoints.add_metric(["off"], Endpoint.objects.filter(enabled=False, disabled_reason="").count())
    endpoints.add_metric(["resting"], Endpoint.objects.filter(enabled=True, rest_until__gt=now).count())
    yield endpoints
