"""Reading jobs: one by its id, a page of those that match a filter, the history of one.

Owns what a filter means and how a page is found without reading what is not on it. Never writes,
and never decides who may see what: a filter names the environments to look in.

`status` stands in no index (see `jobs.models`), so each state is found where it is rare:
the four of RARE_STATUSES in their own index, `queued` and `running` through the open runs.
Ids are in the order in which jobs were made, so `created_at` is ordered by them.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.db import OperationalError, connection, transaction
from django.db.models import Func, Q, QuerySet, TextField, Value
from django.db.models.functions import Cast

from core.errors import Unavailable
from core.ids import decode
from core.tenancy.models import Environment
from core.times import later, to_ms
from jobs.models import RARE_STATUSES, Execution, Job
from jobs.states import FINAL, OPEN_RUN, JobStatus, RunStatus

MOST_BRANCHES = 40  # environments × states that are looked at one by one; beyond it the newest jobs are walked
MOST_OPEN_RUNS = 5_000  # with more, jobs in that state are found soon by walking from the newest
MOST_COUNTED = 10_000  # a total is exact up to here: more would cost more than the page
READ_SECONDS = 10
QUERY_CANCELED = "57014"  # PostgreSQL's
# What is read here is found by indexes: compiling a statement (a fifth of a second) takes longer than running it.
_BOUNDED = "SELECT set_config('statement_timeout', %s, true), set_config('jit', 'off', true)"
CLOCKS_APART = timedelta(hours=1)  # between the machine that made an id and the database, at most
TARGET_COMPONENTS = (
    "app", "tag", "notification", "storage", "broker", "function", "database", "graph", "feature",
)  # fmt: skip
TARGET_EVENTS = ("event", "operation")


class TooSlow(Unavailable):
    """A filter that finds next to nothing among very many jobs took too long."""

    code, title = "too_slow", "The query took too long"


@contextmanager
def bounded_reading() -> Iterator[None]:
    """What is read inside ends after READ_SECONDS on PostgreSQL (where tables grow large), as TooSlow."""
    if connection.vendor != "postgresql":
        yield
        return
    try:
        with transaction.atomic():
            with connection.cursor() as sql:
                sql.execute(_BOUNDED, [f"{READ_SECONDS}s"])
            yield
    except OperationalError as error:
        if getattr(error.__cause__, "sqlstate", None) != QUERY_CANCELED:
            raise
        raise TooSlow(
            f"no answer within {READ_SECONDS} s: narrow it by product, env, status or time, or page with a cursor"
        ) from error


@dataclass(frozen=True, kw_only=True, slots=True)
class JobFilter:
    """What a list is asked for; what is left out does not matter.

    `environment_ids` None is every environment there is. `since` and `until` (both inclusive) compare
    with the end of jobs that are final, with `scheduled_at` of the others.
    """

    environment_ids: frozenset[int] | None
    job_ids: tuple[UUID, ...] | None = None  # only of these
    statuses: frozenset[JobStatus] = frozenset()
    recurring: bool | None = None
    namespace: str | None = None
    since: datetime | None = None
    until: datetime | None = None
    target: str | None = None  # "component:event", or either
    labels: tuple[tuple[str, str], ...] = ()
    queue: str | None = None
    q: str | None = None
    search: str | None = None  # as an operator types it: `found_by`
    last_run_status: str | None = None
    consecutive_failures: int | None = None  # so many or more, up to the last run
    retrying: bool | None = None


@dataclass(frozen=True, slots=True)
class Page:
    """Jobs in order, and the id after which the next page begins (None: this is the last)."""

    jobs: list[Job]
    next_after: UUID | None


def find_job(job_id: UUID) -> Job | None:
    """The job with its product and environment."""
    return Job.objects.select_related("product", "environment").filter(pk=job_id).first()


def results_of(jobs: Iterable[Job]) -> dict[int, Any]:
    """The results of the jobs' last runs, by the id of the run: one query for all of them."""
    ids = [job.last_run_id for job in jobs if job.last_run_id is not None and job.last_run_status == "completed"]
    if not ids:
        return {}
    return dict(Execution.objects.filter(pk__in=ids).values_list("pk", "result"))


def list_jobs(
    wanted: JobFilter, *, limit: int, offset: int = 0, after: UUID | None = None, oldest_first: bool = False
) -> Page:
    """One page, newest first (or oldest). `after` is where the page before it ended."""
    order = "id" if oldest_first else "-id"
    jobs = matching(wanted, any_state=True)
    if after is not None:
        jobs = jobs.filter(pk__gt=after) if oldest_first else jobs.filter(pk__lt=after)
    ids = _first_ids(_branches(wanted, jobs), order, offset + limit + 1)[offset:]
    found = Job.objects.select_related("product", "environment").in_bulk(ids[:limit])
    page = [found[job_id] for job_id in ids[:limit] if job_id in found]
    return Page(page, ids[limit - 1] if len(ids) > limit else None)


