"""The list of runs, across jobs. A row leads to its place in the history of its job."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponseRedirect
from django.utils.html import format_html
from django.utils.safestring import SafeString

from core.backoffice.pages import ReadOnlyAdmin
from core.backoffice.words import badge, moment, span_ms
from core.clock import database_now
from jobs.admin.filters import (
    NamespaceFilter,
    ProductFilter,
    QueueFilter,
    RunStatusFilter,
    TriggerFilter,
)
from jobs.admin.job_page import run_url
from jobs.admin.shown import duration_ms, job_name, lateness_ms, target_name
from jobs.models import Execution
from jobs.queries import job_key

_LISTED = (
    "job__target", "job__tz", "job_id", "number", "trigger", "status", "scheduled_at", "due_at", "queue", "code", "error",
    "attempt", "run_started_at", "finished_at", "skip_reason", "count",
)  # fmt: skip


@admin.register(Execution)
class ExecutionAdmin(ReadOnlyAdmin):
    list_display = ("run", "state", "scheduled", "trigger", "queue", "late", "took", "outcome")
    list_filter = (RunStatusFilter, TriggerFilter, ProductFilter, NamespaceFilter, QueueFilter)
    list_fullwidth = True
    ordering = ("-id",)
    search_fields = ("job_id",)
    search_help_text = "job_… · error code"

    def get_queryset(self, request: HttpRequest) -> QuerySet[Execution]:
        self._now = database_now()
        runs: QuerySet[Execution] = super().get_queryset(request)
        return runs.select_related("job").only(*_LISTED)

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Execution], search_term: str
    ) -> tuple[QuerySet[Execution], bool]:
        term = search_term.strip()
        if not term:
            return queryset, False
        key = job_key(term)
        return (queryset.filter(job_id=key) if key else queryset.filter(code=term.upper())), False

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: Any = None
    ) -> HttpResponseRedirect:
        found = object_id.isascii() and object_id.isdigit() and len(object_id) < 19
        run = Execution.objects.only("job_id").filter(pk=int(object_id)).first() if found else None
        if run is None:
            raise Http404("there is no such run")
        return HttpResponseRedirect(run_url(run))

    @admin.display(description="run")
    def run(self, run: Execution) -> SafeString:
        return format_html(
            '<span class="two-lines"><span>{}{}</span><small class="code">{}</small></span>',
            target_name(run.job.target),
            f" #{run.number}" if run.number is not None else "",
            job_name(run.job_id),
        )

    @admin.display(description="status")
    def state(self, run: Execution) -> SafeString | str:
        return badge(run.status)

    @admin.display(description="scheduled")
    def scheduled(self, run: Execution) -> SafeString | str:
        return moment(run.scheduled_at, now=self._now, zone_name=run.job.tz)

    @admin.display(description="late")
    def late(self, run: Execution) -> str:
        return span_ms(lateness_ms(run))

    @admin.display(description="took")
    def took(self, run: Execution) -> str:
        return span_ms(duration_ms(run, self._now))

    @admin.display(description="outcome")
    def outcome(self, run: Execution) -> SafeString | str:
        if run.skip_reason:
            return run.skip_reason + (f" ({run.count} times)" if run.count > 1 else "")
        if run.code or run.error:
            return format_html('<span class="code bad">{}</span> {}', run.code, run.error[:120])
        return f"after {run.attempt} attempts" if run.attempt > 1 else ""
