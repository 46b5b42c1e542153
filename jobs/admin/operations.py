"""Operations: a verb for many jobs, how far it has come, why some were passed over, and its end before the end."""

from __future__ import annotations

from typing import Any

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString

from core.backoffice.pages import BoundedList, ReadOnlyAdmin, actor_of, tell
from core.backoffice.words import badge_like, moment, span
from core.clock import database_now
from core.errors import ApiError
from core.ids import decode
from core.tenancy.models import Environment
from jobs.admin import verbs
from jobs.admin.shown import job_url
from jobs.models import Operation
from jobs.operations import many
from jobs.operations.many import Asked
from jobs.operations.selection import read_kept
from jobs.queries import JobFilter
from jobs.states import Verb

LOOK_AGAIN_SECONDS = 2
MOST_NAMED = 20  # environments of a filter
_LABELS = {**{verb: verbs.label(verb) for verb in verbs.OFFERED}, Verb.RESCHEDULE: "Reschedule"}
_DONE = {**{verb: verbs.done(verb) for verb in verbs.OFFERED}, Verb.RESCHEDULE: "rescheduled"}
_LOOKS = {many.RUNNING: "running", many.COMPLETED: "completed", many.ABORTED: "cancelled"}


def operation_url(operation: Operation) -> str:
    return reverse("admin:jobs_operation_change", args=[str(operation)])


def summary(operation: Operation) -> str:
    """ "12 cancelled, 3 passed over (2 already completed, 1 not recurring)"; of a dry run what would be."""
    would = "would be " if operation.dry_run else ""
    told = f"{operation.count} {would}{_DONE[Verb(operation.verb)]}"
    if not operation.skipped:
        return told
    reasons = sorted(operation.passed_over.items(), key=lambda each: -each[1])
    why = ", ".join(f"{number} {reason}" if len(reasons) > 1 else reason for reason, number in reasons)
    return f"{told}, {operation.skipped} passed over" + (f" ({why})" if why else "")


class OperationList(BoundedList):
    """Rows lead to `op_…`."""

    def url_for_result(self, result: Operation) -> str:
        return operation_url(result)


