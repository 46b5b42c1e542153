"""The same verbs for many jobs: those that are ticked, or all that the list's filters find.

They are asked for as one operation, as the API's …-many calls are (`jobs.operations.many`): each job by itself, as a
single call would, those in the wrong state passed over and told; what takes long goes on in the background, with a
page of its own. All that a filter finds is asked for twice, the second time with what would become of it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from django.contrib import messages
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import reverse

from core.backoffice.pages import actor_of, tell
from core.errors import ApiError
from jobs.admin import verbs
from jobs.admin.filters import NoOperation, job_filter
from jobs.admin.operations import operation_url, summary
from jobs.admin.shown import job_name, target_name
from jobs.models import Job
from jobs.operations import many
from jobs.operations.many import Asked
from jobs.queries import JobFilter
from jobs.states import JobStatus, Verb

if TYPE_CHECKING:
    from jobs.admin.jobs import JobAdmin

PATIENCE_SECONDS = 5.0  # what is not done by then goes on in the background
MOST_NAMED = 20  # on the page that asks to confirm

OFFERED = verbs.OFFERED
Action = Callable[..., HttpResponse | None]


def action(verb: Verb) -> Action:
    """The list's action for a verb."""

    def act(page: JobAdmin, request: HttpRequest, queryset: QuerySet[Job]) -> HttpResponse | None:
        if not page.has_act_permission(request, verb=verb):
            raise PermissionDenied
        try:
            asked = _asked(request, verb, queryset)
            if "confirmed" in request.POST:
                return _begin(request, asked)
            if verbs.described(verb).confirmed or _is_across(request):
                return _confirm(page, request, asked, queryset)
            return _begin(request, asked)
        except NoOperation as error:
            messages.error(request, f"Not done: {error}")
        except ApiError as error:
            tell(request, error, "Not done")
        return None

    act.__name__ = f"{verb}_jobs"
    act.short_description = f"{verbs.label(verb)} the selected jobs"  # type: ignore[attr-defined]  # read by Django
    act.allowed_permissions = ("act",)  # type: ignore[attr-defined]
    return act


def _is_across(request: HttpRequest) -> bool:
    return request.POST.get("select_across") == "1"


def _asked(request: HttpRequest, verb: Verb, queryset: QuerySet[Job]) -> Asked:
    """Raises NoOperation. Of ticked jobs those in the wrong state are asked too, to tell why they are passed over."""
    if _is_across(request):
        wanted = job_filter(request.GET.dict())
    else:
        ids = tuple(sorted(queryset.order_by().values_list("pk", flat=True)))
        wanted = JobFilter(environment_ids=None, job_ids=ids, statuses=frozenset(JobStatus))
    return Asked(
        verb=verb,
        wanted=wanted,
        arguments=_arguments(verb, request.POST.get("reason", "").strip()),
        actor=actor_of(request),
        product_id=None,
        environment_ids=None,
    )


def _arguments(verb: Verb, reason: str) -> dict[str, Any]:
    match verb:
        case Verb.CANCEL:
            return {"reason": reason}
        case Verb.DELETE:
            return {"force": True}
    return {}


def _begin(request: HttpRequest, asked: Asked) -> HttpResponse | None:
    """Do it; to the operation's page where it goes on, or was only to count, else back to the list."""
    if "only_count" in request.POST:
        asked = replace(asked, dry_run=True)
    operation = many.start(asked, patience=PATIENCE_SECONDS)
    if operation.finished_at is not None and not operation.dry_run:
        messages.info(request, summary(operation))
        return None
    return HttpResponseRedirect(operation_url(operation))


def _confirm(page: JobAdmin, request: HttpRequest, asked: Asked, queryset: QuerySet[Job]) -> HttpResponse:
    jobs = list(queryset.order_by("-id")[: MOST_NAMED + 1])
    tried = many.try_out(asked)
    across = _is_across(request)
    label = verbs.label(asked.verb)
    context: dict[str, Any] = {
        **page.admin_site.each_context(request),
        "opts": page.opts,
        "title": f"{label} all that the filter finds" if across else f"{label} the selected jobs",
        "jobs": [(job_name(job.pk), target_name(job.target), job.status) for job in jobs[:MOST_NAMED]],
        "more": len(jobs) > MOST_NAMED,
        "verb": verbs.described(asked.verb),
        "back": f"{reverse('admin:jobs_job_changelist')}?{request.GET.urlencode()}".rstrip("?"),
        "running": asked.verb is Verb.DELETE and queryset.filter(status=JobStatus.RUNNING).exists(),
        "tried": None if tried is None else summary(tried),
        "found": "" if tried is not None else _at_least(many.found(asked)),
        "action": f"{asked.verb}_jobs",
        "checkbox_name": ACTION_CHECKBOX_NAME,
        "selected": request.POST.getlist(ACTION_CHECKBOX_NAME),
        "across": "1" if across else "0",
    }
    return TemplateResponse(request, "jobs/admin/confirm.html", context)


def _at_least(count: int) -> str:
    return f"More than {many.MOST_AT_ONCE}" if count > many.MOST_AT_ONCE else str(count)
