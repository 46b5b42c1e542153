"""The list of jobs: what is where, what failed, what comes next."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.urls import URLPattern, path
from django.utils.html import format_html
from django.utils.safestring import SafeString

from core.backoffice.pages import BoundedList, ReadOnlyAdmin
from core.backoffice.words import NOTHING, badge, moment, relative
from core.clock import database_now
from jobs.admin import job_page, many, reschedule
from jobs.admin.filters import JOB_FILTERS
from jobs.admin.shown import job_name, job_url, next_time, schedule_words, target_name
from jobs.models import Job
from jobs.queries import found_by
from jobs.states import JobStatus, Verb

# Large, and in no list.
_NOT_LISTED = ("input", "session", "retry_config", "schedule", "labels", "last_error", "cancel_reason", "pause_note")


class JobList(BoundedList):
    """Rows lead to `job_…`, never to a bare UUID."""

    def url_for_result(self, result: Job) -> str:
        return job_url(result.pk)


@admin.register(Job)
class JobAdmin(ReadOnlyAdmin):
    """Found, read and acted on here; written by `jobs.operations` only."""

    list_display = ("job", "state", "place", "when", "upcoming", "last_run", "failures")
    list_filter = JOB_FILTERS
    list_select_related = ("product", "environment")
    list_fullwidth = True
    ordering = ("-id",)
    search_fields = ("id",)
    search_help_text = "job_… · target (mail or mail:send) · label (key:value) · unique key"
    actions = [many.action(verb) for verb in many.OFFERED]

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[JobList]:
        return JobList

    def get_queryset(self, request: HttpRequest) -> QuerySet[Job]:
        self._now = database_now()
        jobs: QuerySet[Job] = super().get_queryset(request)
        return jobs.defer(*_NOT_LISTED)

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Job], search_term: str
    ) -> tuple[QuerySet[Job], bool]:
        return (found_by(queryset, search_term.strip()) if search_term.strip() else queryset), False

    def get_urls(self) -> list[URLPattern]:
        acting = path(
            "<str:object_id>/do/<str:verb>/", self.admin_site.admin_view(self.act), name="jobs_job_act"
        )  # fmt: skip
        rescheduling = path(
            "<str:object_id>/reschedule/", self.admin_site.admin_view(self.reschedule), name="jobs_job_reschedule"
        )  # fmt: skip
        urls: list[URLPattern] = super().get_urls()
        return [acting, rescheduling, *urls]

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: Any = None
    ) -> HttpResponse:
        return job_page.show(self, request, object_id)

    def act(self, request: HttpRequest, object_id: str, verb: str) -> HttpResponseBase:
        return job_page.act(self, request, object_id, verb)

    def reschedule(self, request: HttpRequest, object_id: str) -> HttpResponseBase:
        return reschedule.show(self, request, job_page.find(object_id))

    def has_act_permission(self, request: HttpRequest, obj: Any = None, verb: Verb | None = None) -> bool:
        """Acting needs the change permission; deleting the delete permission as well."""
        return super().has_act_permission(request) and (verb is not Verb.DELETE or self._has(request, "delete"))

    @admin.display(description="job")
    def job(self, job: Job) -> SafeString:
        return format_html(
            '<span class="two-lines"><span>{}</span><small class="code">{}</small></span>',
            target_name(job.target),
            job_name(job.pk),
        )

    @admin.display(description="status")
    def state(self, job: Job) -> SafeString | str:
        if job.next_attempt_at is not None and job.status == JobStatus.SCHEDULED:
            return format_html(
                '<span class="one-line">{} <small class="quiet">retry {}</small></span>',
                badge(job.status),
                job.retry_count + 1,
            )
        return badge(job.status)

    @admin.display(description="where")
    def place(self, job: Job) -> SafeString:
        return format_html(
            '<span class="two-lines"><span>{} / {}</span><small>{}</small></span>',
            job.product.tag,
            job.environment.slug,
            job.namespace,
        )

    @admin.display(description="schedule")
    def when(self, job: Job) -> SafeString:
        if not job.recurring:
            return format_html('<span class="quiet">{}</span>', schedule_words(job))
        return format_html(
            '<span class="two-lines wraps" title="{}"><span>{}</span><small>{}</small></span>',
            job.cron,
            schedule_words(job),
            job.tz if job.cron else "",
        )

    @admin.display(description="next run")
    def upcoming(self, job: Job) -> SafeString | str:
        return moment(next_time(job), now=self._now, zone_name=job.tz)

    @admin.display(description="last run")
    def last_run(self, job: Job) -> SafeString | str:
        if not job.last_run_status:
            return NOTHING
        ended = relative(job.completed_at, self._now) if job.completed_at else ""
        return format_html(
            '<span class="two-lines"><span>{}</span><small>{}</small></span>', badge(job.last_run_status), ended
        )

    @admin.display(description="failures")
    def failures(self, job: Job) -> SafeString | str:
        """How many runs failed in a row, up to the last one."""
        return format_html('<span class="bad">{}</span>', job.consecutive_failures) if job.consecutive_failures else ""