@admin.register(Operation)
class OperationAdmin(ReadOnlyAdmin):
    """Seen by whoever may see jobs, aborted by whoever may act on them."""

    list_display = ("what", "state", "progress", "told", "by", "began")
    list_fullwidth = True
    ordering = ("-id",)

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[OperationList]:
        return OperationList

    def get_queryset(self, request: HttpRequest) -> QuerySet[Operation]:
        self._now = database_now()
        operations: QuerySet[Operation] = super().get_queryset(request)
        return operations

    def get_urls(self) -> list[URLPattern]:
        urls: list[URLPattern] = super().get_urls()
        verbs_of_it = [("abort", self.abort), ("resume", self.resume)]
        return [
            *(
                path(f"<str:object_id>/{verb}/", self.admin_site.admin_view(view), name=f"jobs_operation_{verb}")
                for verb, view in verbs_of_it
            ),
            *urls,
        ]

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return any(request.user.has_perm(f"jobs.{verb}_job") for verb in ("view", "change"))

    def has_act_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return bool(request.user.has_perm("jobs.change_job"))

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: Any = None
    ) -> HttpResponse:
        """How far it has come; looked at again by itself until it has ended."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        operation = _find(object_id)
        now = database_now()
        asked_of = operation.count + operation.skipped
        may_act = self.has_act_permission(request)
        context = {
            **self.admin_site.each_context(request),
            "opts": self.opts,
            "title": _named(operation),
            "original": operation,
            "operation": operation,
            "state": _state(operation),
            "told": summary(operation),
            "asked_of": asked_of,
            "facts": _facts(operation, now),
            "errors": [(job_url_of(each["job_id"]), each) for each in operation.errors],
            "abortable": may_act and operation.finished_at is None,
            "resumable": may_act and operation.verb == Verb.PAUSE and not operation.dry_run and operation.count,
        }
        answer = TemplateResponse(request, "jobs/admin/operation.html", context)
        if operation.finished_at is None:
            answer["Refresh"] = str(LOOK_AGAIN_SECONDS)
        return answer

    def abort(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Ask no further job."""
        operation = self._to_act_on(request, object_id)
        try:
            many.abort(operation.pk, actor=actor_of(request))
        except ApiError as error:
            tell(request, error, "Not aborted")
        else:
            messages.success(request, "Aborted: what was done stays done")
        return HttpResponseRedirect(operation_url(operation))

    def resume(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Take a pause back: of the jobs that it paused, those that nobody has paused or resumed since."""
        operation = self._to_act_on(request, object_id)
        if operation.verb != Verb.PAUSE:
            raise Http404("that was no pause")
        asked = Asked(
            verb=Verb.RESUME,
            wanted=JobFilter(environment_ids=None),
            pause_id=operation.pk,
            actor=actor_of(request),
            product_id=None,
            environment_ids=None,
        )
        try:
            return HttpResponseRedirect(operation_url(many.start(asked, patience=LOOK_AGAIN_SECONDS)))
        except ApiError as error:
            tell(request, error, "Not resumed")
        return HttpResponseRedirect(operation_url(operation))

    def _to_act_on(self, request: HttpRequest, object_id: str) -> Operation:
        if not self.has_act_permission(request) or request.method != "POST":
            raise PermissionDenied
        return _find(object_id)

    @admin.display(description="operation")
    def what(self, operation: Operation) -> SafeString:
        return format_html(
            '<span class="two-lines wraps"><span>{}</span><small>{}</small></span>',
            _named(operation),
            filter_words(operation),
        )

    @admin.display(description="status")
    def state(self, operation: Operation) -> SafeString:
        return _state(operation)

    @admin.display(description="progress")
    def progress(self, operation: Operation) -> str:
        asked_of = operation.count + operation.skipped
        return f"{asked_of} of {'…' if operation.total is None else operation.total}"

    @admin.display(description="outcome")
    def told(self, operation: Operation) -> str:
        return summary(operation)

    @admin.display(description="by")
    def by(self, operation: Operation) -> str:
        return operation.actor

    @admin.display(description="began")
    def began(self, operation: Operation) -> SafeString | str:
        return moment(operation.created_at, now=self._now)


def filter_words(operation: Operation) -> str:
    """Which jobs it takes, as a person would say it."""
    wanted, pause_id = read_kept(operation.filter)
    if wanted.job_ids is not None:
        return "the job that was ticked" if len(wanted.job_ids) == 1 else f"{len(wanted.job_ids)} jobs that were ticked"
    parts = {
        "status": ", ".join(sorted(wanted.statuses)),
        "environments": _environment_words(wanted.environment_ids),
        "namespace": wanted.namespace,
        "queue": wanted.queue,
        "target": wanted.target,
        "labels": ", ".join(f"{key}:{value}" for key, value in wanted.labels),
        "search": wanted.search or wanted.q,
        "last run": wanted.last_run_status,
        "failures in a row": wanted.consecutive_failures and f"{wanted.consecutive_failures} or more",
        "from": wanted.since and f"{wanted.since:%Y-%m-%d %H:%M:%S}",
        "to": wanted.until and f"{wanted.until:%Y-%m-%d %H:%M:%S}",
        "recurring": {None: "", True: "yes", False: "no"}[wanted.recurring],
        "retrying": {None: "", True: "yes", False: "no"}[wanted.retrying],
        "pause": "of one operation" if pause_id is not None else "",
    }
    return "; ".join(f"{name}: {value}" for name, value in parts.items() if value) or "every job"


def _environment_words(ids: frozenset[int] | None) -> str:
    if ids is None:
        return ""
    rows = Environment.objects.select_related("product").filter(pk__in=ids).order_by("product__tag", "slug")
    named = [f"{row.product.tag} / {row.slug}" for row in rows[: MOST_NAMED + 1]]
    return ", ".join(named[:MOST_NAMED]) + (" …" if len(named) > MOST_NAMED else "") or "none"


def job_url_of(name: str) -> str:
    key = decode("job", name)
    return job_url(key) if key is not None else ""


def _find(object_id: str) -> Operation:
    key = decode("op", object_id)
    operation = Operation.objects.filter(pk=key).first() if key is not None else None
    if operation is None:
        raise Http404(f"there is no operation {object_id[:60]}")
    return operation


def _named(operation: Operation) -> str:
    label = _LABELS[Verb(operation.verb)]
    return f"{label} many (dry run)" if operation.dry_run else f"{label} many"


def _state(operation: Operation) -> SafeString:
    return badge_like(_LOOKS[operation.status], operation.status)


def _facts(operation: Operation, now: Any) -> list[tuple[str, Any]]:
    took = (operation.finished_at - operation.created_at).total_seconds() if operation.finished_at else None
    said = operation.arguments.get("reason") or operation.arguments.get("note") or ""
    facts = [
        ("Jobs", filter_words(operation)),
        ("Asked by", operation.actor),
        ("Reason", said),
        ("Began", moment(operation.created_at, now=now)),
        ("Ended", moment(operation.finished_at, now=now) if operation.finished_at else ""),
        ("Took", "" if took is None else span(took)),
    ]
    return [(name, value) for name, value in facts if value not in ("", None)]
