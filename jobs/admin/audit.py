"""Who did what: interventions on jobs and changes of everything else, in one list by time.

Job events are their own audit trail and outlive their job; the rest is in `AuditEntry`. Both only
grow here, nothing edits them.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import URLPattern, path
from django.utils.html import format_html
from django.utils.safestring import SafeString

from core.backoffice.pages import ReadOnlyAdmin
from core.backoffice.words import badge, moment
from core.clock import database_now
from core.tenancy.models import AuditEntry
from core.times import from_ms, to_ms
from jobs.admin.shown import job_link
from jobs.models import JobEvent
from jobs.queries import job_key

ON_A_PAGE = 50
READ_AT_ONCE = 5_000  # newest job events among which those that somebody asked for are looked for


@dataclass(frozen=True, slots=True)
class Deed:
    """Something that somebody did."""

    at: datetime
    actor: str
    action: str
    object: SafeString | str
    detail: str


@admin.register(JobEvent)
class JobEventAdmin(ReadOnlyAdmin):
    """The events of all jobs; with the page that merges what people did with `AuditEntry`."""

    list_display = ("when", "what", "state", "job", "number", "by", "detail")
    list_display_links = None
    list_fullwidth = True
    ordering = ("-id",)
    search_fields = ("job_id",)
    search_help_text = "job_… · actor"

    def get_queryset(self, request: HttpRequest) -> QuerySet[JobEvent]:
        self._now = database_now()
        events: QuerySet[JobEvent] = super().get_queryset(request)
        return events

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[JobEvent], search_term: str
    ) -> tuple[QuerySet[JobEvent], bool]:
        term = search_term.strip()
        if not term:
            return queryset, False
        key = job_key(term)
        return (queryset.filter(job_id=key) if key else queryset.filter(actor=term)), False

    def get_urls(self) -> list[URLPattern]:
        urls: list[URLPattern] = super().get_urls()
        return [path("who/", self.admin_site.admin_view(self.who), name="jobs_who"), *urls]

    def who(self, request: HttpRequest) -> HttpResponse:
        """Interventions and audit entries, newest first, paged by time."""
        if not (self.has_view_permission(request) and request.user.has_perm("tenancy.view_auditentry")):
            raise PermissionDenied
        now = database_now()
        actor = request.GET.get("q", "").strip()
        deeds = who_did_what(actor=actor, before=_before(request.GET.get("before", ""), now))
        context = {
            **self.admin_site.each_context(request),
            "opts": self.opts,
            "title": "Who did what",
            "q": actor,
            "deeds": [(deed, moment(deed.at, now=now)) for deed in deeds[:ON_A_PAGE]],
            "older": to_ms(deeds[ON_A_PAGE].at) + 1 if len(deeds) > ON_A_PAGE else None,
        }
        return TemplateResponse(request, "jobs/admin/who.html", context)

    @admin.display(description="when")
    def when(self, event: JobEvent) -> SafeString | str:
        return moment(event.at, now=self._now)

    @admin.display(description="event")
    def what(self, event: JobEvent) -> str:
        return event.type.removeprefix("job.")

    @admin.display(description="status after")
    def state(self, event: JobEvent) -> SafeString | str:
        return badge(event.status)

    @admin.display(description="job")
    def job(self, event: JobEvent) -> SafeString:
        return job_link(event.job_id)

    @admin.display(description="by")
    def by(self, event: JobEvent) -> SafeString | str:
        return event.actor or format_html('<span class="quiet">{}</span>', "the system")

    @admin.display(description="detail")
    def detail(self, event: JobEvent) -> str:
        return _told(event.data)


def who_did_what(*, actor: str = "", before: datetime) -> list[Deed]:
    """At most ON_A_PAGE + 1 deeds at or before a moment, newest first."""
    # Ids are in the order of time: the walk ends after READ_AT_ONCE rows, however many events there are.
    newest = JobEvent.objects.filter(at__lte=before).order_by("-id")[:READ_AT_ONCE]
    asked = JobEvent.objects.filter(pk__in=newest.values("pk")).exclude(actor="").order_by("-id")
    entries = AuditEntry.objects.filter(at__lte=before).order_by("-id")
    if actor:
        asked, entries = asked.filter(actor=actor), entries.filter(actor=actor)
    deeds = [
        Deed(event.at, event.actor, event.type.removeprefix("job."), job_link(event.job_id), _told(event.data))
        for event in asked[: ON_A_PAGE + 1]
    ]
    deeds += [
        Deed(entry.at, entry.actor, entry.action, entry.object, _told(entry.detail))
        for entry in entries[: ON_A_PAGE + 1]
    ]
    return sorted(deeds, key=lambda deed: deed.at, reverse=True)[: ON_A_PAGE + 1]


def _told(data: Any) -> str:
    if not isinstance(data, dict):
        return ""
    parts = {name: ", ".join(map(str, value)) if isinstance(value, list) else value for name, value in data.items()}
    return "; ".join(f"{name}: {value}" for name, value in parts.items())


def _before(text: str, now: datetime) -> datetime:
    try:
        return from_ms(int(text)) if text else now
    except ValueError:
        return now
