"""A made-up event, to try an endpoint with: shaped as a real one of its type, of a job that does not exist. Pure but
for the job's id."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import NamedTuple

from core.ids import new_uuid
from core.strictjson import dumps
from core.times import to_ms
from jobs.models import JobEvent
from jobs.outbox import Account
from jobs.states import EventType, JobStatus
from webhooks.models import Endpoint
from webhooks.payload import payload_of


class _Moment(NamedTuple):
    """Where in its life the job of the example is."""

    status: JobStatus
    seq: int
    execution_count: int = 1
    number: int | None = None
    error: str | None = None


_WHY = "an example of an error"
_MOMENTS: Mapping[EventType, _Moment] = {
    EventType.SCHEDULED: _Moment(JobStatus.QUEUED, 1, 0),
    EventType.STARTED: _Moment(JobStatus.RUNNING, 2, number=1),
    EventType.COMPLETED: _Moment(JobStatus.COMPLETED, 3, number=1),
    EventType.FAILED: _Moment(JobStatus.FAILED, 3, number=1, error=_WHY),
    EventType.CANCELLED: _Moment(JobStatus.CANCELLED, 2, 0),
    EventType.PAUSED: _Moment(JobStatus.PAUSED, 4),
    EventType.RESUMED: _Moment(JobStatus.SCHEDULED, 5),
    EventType.RETRYING: _Moment(JobStatus.SCHEDULED, 3, number=1, error=_WHY),
    EventType.SKIPPED: _Moment(JobStatus.RUNNING, 3),
    EventType.RESCHEDULED: _Moment(JobStatus.SCHEDULED, 4),
    EventType.DELETED: _Moment(JobStatus.COMPLETED, 4),
}


def sample_of(type: EventType, endpoint: Endpoint, *, now: datetime) -> str:
    """The body, marked as a test: an event that the endpoint's filters let in."""
    moment, product = _MOMENTS[type], endpoint.product
    event = JobEvent(
        job_id=new_uuid(), seq=moment.seq, type=str(type), status=str(moment.status), number=moment.number, at=now
    )
    account = Account(
        product_id=0 if product is None else product.pk,
        product="example" if product is None else product.tag,
        environment_id=0,
        env=endpoint.env or "example",
        namespace=endpoint.namespaces[0] if endpoint.namespaces else "actions",
        labels=endpoint.labels,
        scheduled_at=to_ms(now),
        execution_count=moment.execution_count,
        error=moment.error,
    )
    return dumps({**payload_of(event, account), "test": True}).decode()
