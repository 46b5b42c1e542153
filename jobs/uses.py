"""Which unfinished jobs need a part of a catalog. Reads only."""

from __future__ import annotations

from django.db.models import Q

from core.tenancy.models import Environment
from executors.catalog.usage import Part
from jobs.queries import JobFilter, count_jobs
from jobs.states import FINAL, JobStatus

UNFINISHED = frozenset(JobStatus) - FINAL


def unfinished_jobs(part: Part) -> int:
    """How many jobs name it and may still run; past MOST_COUNTED that many and one."""
    environments = (
        frozenset(Environment.objects.filter(product_id=part.product_id).values_list("pk", flat=True))
        if part.environment_id is None
        else frozenset({part.environment_id})
    )
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
