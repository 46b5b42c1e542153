import os
import time
from typing import Any

from celery import shared_task


def _note(path: str, text: str) -> None:
    with open(path, "a") as log:
        log.write(f"{text}\n")


@shared_task(bind=True)
def send_invoices(self: Any, count: int, currency: str = "EUR") -> dict[str, Any]:
    if count < 0:
        raise ValueError(f"cannot send {count} invoices")
    return {"sent": count, "currency": currency, "key": self.request.get("idempotency_key")}


@shared_task(bind=True, max_retries=5)
def sync_bank(self: Any, log: str, failures: int) -> Any:
    _note(log, f"try {self.request.retries} of {self.request.id}")
    if self.request.retries < failures:
        raise self.retry(countdown=0.3, exc=ConnectionError("the bank is closed"))
    return self.request.retries


@shared_task(bind=True)
def close_month(self: Any, log: str, seconds: float) -> str:
    _note(log, f"begin {self.request.id} {os.getpid()}")
    time.sleep(seconds)
    _note(log, f"end {self.request.id}")
    return "closed"
