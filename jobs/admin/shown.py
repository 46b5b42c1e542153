"""What a job, a run and a schedule look like in words. Reads fields, never queries."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any
from uuid import UUID

from django.urls import reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString

from core.backoffice.words import NOTHING, span_ms
from core.ids import encode
from jobs.models import Execution, Job
from jobs.schedule.sentence import describe_cron
from jobs.states import OPEN_RUN


def job_name(job_id: UUID) -> str:
    """`job_…`, as callers know it."""
    return encode("job", job_id)


def job_url(job_id: UUID) -> str:
    return reverse("admin:jobs_job_change", args=[job_name(job_id)])


def job_link(job_id: UUID) -> SafeString:
    return format_html('<a class="link code" href="{}">{}</a>', job_url(job_id), job_name(job_id))


def target_name(target: Mapping[str, Any]) -> str:
    """`{"app": "mail", "event": "send"}` → `mail:send`."""
    return ":".join(str(part) for part in target.values()) or NOTHING


def schedule_words(job: Job) -> str:
    """`every 2 h`, the cron's sentence, or `once`."""
    if job.every is not None:
        return f"every {span_ms(job.every)}"
    return cron_words(job) if job.cron else "once"


def cron_words(job: Job) -> str:
    return describe_cron(job.cron)


def next_time(job: Job) -> datetime | None:
    """When something happens next by itself: the next attempt, occurrence, or a one-off's time."""
    if job.next_attempt_at is not None:
        return job.next_attempt_at
    return job.next_run_at


def lateness_ms(run: Execution) -> int | None:
    """From when the run was due to its first attempt; None where that is not known any more."""
    if run.run_started_at is None or run.first_due_at is None:
        return None
    return round((run.run_started_at - run.first_due_at).total_seconds() * 1000)


def duration_ms(run: Execution, now: datetime) -> int | None:
    """From the first attempt's start to the run's end; of an open run, until now."""
    if run.run_started_at is None:
        return None
    end = now if run.status in OPEN_RUN else run.finished_at
    return None if end is None else max(0, round((end - run.run_started_at).total_seconds() * 1000))
