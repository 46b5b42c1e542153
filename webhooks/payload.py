"""What an endpoint is told: the documents' payload and a little more, as the bytes that are signed. Pure.

Never the input of a job or the result of a run.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from core.ids import encode
from core.strictjson import dumps
from core.times import to_ms
from jobs.models import JobEvent
from jobs.outbox import Account
from webhooks.states import TEST


def body_of(event: JobEvent, account: Account) -> str:
    """An event as it is sent, once and for all: its job as it was at that moment. Times in ms.

    `execution_count` is the number of runs that had started, `number` the run that the event is about; what does not
    apply is left out.
    """
    job: dict[str, Any] = {
        "id": encode("job", event.job_id),
        "status": event.status,
        "namespace": account.namespace,
        "product": account.product,
        "env": account.env,
        "scheduled_at": account.scheduled_at,
        "execution_count": account.execution_count,
        "seq": event.seq,
        "labels": account.labels,
    }
    if event.number is not None:
        job["number"] = event.number
    if account.error:
        job["error"] = account.error
    return _text(event.type, event.at, job)


def trial_body(at: datetime, job: dict[str, Any]) -> str:
    """The event that tries an endpoint; `job` is an example, and is no job."""
    return _text(TEST, at, job)


def _text(type: str, at: datetime, job: dict[str, Any]) -> str:
    return dumps({"type": type, "event": type, "timestamp": to_ms(at), "job": job}).decode()
