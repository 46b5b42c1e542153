"""A payment whose provider is away for a moment: tried again, later each time, and charged once."""

import os
import sys
from datetime import timedelta

from ductape import Ductape, WaitTimeout

with Ductape(os.environ["DUCTAPE_URL"], os.environ["DUCTAPE_API_KEY"], product="my-app", env="prd") as ductape:
    payment = ductape.actions.dispatch(
        app="payment-service",
        event="charge_card",
        input={"body": {"orderId": "order_456", "amount": 99.99}},
        retries=3,
        retry_config={"initial_delay": timedelta(milliseconds=200), "backoff_multiplier": 2},
    )
    try:
        job = payment.wait(timeout=30)
    except WaitTimeout as late:
        sys.exit(f"{late.job.status}: {late.job.explain().sentence}")

    # Every attempt has the same Idempotency-Key, by which the provider knows a payment that it has taken already.
    (run,) = job.history()
    for attempt in run.attempts:
        print(attempt.attempt, attempt.status, attempt.error or "")
    print("the payment", job.status)
