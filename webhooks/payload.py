"""What an endpoint is told: the documents' payload and a little more, as the bytes that are signed. Pure.

Never the input of a job or the result of a run.
"""

from __future__ import annotations

from typing import Any

from core.ids import encode
from core.strictjson import dumps
from core.times import to_ms
from jobs.models import JobEvent
from jobs.outbox import Account
from jobs.states import EventType


def body_of(event: JobEvent, account: Account) -> str:
    """An event as it is sent, once and for all: its job as it was at that moment."""
    return dumps(payload_of(event, account)).decode()


def payload_of(event: JobEvent, account: Account) -> dict[str, Any]:
    """Times in ms. `execution_count` is the number of runs that had started, `number` the run that the event is about;
    what does not apply is left out. Of an occurrence that never runs `scheduled_at` is its own: the job's is that of
    the run that is still open, or of the next one.
    """
    scheduled_at = account.scheduled_at
    if event.type == EventType.SKIPPED:
        scheduled_at = (event.data or {}).get("scheduled_at", scheduled_at)
    job: dict[str, Any] = {
        "id": encode("job", event.job_id),
        "status": event.status,
        "namespace": account.namespace,
        "product": account.product,
        "env": account.env,
        "scheduled_at": scheduled_at,
        "execution_count": account.execution_count,
        "seq": event.seq,
        "labels": account.labels,
    }
    if event.number is not None:
        job["number"] = event.number
    if account.error:
        job["error"] = account.error
    return {"type": event.type, "event": event.type, "timestamp": to_ms(event.at), "job": job}
