"""The page of one job: its facts, its times to come, its history, and what can be asked of it.

Reads for the page; what a button asks for is an operation's (`jobs.admin.verbs`).
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseBase, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import reverse

from core.backoffice.pages import actor_of, tell
from core.backoffice.words import NOTHING, moment, pretty, relative, span_ms
from core.clock import database_now
from core.errors import ApiError
from core.times import MICROSECOND, from_ms
from core.zones import zone
from jobs.admin import reschedule, verbs
from jobs.admin.shown import duration_ms, job_name, job_url, lateness_ms, schedule_words, target_name
from jobs.admin.steps import steps_of, summary
from jobs.lifecycle.create import schedule_of
from jobs.models import Execution, Job, JobEvent
from jobs.queries import job_key
from jobs.schedule import preview
from jobs.states import FINAL, OPEN_RUN, Verb

if TYPE_CHECKING:
    from jobs.admin.jobs import JobAdmin

RUNS_ON_A_PAGE = 20
EVENTS_SHOWN = 50
OCCURRENCES_SHOWN = 10

Facts = list[tuple[str, Any]]


@dataclass(frozen=True, slots=True)
class Attempt:
    """One try of a run, as its row in the history shows it."""

    number: int
    status: str
    started: datetime | None
    duration: str
    code: str
    error: str
    retryable: bool | None


def find(object_id: str) -> Job:
    """The job of an address. Http404."""
    key = job_key(object_id)
    job = Job.objects.select_related("product", "environment").filter(pk=key).first() if key else None
    if job is None:
        raise Http404(f"there is no job {object_id[:60]}")
    return job


def show(page: JobAdmin, request: HttpRequest, object_id: str) -> HttpResponse:
    if not page.has_view_permission(request):
        raise PermissionDenied
    job = find(object_id)
    now = database_now()
    runs, older = history(job, before=request.GET.get("before", ""))
    last = Execution.objects.filter(pk=job.last_run_id).first() if job.last_run_id else None
    context = {
        **page.admin_site.each_context(request),
        "opts": page.opts,
        "title": target_name(job.target),
        "original": job,
        "job": job,
        "job_id": job_name(job.pk),
        "target": target_name(job.target),
        "now": now,
        "offered": [offer for offer in verbs.offered(job) if page.has_act_permission(request, verb=offer.verb)],
        "reschedulable": reschedule.makes_sense(job) and page.has_act_permission(request),
        "job_facts": _job_facts(job, now),
        "run_facts": _run_facts(job),
        "schedule_facts": _schedule_facts(job, now),
        "coming": _coming(job, now),
        "runs": [_run(run, job, now) for run in runs],
        "older": older,
        "newest": "before" not in request.GET,
        "events": _events(job, now),
        "input": pretty(job.input),
        "result": pretty(last.result) if last is not None and last.result is not None else "",
    }
    return TemplateResponse(request, "jobs/admin/job.html", context)


def act(page: JobAdmin, request: HttpRequest, object_id: str, verb_name: str) -> HttpResponseBase:
    """GET asks to confirm, POST does it and goes back to the job (after a delete: to the list)."""
    verb = next((offered for offered in verbs.OFFERED if offered == verb_name), None)
    if verb is None:
        raise Http404(f"there is no {verb_name[:30]!r}")
    if not page.has_act_permission(request, verb=verb):
        raise PermissionDenied
    job = find(object_id)
    if request.method != "POST":
        context = {
            **page.admin_site.each_context(request),
            "opts": page.opts,
            "title": f"{verbs.label(verb)} {target_name(job.target)}",
            "jobs": [(job_name(job.pk), target_name(job.target), job.status)],
            "verb": verbs.described(verb),
            "back": job_url(job.pk),
            "running": job.status == "running",
        }
        return TemplateResponse(request, "jobs/admin/confirm.html", context)
    doing = f"{verbs.label(verb)} {job_name(job.pk)}"
    try:
        verbs.ask(verb, job.pk, actor=actor_of(request), reason=request.POST.get("reason", "").strip())
    except ApiError as error:
        tell(request, error, f"{doing}: not done")
    else:
        messages.success(request, f"{target_name(job.target)}: {verbs.done(verb)}")
        if verb is Verb.DELETE:
            return HttpResponseRedirect(reverse("admin:jobs_job_changelist"))
    return HttpResponseRedirect(job_url(job.pk))


def history(job: Job, *, before: str = "") -> tuple[list[Execution], int | None]:
    """A page of runs, newest first, and the id after which the next one begins (None: no more)."""
    runs = Execution.objects.filter(job_id=job.pk).order_by("-id")
    if before.isascii() and before.isdigit():
        runs = runs.filter(pk__lt=int(before[:18]))
    found = list(runs[: RUNS_ON_A_PAGE + 1])
    return found[:RUNS_ON_A_PAGE], found[RUNS_ON_A_PAGE - 1].pk if len(found) > RUNS_ON_A_PAGE else None


def attempts(run: Execution, now: datetime) -> list[Attempt]:
    """Every try of a run, in order: the earlier ones are kept as JSON, the last is the row itself."""
    listed = [
        Attempt(
            number=earlier["attempt"],
            status=earlier["status"],
            started=_from_ms(earlier.get("started_at")),
            duration=_between(earlier.get("started_at"), earlier.get("completed_at")),
            code=earlier.get("code") or "",
            error=earlier.get("error") or "",
            retryable=earlier.get("retryable"),
        )
        for earlier in run.attempts or []
    ]
    if run.started_at is not None and run.attempt and not any(tried.number == run.attempt for tried in listed):
        end = now if run.status in OPEN_RUN else run.finished_at
        listed.append(
            Attempt(
                number=run.attempt,
                status=run.status,
                started=run.started_at,
                duration=span_ms((end - run.started_at).total_seconds() * 1000) if end else NOTHING,
                code=run.code,
                error=run.error,
                retryable=run.retryable,
            )
        )
    return listed


def _run(run: Execution, job: Job, now: datetime) -> dict[str, Any]:
    tried = attempts(run, now)
    steps = steps_of(run, now=now, zone_name=job.tz)
    return {
        "row": run,
        "scheduled": moment(run.scheduled_at, now=now, zone_name=job.tz),
        "until": moment(run.last_scheduled_at, now=now, zone_name=job.tz) if run.last_scheduled_at else "",
        "lateness": span_ms(lateness_ms(run)),
        "duration": span_ms(duration_ms(run, now)),
        "attempts": [(attempt, moment(attempt.started, now=now, zone_name=job.tz)) for attempt in tried],
        "steps": steps,
        "steps_summary": summary(steps),
        "result": pretty(run.result) if run.result is not None else "",
        "next_attempt": moment(run.due_at, now=now, zone_name=job.tz) if run.status == "waiting" else "",
        "is_open": run.status in OPEN_RUN,
    }


def _job_facts(job: Job, now: datetime) -> Facts:
    facts: Facts = [
        ("Product", f"{job.product.tag} / {job.environment.slug}"),
        ("Namespace", job.namespace),
        ("Target", ", ".join(f"{name} {value}" for name, value in job.target.items())),
        ("Queue", f"{job.queue}, priority {job.priority}"),
        ("Created", moment(job.created_at, now=now, zone_name=job.tz)),
        ("Labels", ", ".join(f"{key}: {value}" for key, value in job.labels.items())),
        ("Unique key", job.unique_key),
        ("Concurrency", f"{job.concurrency_key}, at most {job.concurrency_limit}" if job.concurrency_key else ""),
        ("Session", "set (never shown)" if job.session else ""),
        ("Cancelled", moment(job.cancelled_at, now=now, zone_name=job.tz) if job.cancelled_at else ""),
        ("Reason", job.cancel_reason),
        ("Paused", moment(job.paused_at, now=now, zone_name=job.tz) if job.paused_at else ""),
        ("Pause note", job.pause_note),
    ]
    return [(name, value) for name, value in facts if value not in ("", None)]


def _run_facts(job: Job) -> Facts:
    runs = job.successful_executions + job.failed_executions
    facts: Facts = [
        ("Runs", job.execution_count),
        ("Succeeded", job.successful_executions),
        ("Failed", job.failed_executions),
        ("Success rate", f"{100 * job.successful_executions / runs:.1f} %" if runs else ""),
        ("Failures in a row", job.consecutive_failures or ""),
        ("Retries", f"{job.retry_count} used of {job.retries} in this run" if job.retries else "none"),
        ("Time-out", f"{span_ms(job.timeout)} an attempt"),
        ("When its worker dies", "runs again" if job.on_lost == "retry" else "fails"),
        ("Retry settings", ", ".join(f"{name} {value}" for name, value in job.retry_config.items())),
    ]
    return [(name, value) for name, value in facts if value not in ("", None)]


def _schedule_facts(job: Job, now: datetime) -> Facts:
    def at(when: datetime | None) -> Any:
        return moment(when, now=now, zone_name=job.tz) if when else ""

    facts: Facts = [
        ("Runs", schedule_words(job)),
        ("Cron", job.cron),
        ("Time zone", job.tz if job.recurring else ""),
        ("Starts", at(job.start_at)),
        ("Ends", at(job.end_date)),
        ("Limit", f"{job.occurrences_opened} of {job.limit} begun" if job.limit is not None else ""),
        ("Next attempt", at(job.next_attempt_at)),
        ("Next run", at(job.next_run_at)),
        ("Jitter", f"up to {span_ms(job.jitter)}" if job.jitter else ""),
    ]
    if job.recurring:
        facts += [
            ("Overlap", job.overlap),
            ("Missed", f"{job.misfire}, later than {span_ms(job.misfire_grace)}"),
        ]
    if job.cron:
        facts.append(("Clock changes", f"gap: {job.dst_gap}, overlap: {job.dst_overlap}"))
    return [(name, value) for name, value in facts if value not in ("", None)]


def _coming(job: Job, now: datetime) -> Any:
    """The next occurrences on the grid, also of a paused job; None where none is to come."""
    left = OCCURRENCES_SHOWN if job.limit is None else min(OCCURRENCES_SHOWN, job.limit - job.occurrences_opened)
    if not job.recurring or job.status in FINAL or left < 1:
        return None
    after = now if job.next_run_at is None else job.next_run_at - MICROSECOND
    coming = preview(schedule_of(job), count=left, after=after)
    where = zone(job.tz)
    rows = [
        {
            "local": f"{at.astimezone(where):%a %Y-%m-%d %H:%M:%S %Z}",
            "utc": f"{at:%Y-%m-%d %H:%M:%S}",
            "relative": relative(at, now),
        }
        for at in coming.occurrences
    ]
    return {"rows": rows, "notes": coming.notes, "description": coming.description}


def _events(job: Job, now: datetime) -> list[dict[str, Any]]:
    rows = JobEvent.objects.filter(job_id=job.pk).order_by("-seq")[:EVENTS_SHOWN]
    return [
        {
            "type": row.type.removeprefix("job."),
            "status": row.status,
            "actor": row.actor,
            "number": row.number,
            "at": moment(row.at, now=now, zone_name=job.tz),
            "data": ", ".join(f"{name}: {value}" for name, value in (row.data or {}).items()),
        }
        for row in rows
    ]


def _from_ms(value: int | None) -> datetime | None:
    return None if value is None else from_ms(value).astimezone(UTC)


def _between(start: int | None, end: int | None) -> str:
    return NOTHING if start is None or end is None else span_ms(max(0, end - start))


def run_url(run: Execution) -> str:
    """Where a run is shown: at the top of a page of its job's history."""
    return f"{job_url(run.job_id)}?before={run.pk + 1}#history"
