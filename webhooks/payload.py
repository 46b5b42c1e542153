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
    payload = {"type": event.type, "event": event.type, "timestamp": to_ms(event.at), "job": job}
    return dumps(payload).decode()
