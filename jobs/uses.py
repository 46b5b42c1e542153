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
    target = Q(target__app=part.app)
    if part.event is not None:
        spelled = [part.event, f"{part.app}:{part.event}"]
        target &= Q(target__event__in=spelled) | Q(target__action__in=spelled)
    wanted = JobFilter(environment_ids=environments, statuses=UNFINISHED, namespace="actions")
    return count_jobs(wanted, also=target)