def count_jobs(wanted: JobFilter, *, also: Q | None = None, most: int = MOST_COUNTED) -> int:
    """How many match (`also`: this besides), at most `most` + 1 of them."""
    total = 0
    jobs = matching(wanted, any_state=True)
    if also is not None:
        jobs = jobs.filter(also)
    for branch in _branches(wanted, jobs):
        total += branch.order_by()[: most + 1 - total].count()
        if total > most:
            break
    return total


def ids_of(wanted: JobFilter, also: Q, *, limit: int, oldest_first: bool = True) -> list[UUID]:
    """The first ids of those that match, and `also` that."""
    jobs = matching(wanted, any_state=True).filter(also)
    return _first_ids(_branches(wanted, jobs), "id" if oldest_first else "-id", limit)


def matching(wanted: JobFilter, *, any_state: bool = False) -> QuerySet[Job]:
    """Every job that a filter means, in no order. `any_state`: whatever its state is.

    That is for `_branches`, which say the states themselves in the words of the index that holds them: where nothing
    else is asked for, no job has to be read.
    """
    jobs = Job.objects.all()
    if wanted.environment_ids is not None:
        jobs = jobs.filter(environment_id__in=wanted.environment_ids)
    if wanted.statuses and not any_state:
        jobs = jobs.filter(status__in=sorted(wanted.statuses))
    equal = {
        "recurring": wanted.recurring,
        "namespace": wanted.namespace,
        "queue": wanted.queue,
        "last_run_status": wanted.last_run_status,
    }
    jobs = jobs.filter(**{name: value for name, value in equal.items() if value is not None})
    if wanted.consecutive_failures is not None:
        jobs = jobs.filter(consecutive_failures__gte=wanted.consecutive_failures)
    if wanted.retrying is not None:
        jobs = jobs.filter(next_attempt_at__isnull=not wanted.retrying)
    if wanted.job_ids is not None:
        jobs = jobs.filter(pk__in=wanted.job_ids)
    for condition in (*_times(wanted), *_target(wanted.target)):
        jobs = jobs.filter(condition)
    jobs = _with_words(jobs, wanted.q)
    if wanted.search:
        jobs = found_by(jobs, wanted.search)
    for key, value in wanted.labels:
        jobs = _labelled(jobs, key, value)
    return jobs


def found_by(jobs: QuerySet[Job], term: str) -> QuerySet[Job]:
    """By id, target (`mail`, `mail:send`), label (`key:value`), unique key, or words as `q` finds them."""
    key = job_key(term)
    if key is not None:
        return jobs.filter(pk=key)
    name, colon, value = term.partition(":")
    if not colon:
        return jobs.filter(pk__in=_ids_matching(q=term))
    labelled = Q(pk__in=_ids_matching(labels=((name, value),)))
    return jobs.filter(Q(unique_key=term) | Q(pk__in=_ids_matching(target=term)) | labelled)


def job_key(text: str) -> UUID | None:
    """The key of a `job_…`, or of a bare UUID, or None."""
    found = decode("job", text)
    if found is None:
        try:
            found = UUID(text)
        except ValueError:
            return None
    return found


def _ids_matching(**wanted: Any) -> QuerySet[Job, Any]:
    return matching(JobFilter(environment_ids=None, **wanted)).values("pk")


def _times(wanted: JobFilter) -> list[Q]:
    final = Q(status__in=sorted(FINAL))
    conditions = []
    if wanted.since is not None:
        conditions.append(
            (final & Q(completed_at__gte=wanted.since)) | (~final & Q(scheduled_at__gte=wanted.since))
        )  # fmt: skip
    if wanted.until is not None:
        # The API speaks in milliseconds: what ended within the last one still belongs to it.
        end = later(wanted.until, timedelta(milliseconds=1))
        conditions.append((final & Q(completed_at__lt=end)) | (~final & Q(scheduled_at__lt=end)))
        if wanted.statuses and wanted.statuses <= FINAL:  # what has ended was made before: skip what is younger
            conditions.append(Q(pk__lt=_id_at(later(end, CLOCKS_APART))))
    return conditions


def _id_at(moment: datetime) -> UUID:
    """Every job's id made before the moment is smaller than this."""
    return UUID(int=max(to_ms(moment), 0) << 80)


def _target(target: str | None) -> list[Q]:
    if not target:
        return []
    component, colon, event = target.partition(":")
    of_component = Q(*[(f"target__{name}", component) for name in TARGET_COMPONENTS], _connector=Q.OR)
    if not colon:
        return [of_component | Q(*[(f"target__{name}", component) for name in TARGET_EVENTS], _connector=Q.OR)]
    return [of_component, Q(*[(f"target__{name}", event) for name in TARGET_EVENTS], _connector=Q.OR)]


def _with_words(jobs: QuerySet[Job], q: str | None) -> QuerySet[Job]:
    """A job's id, or text in its target, queue, unique key, last error or the reasons people gave."""
    if not q:
        return jobs
    job_id = decode("job", q)
    if job_id is not None:
        return jobs.filter(pk=job_id)
    texts = ("queue", "unique_key", "last_error", "cancel_reason", "pause_note", "_target_text")
    return jobs.alias(_target_text=Cast("target", TextField())).filter(
        Q(*[(f"{name}__icontains", q) for name in texts], _connector=Q.OR)
    )


