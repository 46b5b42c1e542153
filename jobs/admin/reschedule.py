"""The page that gives a job a new time or grid: what was typed goes to `jobs.operations.reschedule`, which decides.

Only what the user changed is sent: the rest of the schedule stays as it is then, not as it was when the page was
opened.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django import forms
from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponseBase, HttpResponseRedirect
from django.template.response import TemplateResponse

from core.backoffice.pages import actor_of, tell
from core.errors import ApiError, Invalid
from jobs.admin.shown import job_name, job_url, schedule_words, target_name
from jobs.models import Job
from jobs.operations.reschedule import reschedule
from jobs.states import ALLOWED, JobStatus, Verb

if TYPE_CHECKING:
    from jobs.admin.jobs import JobAdmin

_WHOLE = frozenset({"start_at", "every"})  # may be written as a number of milliseconds


def _field(label: str, placeholder: str, help_text: str, most: int = 200) -> forms.CharField:
    return forms.CharField(
        label=label,
        required=False,
        max_length=most,
        help_text=help_text,
        show_hidden_initial=True,
        widget=forms.TextInput({"placeholder": placeholder, "autocomplete": "off", "spellcheck": "false"}),
    )


class RescheduleForm(forms.Form):
    """The schedule in the API's words."""

    start_at = _field(
        "New start",
        "2030-01-31T09:00",
        "When a one-off runs, or from when a recurring job recurs: ISO 8601 (without an offset in the time zone "
        "below, or else UTC), or milliseconds.",
    )
    cron = _field("Cron", "0 9 * * MON-FRI", "Emptied, with a new start: the job runs once.")
    tz = _field("Time zone", "Europe/Berlin", "Of a recurring job.")
    every = _field("Every (ms)", "3600000", "Instead of cron; begins one interval from now, or at the new start.", 20)

    def changes(self) -> dict[str, Any]:
        """What was changed on the page; None for what was emptied."""
        return {name: self._given(name) for name in self.changed_data}

    def _given(self, name: str) -> str | int | None:
        text: str = self.cleaned_data[name]
        if name in _WHOLE and text.isascii() and text.isdigit():
            return int(text)
        return text or None


def makes_sense(job: Job) -> bool:
    """Whether the operation would not refuse whatever is asked."""
    running_once = job.status == JobStatus.RUNNING and not job.recurring
    return JobStatus(job.status) in ALLOWED[Verb.RESCHEDULE] and not running_once


def show(page: JobAdmin, request: HttpRequest, job: Job) -> HttpResponseBase:
    """GET shows the form; POST asks, and goes back to the job. What is refused is told with what was typed."""
    if not page.has_act_permission(request):
        raise PermissionDenied
    as_it_is = {"cron": job.cron, "tz": job.tz if job.recurring else "", "every": str(job.every or "")}
    form = RescheduleForm(request.POST or None, initial=as_it_is)
    if request.method == "POST" and form.is_valid():
        try:
            reschedule(job.pk, form.changes(), actor=actor_of(request))
        except ApiError as error:
            _add(form, error, request)
        else:
            messages.success(request, f"{target_name(job.target)}: rescheduled")
            return HttpResponseRedirect(job_url(job.pk))
    context = {
        **page.admin_site.each_context(request),
        "opts": page.opts,
        "title": f"Reschedule {target_name(job.target)}",
        "job": job,
        "job_id": job_name(job.pk),
        "now_runs": schedule_words(job),
        "form": form,
        "back": job_url(job.pk),
    }
    return TemplateResponse(request, "jobs/admin/reschedule.html", context)


def _add(form: RescheduleForm, error: ApiError, request: HttpRequest) -> None:
    """The refusal at the fields that it names, or else above the form."""
    problems = error.errors if isinstance(error, Invalid) else ()
    for problem in problems:
        if problem.field in form.fields:
            form.add_error(problem.field, problem.detail)
        else:
            form.add_error(None, f"{problem.field}: {problem.detail}")
    if not problems:
        tell(request, error, "Not rescheduled")
