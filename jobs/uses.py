"""Which unfinished jobs need a part of a catalog. Reads only."""

from __future__ import annotations

from uuid import UUID

from django.db.models import Q

from core import crypto
from core.tenancy.models import Environment
from executors.catalog.usage import Part
from executors.sessions.counting import Held
from jobs.lifecycle.create import session_place
from jobs.models import Job
from jobs.queries import JobFilter, count_jobs
from jobs.states import FINAL, JobStatus

MOST_OPENED = 10_000  # sessions; past that nobody waits for an exact number
UNFINISHED = frozenset(JobStatus) - FINAL


def unfinished_jobs(part: Part) -> int:
    """How many jobs name it and may still run; past MOST_COUNTED that many and one."""
    environments = (
        frozenset(Environment.objects.filter(product_id=part.product_id).values_list("pk", flat=True))
        if part.environment_id is None
        else frozenset({part.environment_id})
    )
    if not part.namespaces:
        return _naming_declared(part, environments)
    target = Q(**{f"target__{part.target}": part.tag})
    if part.event is not None:
        spelled = [part.event, f"{part.tag}:{part.event}"]
        named = Q()
        for name in part.event_fields:
            named |= Q(**{f"target__{name}__in": spelled})
        target &= named
    most = 0
    for namespace in part.namespaces:
        wanted = JobFilter(environment_ids=environments, statuses=UNFINISHED, namespace=namespace)
        most += count_jobs(wanted, also=target)
    return most


def _naming_declared(part: Part, environments: frozenset[int]) -> int:
    """Of a cache, which a job names; of a session configuration, which its sealed session does."""
    wanted = JobFilter(environment_ids=environments, statuses=UNFINISHED)
    if part.kind == "cache":
        return count_jobs(wanted, also=Q(cache=part.tag))
    having = Job.objects.filter(environment_id__in=environments, status__in=UNFINISHED).exclude(session="")
    rows = having.values_list("session", "product_id", "environment_id", "pk")[:MOST_OPENED]
    return sum(_tag_of(*row) == part.tag for row in rows)


def _tag_of(session: str, product_id: int, environment_id: int, job_id: UUID) -> str:
    try:
        return Held.loads(crypto.unseal(session, session_place(product_id, environment_id, job_id))).tag
    except crypto.CannotOpen:
        return ""  # no run of it succeeds anyhow
