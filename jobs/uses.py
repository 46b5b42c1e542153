"""Which unfinished jobs, and which definitions of jobs, need a part of a catalog. Reads only."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice
from uuid import UUID

from django.db.models import Q, TextField
from django.db.models.functions import Cast

from core import crypto
from executors.catalog.usage import Named, Part
from executors.expressions import references_anywhere
from executors.sessions.counting import Held
from jobs.lifecycle.create import session_place
from jobs.models import Execution, Job, JobDefinition
from jobs.operations.event_types import EVENT_TYPES
from jobs.queries import JobFilter, count_jobs
from jobs.states import FINAL, OPEN_RUN, JobStatus

MOST_OPENED = 10_000  # that are found in sessions and inputs; past that nobody waits for an exact number
UNFINISHED = frozenset(JobStatus) - FINAL
_AT_ONCE = 200  # conditions of one statement


def unfinished_jobs(part: Part) -> int:
    """How many jobs need it and may still run; past MOST_COUNTED that many and one. Of an environment, which keeps
    the history of its jobs, those that have ended too."""
    match part.kind:
        case "environment":
            return count_jobs(JobFilter(environment_ids=part.environment_ids))
        case "cache":
            wanted = JobFilter(environment_ids=part.environment_ids, statuses=UNFINISHED)
            return count_jobs(wanted, also=Q(cache=part.tag))
        case "session":
            return _with_session(part)
    return _targeting(part) + (_referring(part) if part.references else 0)


def definitions(part: Part) -> list[str]:
    """The tags of the definitions whose event needs it."""
    if part.product_id is None:
        return []
    rows = JobDefinition.objects.filter(product_id=part.product_id).values_list("tag", "event_type", "target")
    return [
        tag
        for tag, event_type, target in rows.iterator(chunk_size=500)
        if any(named.is_in(EVENT_TYPES[event_type].namespace, target) for named in part.named)
    ]


def _targeting(part: Part) -> int:
    """Of those whose target is one of `named`."""
    total = 0
    for namespace in sorted({namespace for named in part.named for namespace in named.namespaces}):
        wanted = JobFilter(environment_ids=part.environment_ids, statuses=UNFINISHED, namespace=namespace)
        of_it = [named for named in part.named if namespace in named.namespaces]
        total += sum(count_jobs(wanted, also=condition) for condition in _conditions(of_it))
    return total + _beginning(part)


def _beginning(part: Part) -> int:
    """Of those whose open run has begun with it, and whose definition has had them run something else since."""
    redefined = Job.objects.filter(environment_id__in=part.environment_ids, open_definition__isnull=False)
    runs = Execution.objects.filter(job__in=redefined, status__in=sorted(OPEN_RUN), target__isnull=False)
    rows = runs.values_list("namespace", "target", "job__namespace", "job__target")
    return sum(
        any(named.is_in(namespace, target or {}) for named in part.named)
        and not any(named.is_in(namespace_now, target_now) for named in part.named)
        for namespace, target, namespace_now, target_now in rows.iterator(chunk_size=500)
    )


def _conditions(listed: list[Named]) -> Iterator[Q]:
    """Conditions of which a job meets one at most; each of a length that a database takes."""
    tags: dict[str, list[str]] = {}
    events: list[Q] = []
    for named in listed:
        if named.event is None:
            tags.setdefault(f"target__{named.target}__in", []).append(named.tag)
        else:
            spelled = Q(*[(f"target__{name}__in", named.events) for name in named.event_fields], _connector=Q.OR)
            events.append(Q(**{f"target__{named.target}": named.tag}) & spelled)
    for field, values in tags.items():
        for begin in range(0, len(values), _AT_ONCE):
            yield Q(**{field: values[begin : begin + _AT_ONCE]})
    for begin in range(0, len(events), _AT_ONCE):
        yield Q(*events[begin : begin + _AT_ONCE], _connector=Q.OR)


def _referring(part: Part) -> int:
    """Of the other ones, those whose input refers to it."""
    kinds = sorted({reference.kind for reference in part.references})
    written = Q(*[("_input_text__contains", f"${kind}") for kind in kinds], _connector=Q.OR)
    if len(part.references) <= _AT_ONCE:
        names = sorted({reference.names[-1] for reference in part.references})
        written &= Q(*[("_input_text__contains", name) for name in names], _connector=Q.OR)
    rows = (
        Job.objects.filter(environment_id__in=part.environment_ids, status__in=UNFINISHED)
        .alias(_input_text=Cast("input", TextField()))
        .filter(written)
        .values_list("namespace", "target", "input")
    )
    return _counted(
        not any(named.is_in(namespace, target) for named in part.named)
        and not part.references.isdisjoint(references_anywhere(input))
        for namespace, target, input in rows.iterator(chunk_size=500)
    )


def _with_session(part: Part) -> int:
    """Of a session configuration, which a job's sealed session names."""
    having = Job.objects.filter(environment_id__in=part.environment_ids, status__in=UNFINISHED).exclude(session="")
    rows = having.values_list("session", "product_id", "environment_id", "pk")
    return _counted(_tag_of(*row) == part.tag for row in rows.iterator(chunk_size=500))


def _counted(found: Iterable[bool]) -> int:
    """How many are true, at most MOST_OPENED and one: those that are not do not hide one that is."""
    return sum(islice(filter(None, found), MOST_OPENED + 1))


def _tag_of(session: str, product_id: int, environment_id: int, job_id: UUID) -> str:
    try:
        return Held.loads(crypto.unseal(session, session_place(product_id, environment_id, job_id))).tag
    except crypto.CannotOpen:
        return ""  # no run of it succeeds anyhow