def _labelled(jobs: QuerySet[Job], key: str, value: str) -> QuerySet[Job]:
    if connection.vendor == "postgresql":
        return jobs.filter(labels__contains={key: value})
    path = Value(f"$.{json.dumps(key)}")  # Django's own lookup takes a key of digits for a place in a list
    return jobs.alias(_label=Func("labels", path, function="JSON_EXTRACT", output_field=TextField())).filter(
        _label=value
    )


def _branches(wanted: JobFilter, jobs: QuerySet[Job]) -> list[QuerySet[Job]]:
    """The jobs in the wanted states in parts, each of which one index yields in the order of the ids.

    One part for each environment and state, where these are few; a part for `queued` or `running`
    is driven by the open runs, which are few when such jobs are rare among the others.
    """
    if wanted.job_ids is not None:
        return [jobs]
    statuses = wanted.statuses or _implied(wanted)
    environments: Sequence[int] | None = None
    if wanted.environment_ids is not None:
        environments = sorted(wanted.environment_ids)
    elif statuses:
        environments = list(Environment.objects.values_list("pk", flat=True)[: MOST_BRANCHES + 1])
    by_state = _by_state(wanted, statuses, jobs)
    if environments is None or len(environments) * len(by_state) > MOST_BRANCHES:
        return [jobs.filter(status__in=sorted(wanted.statuses)) if wanted.statuses else jobs]
    return [part.filter(environment_id=environment) for environment in environments for part in by_state]


def _implied(wanted: JobFilter) -> frozenset[JobStatus]:
    """The only states that a filter which names none can find: those that stand in an index are looked at alone."""
    if wanted.retrying:
        return frozenset({JobStatus.SCHEDULED, JobStatus.PAUSED})
    if wanted.last_run_status == RunStatus.FAILED or wanted.consecutive_failures:
        return frozenset(JobStatus) - {JobStatus.COMPLETED}
    return frozenset()


def _by_state(wanted: JobFilter, statuses: frozenset[JobStatus], jobs: QuerySet[Job]) -> list[QuerySet[Job]]:
    """Parts of the jobs by state; what stands in no index is one part together."""
    if not statuses:
        return [jobs]
    parts = [jobs.filter(rare_status=status) for status in RARE_STATUSES if status in statuses]
    common = {status for status in statuses if status not in RARE_STATUSES}
    for status, run_status in _THROUGH_RUNS.items():
        if status in common and JobStatus.COMPLETED not in common:
            ids = _jobs_with_open_run(wanted, run_status)
            if ids is not None:
                common.discard(status)
                parts.append(jobs.filter(status=status, pk__in=ids))
    if common:
        parts.append(jobs.filter(status__in=sorted(common)))
    return parts


def _jobs_with_open_run(wanted: JobFilter, status: RunStatus) -> list[UUID] | None:
    """The jobs with a run in that state; None when there are so many that a walk finds them sooner."""
    runs = Execution.objects.filter(status=status)
    if wanted.environment_ids is not None:
        runs = runs.filter(environment_id__in=wanted.environment_ids)
    ids = list(runs.values_list("job_id", flat=True)[: MOST_OPEN_RUNS + 1])
    return ids if len(ids) <= MOST_OPEN_RUNS else None


_THROUGH_RUNS = {JobStatus.QUEUED: RunStatus.QUEUED, JobStatus.RUNNING: RunStatus.RUNNING}


def _first_ids(branches: Sequence[QuerySet[Job]], order: str, limit: int) -> list[UUID]:
    """The first ids of all parts together: the first of each part, merged."""
    ids = [list(branch.order_by(order).values_list("pk", flat=True)[:limit]) for branch in branches]
    if len(ids) == 1:
        return ids[0]
    return sorted({job_id for part in ids for job_id in part}, reverse=order.startswith("-"))[:limit]


def history(
    job_id: UUID, *, limit: int, offset: int = 0, statuses: frozenset[RunStatus] = frozenset()
) -> list[Execution]:
    """The runs of a job that began, and the rows of those that never did, newest first.

    Both parts are in the order of their ids, which is that of their occurrences: runs of one job
    begin in it. An index holds the numbered ones; the others share its null.
    """
    runs = Execution.objects.filter(job_id=job_id)
    begun = runs.filter(number__isnull=False)
    never = runs.filter(number__isnull=True, status__in=_NEVER_BEGAN)
    if statuses:
        begun = begun.filter(status__in=_stored(statuses))
        never = never.filter(status__in=sorted(statuses))
    wanted = offset + limit
    rows = [*begun.order_by("-number")[:wanted], *never.order_by("-id")[:wanted]]
    return sorted(rows, key=lambda run: run.pk, reverse=True)[offset:wanted]


_NEVER_BEGAN = [RunStatus.SKIPPED, RunStatus.MISSED, RunStatus.CANCELLED]


def _stored(statuses: frozenset[RunStatus]) -> list[RunStatus]:
    """The states of rows behind those of the history, where a run between two attempts is `running`."""
    return sorted(statuses | OPEN_RUN if RunStatus.RUNNING in statuses else statuses)
