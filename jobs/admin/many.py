"""The same verbs for the rows that are ticked in the list, one operation after the other.

Each job is asked for by itself, as a single call would: one in the wrong state is passed over and
told, and stops none of the others.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any
from uuid import UUID

from django.contrib import messages
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import reverse

from core.backoffice.pages import actor_of
from core.errors import ApiError, NotFound
from jobs.admin import verbs
from jobs.admin.shown import job_name, target_name
from jobs.models import Job
from jobs.states import Verb

if TYPE_CHECKING:
    from jobs.admin.jobs import JobAdmin

MOST_AT_ONCE = 1_000  # jobs of one click; the API's …-many calls take any number
MOST_NAMED = 20  # on the page that asks to confirm

OFFERED = verbs.OFFERED
Action = Callable[..., HttpResponse | None]


def action(verb: Verb) -> Action:
    """The list's action for a verb."""

    def act(page: JobAdmin, request: HttpRequest, queryset: QuerySet[Job]) -> HttpResponse | None:
        if not page.has_act_permission(request, verb=verb):
            raise PermissionDenied
        if verbs.described(verb).confirmed and "confirmed" not in request.POST:
            return _confirm(page, request, verb, queryset)
        ids = list(queryset.order_by("-id").values_list("pk", flat=True)[: MOST_AT_ONCE + 1])
        reason = request.POST.get("reason", "").strip()
        messages.info(request, ask_many(verb, ids[:MOST_AT_ONCE], actor=actor_of(request), reason=reason))
        if len(ids) > MOST_AT_ONCE:
            messages.warning(request, f"Only the newest {MOST_AT_ONCE} were taken: do it again for the others")
        return None

    act.__name__ = f"{verb}_jobs"
    act.short_description = f"{verbs.label(verb)} the selected jobs"  # type: ignore[attr-defined]  # read by Django
    act.allowed_permissions = ("act",)  # type: ignore[attr-defined]
    return act


def ask_many(verb: Verb, ids: Iterable[UUID], *, actor: str, reason: str = "") -> str:
    """Do it to each; "12 cancelled, 3 passed over (2 already completed, 1 gone)"."""
    count = 0
    passed: Counter[str] = Counter()
    for job_id in ids:
        try:
            verbs.ask(verb, job_id, actor=actor, reason=reason)
        except NotFound:
            passed["gone"] += 1
        except ApiError as error:
            passed[_why(error)] += 1
        else:
            count += 1
    summary = f"{count} {verbs.done(verb)}"
    if passed:
        why = ", ".join(f"{number} {reason}" if len(passed) > 1 else reason for reason, number in passed.most_common())
        summary += f", {passed.total()} passed over ({why})"
    return summary


def _why(error: ApiError) -> str:
    if error.code == "not_recurring":
        return "not recurring"
    found = error.extra.get("status_found")
    return f"already {found}" if found in {"completed", "failed", "cancelled"} else str(found or error.detail)


def _confirm(page: JobAdmin, request: HttpRequest, verb: Verb, queryset: QuerySet[Job]) -> HttpResponse:
    jobs = list(queryset.order_by("-id")[: MOST_NAMED + 1])
    context: dict[str, Any] = {
        **page.admin_site.each_context(request),
        "opts": page.opts,
        "title": f"{verbs.label(verb)} the selected jobs",
        "jobs": [(job_name(job.pk), target_name(job.target), job.status) for job in jobs[:MOST_NAMED]],
        "more": len(jobs) > MOST_NAMED,
        "verb": verbs.described(verb),
        "back": reverse("admin:jobs_job_changelist"),
        "running": any(job.status == "running" for job in jobs),
        "action": f"{verb}_jobs",
        "checkbox_name": ACTION_CHECKBOX_NAME,
        "selected": request.POST.getlist(ACTION_CHECKBOX_NAME),
        "across": request.POST.get("select_across", "0"),
    }
    return TemplateResponse(request, "jobs/admin/confirm.html", context)
