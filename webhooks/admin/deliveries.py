"""The delivery log across endpoints, and the page of one delivery. Replays go through the operation."""

from __future__ import annotations

import json
from datetime import datetime
from typing import Any

from django.contrib import admin, messages
from django.contrib.admin import SimpleListFilter
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponseBase, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import path, reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString

from core.backoffice.pages import ReadOnlyAdmin, actor_of, tell
from core.backoffice.words import NOTHING, moment, pretty, span_ms
from core.clock import database_now
from core.errors import ApiError
from core.ids import decode, encode
from webhooks.admin.shown import status_badge
from webhooks.models import MESSAGE_PREFIX, Delivery, Endpoint
from webhooks.operations import replay
from webhooks.operations.fields import EVENTS
from webhooks.queries import SHOWN, with_attempts
from webhooks.states import DeliveryStatus

MOST_CHOICES = 200


class StatusFilter(SimpleListFilter):
    title, parameter_name = "status", "status"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [(name, name) for name in SHOWN]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Delivery]) -> QuerySet[Delivery]:
        value = self.value()
        return queryset.filter(status__in=SHOWN.get(value, ())) if value else queryset


class EventFilter(SimpleListFilter):
    title, parameter_name = "event", "event"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [(event, event) for event in EVENTS]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Delivery]) -> QuerySet[Delivery]:
        return queryset.filter(type=self.value()) if self.value() else queryset


class EndpointFilter(SimpleListFilter):
    title, parameter_name = "webhook", "endpoint"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        rows = Endpoint.objects.order_by("url").values_list("pk", "url")[:MOST_CHOICES]
        return [(str(pk), url) for pk, url in rows]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Delivery]) -> QuerySet[Delivery]:
        value = self.value()
        if not value:
            return queryset
        known = {key for key, _ in self.lookups(request, None)}
        return queryset.filter(endpoint_id=value) if value in known else queryset.none()


@admin.register(Delivery)
class DeliveryAdmin(ReadOnlyAdmin):
    list_display = ("when", "event", "webhook", "state", "tried", "answer")
    list_filter = (StatusFilter, EventFilter, EndpointFilter)
    list_fullwidth = True
    ordering = ("-id",)
    actions = ("replay_selected",)
    search_fields = ("message__job_id",)
    search_help_text = "job_… · msg_…"

    def get_queryset(self, request: HttpRequest) -> QuerySet[Delivery]:
        self._now = database_now()
        return with_attempts(super().get_queryset(request)).select_related("endpoint", "message")

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Delivery], search_term: str
    ) -> tuple[QuerySet[Delivery], bool]:
        term = search_term.strip()
        if not term:
            return queryset, False
        job, message = decode("job", term), decode(MESSAGE_PREFIX, term)
        if job is not None:
            return queryset.filter(message__job_id=job), False
        return (queryset.filter(message_id=message) if message is not None else queryset.none()), False

    def get_urls(self) -> list[Any]:
        again = path("<str:object_id>/replay/", self.admin_site.admin_view(self.again), name="webhooks_delivery_again")
        return [again, *super().get_urls()]

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: Any = None
    ) -> HttpResponseBase:
        """The page of one delivery: attempts, and what is sent."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        delivery = self._find(request, object_id)
        now = database_now()
        message = delivery.message
        facts = [
            ("Event", delivery.type),
            ("Webhook", format_html('<a href="{}">{}</a>', _endpoint_url(delivery), delivery.endpoint.url)),
            ("webhook-id", encode(MESSAGE_PREFIX, message.pk)),
            ("Job", _job(delivery)),
            ("Made", moment(delivery.created_at, now=now)),
            *([("Why it failed", delivery.reason)] if delivery.reason else []),
            ("Next attempt", _next_attempt(delivery, now)),
        ]
        context = {
            **self.admin_site.each_context(request),
            "opts": self.opts,
            "title": f"{delivery.type} to {delivery.endpoint.url}",
            "delivery": delivery,
            "state": status_badge(delivery),
            "facts": facts,
            "attempts": [
                (moment(each.at, now=now), span_ms(each.duration_ms), each) for each in delivery.attempts.all()
            ],
            "payload": pretty(json.loads(message.body)),
            "replayable": delivery.finished_at is not None and self.has_act_permission(request),
        }
        return TemplateResponse(request, "webhooks/admin/delivery.html", context)

    def again(self, request: HttpRequest, object_id: str) -> HttpResponseBase:
        """Replay one."""
        if request.method != "POST" or not self.has_act_permission(request):
            raise PermissionDenied
        delivery = self._find(request, object_id)
        try:
            replay.replay_one(delivery, actor=actor_of(request))
        except ApiError as error:
            tell(request, error, "Not replayed")
        else:
            messages.success(request, "It is sent again")
        return HttpResponseRedirect(reverse("admin:webhooks_delivery_change", args=[delivery.pk]))

    def _find(self, request: HttpRequest, object_id: str) -> Delivery:
        found = self.get_object(request, object_id)
        if found is None:
            raise Http404("there is no such delivery")
        delivery: Delivery = found
        return delivery

    @admin.action(description="Send the selected deliveries again", permissions=["act"])
    def replay_selected(self, request: HttpRequest, queryset: QuerySet[Delivery]) -> None:
        count = 0
        for delivery in queryset:
            try:
                replay.replay_one(delivery, actor=actor_of(request))
                count += 1
            except ApiError as error:
                tell(request, error, f"{delivery.type} to {delivery.endpoint.url}")
        messages.info(request, f"{count} sent again")

    @admin.display(description="when")
    def when(self, delivery: Delivery) -> SafeString | str:
        return moment(delivery.created_at, now=self._now)

    @admin.display(description="event")
    def event(self, delivery: Delivery) -> SafeString:
        job = delivery.message.job_id
        told = "a test" if job is None else encode("job", job)
        return format_html(
            '<span class="two-lines"><span>{}</span><small class="code">{}</small></span>', delivery.type, told
        )

    @admin.display(description="webhook")
    def webhook(self, delivery: Delivery) -> str:
        return delivery.endpoint.url

    @admin.display(description="status")
    def state(self, delivery: Delivery) -> SafeString:
        return status_badge(delivery)

    @admin.display(description="attempts")
    def tried(self, delivery: Delivery) -> int:
        return len(delivery.attempts.all())

    @admin.display(description="last answer")
    def answer(self, delivery: Delivery) -> str:
        attempts = list(delivery.attempts.all())
        if not attempts:
            return NOTHING
        return attempts[-1].error or f"{attempts[-1].response_status} in {span_ms(attempts[-1].duration_ms)}"


def _next_attempt(delivery: Delivery, now: datetime) -> SafeString | str:
    """When it may be made: not while its endpoint rests after failures."""
    if delivery.finished_at is not None:
        return NOTHING
    if delivery.status == DeliveryStatus.DELIVERING:
        return "under way"
    rests = delivery.endpoint.rest_until
    if rests is None or rests <= delivery.due_at or rests <= now:
        return moment(delivery.due_at, now=now)
    return format_html('{}<p class="quiet">once an attempt for this webhook succeeds</p>', moment(rests, now=now))


def _endpoint_url(delivery: Delivery) -> str:
    return reverse("admin:webhooks_endpoint_change", args=[delivery.endpoint_id])


def _job(delivery: Delivery) -> SafeString | str:
    job = delivery.message.job_id
    if job is None:
        return "none: it was a test"
    name = encode("job", job)
    return format_html('<a class="code" href="{}">{}</a>', reverse("admin:jobs_job_change", args=[name]), name)
