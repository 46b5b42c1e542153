"""The page "Job Management": jobs are found, paused, rescheduled, watched, retried, cancelled and deleted."""

import os
import time

from ductape import Ductape

HOUR, DAY = 3_600_000, 86_400_000  # ms
MINE = {"example": "management"}  # a label: the calls for many jobs below touch no others

with Ductape(os.environ["DUCTAPE_URL"], os.environ["DUCTAPE_API_KEY"], product="my-app", env="prd") as ductape:
    now = int(time.time() * 1000)
    hourly = ductape.actions.dispatch(
        app="payment-service",
        event="process_payment",
        labels=MINE,
        schedule={"every": HOUR, "start_at": now + HOUR},
    )
    later = ductape.actions.dispatch(
        app="payment-service",
        event="process_payment",
        labels=MINE,
        schedule={"start_at": now + DAY},
    )
    job_id = hourly.job_id

    # Fetching
    job = ductape.jobs.get(job_id)
    print("Status:", job.status, "Scheduled at:", job.scheduled_at, "Recurring:", job.recurring)
    print("Scheduled:", len(ductape.jobs.list(status="scheduled", limit=100, offset=0, label=MINE)))
    print("Recurring:", len(ductape.jobs.list(product="my-app", env="prd", recurring=True, label=MINE)))

    # Pausing and resuming
    print("Status:", ductape.jobs.pause(job_id, note="maintenance").status)
    print("Next run:", ductape.jobs.resume(job_id).next_run_at)
    print("Paused:", ductape.jobs.pause_many(product="my-app", recurring=True, label=MINE).count)
    print("Resumed:", ductape.jobs.resume_many(product="my-app", status="paused", label=MINE).count)

    # Rescheduling
    ductape.jobs.reschedule(later.job_id, start_at=now + 2 * HOUR)
    ductape.jobs.reschedule(job_id, cron="0 10 * * *", tz="America/New_York")

    # Watching
    ductape.jobs.trigger(job_id).wait(timeout=30)
    for run in ductape.jobs.get_history(job_id, limit=10):
        print(f"Run {run.number}: started {run.started_at}, took {run.duration_ms} ms, {run.status}", run.error or "")
    stats = ductape.jobs.get_stats(product="my-app", env="prd")
    print("Total:", stats.total, "Completed:", stats.completed, "Success rate:", stats.success_rate)

    # Being told: the echo of `make up` takes what is posted to it; the secret verifies it (docs/webhooks.md)
    hook = ductape.jobs.set_webhook(
        url=os.environ.get("ECHO_URL", "http://127.0.0.1:8001") + "/webhooks/jobs",
        events=["job.completed", "job.failed"],
        secret="webhook-secret-key",  # noqa: S106 - of the page
    )
    print("Webhook:", hook.url, "Events:", *hook.events)
    ductape.webhooks.delete(hook.id)

    # Retrying what failed today, cancelling, deleting
    print("Retried:", ductape.jobs.retry_many(status="failed", from_=now // DAY * DAY, label=MINE).count)
    print("Status:", ductape.jobs.cancel(later.job_id, reason="Campaign ended early").status)
    print("Cancelled:", ductape.jobs.cancel_many(product="my-app", status="scheduled", label=MINE).count)
    print("Deleted:", ductape.jobs.delete_many(status=["completed", "cancelled", "failed"], label=MINE).count)
