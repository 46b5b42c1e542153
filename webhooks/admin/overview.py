"""What the first page of the admin says of webhooks: which need a look, and how many deliveries wait."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta

from django.db.models import Min, QuerySet
from django.http import HttpRequest
from django.urls import reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString

from core.backoffice.words import relative
from jobs.extensions import Overview
from webhooks.models import Delivery, Endpoint
from webhooks.settling import REST_AFTER
from webhooks.states import DeliveryStatus

NAMED = 3  # of each kind; the list has the others
DISABLED_LATELY = timedelta(days=7)  # after that it is nobody's surprise any more


def overview(request: HttpRequest, now: datetime, most: int) -> Overview:
    """Who may not see webhooks is told of none by name or number."""
    may_look = request.user.has_perm("webhooks.view_endpoint") or request.user.has_perm("webhooks.change_endpoint")
    due = Delivery.objects.filter(status=DeliveryStatus.PENDING, due_at__lte=now, endpoint__enabled=True)
    first = due.order_by()[: most + 1].values("pk")
    waiting = first.count()
    oldest = Delivery.objects.filter(pk__in=first).aggregate(oldest=Min("due_at"))["oldest"] if waiting else None
    return Overview(warnings=list(_warnings(now)) if may_look else [], waiting=waiting, oldest=oldest)


def disabled() -> QuerySet[Endpoint]:
    """Those that the system itself has disabled."""
    return Endpoint.objects.filter(enabled=False).exclude(disabled_reason="")


def failing() -> QuerySet[Endpoint]:
    """Those that fail again and again."""
    return Endpoint.objects.filter(enabled=True, consecutive_failures__gte=REST_AFTER)


def _warnings(now: datetime) -> Iterator[SafeString]:
    lately = list(disabled().filter(disabled_at__gte=now - DISABLED_LATELY).order_by("-disabled_at")[: NAMED + 1])
    for endpoint in lately[:NAMED]:
        at = relative(endpoint.disabled_at or now, now)
        yield _warning(endpoint, f"was disabled {at}: {endpoint.disabled_reason}")
    if len(lately) > NAMED:
        yield _more("disabled")
    ailing = list(failing().order_by("failing_since")[: NAMED + 1])
    for endpoint in ailing[:NAMED]:
        began = relative(endpoint.failing_since or now, now)
        yield _warning(endpoint, f"fails: {endpoint.consecutive_failures} attempts in a row, the first {began}")
    if len(ailing) > NAMED:
        yield _more("failing")


def _warning(endpoint: Endpoint, what: str) -> SafeString:
    page = reverse("admin:webhooks_endpoint_change", args=[endpoint.pk])
    return format_html('Webhook <a href="{}">{}</a> {}.', page, endpoint.url.partition("?")[0], what)


def _more(state: str) -> SafeString:
    page = reverse("admin:webhooks_endpoint_changelist") + f"?state={state}"
    return format_html('<a href="{}">More webhooks</a> are {}.', page, state)
