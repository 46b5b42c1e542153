"""The page "Jobs" of the reference: a definition becomes a job when it is scheduled, and follows its changes."""

import os

from ductape import Ductape, errors

with Ductape(os.environ["DUCTAPE_URL"], os.environ["DUCTAPE_API_KEY"], product="my-app", env="prd") as ductape:
    jobs = ductape.product("my-app").jobs
    try:
        jobs.create(
            name="Example Job",
            tag="reference_job",
            event_type="ACTION",
            event_tag="payment-service:process_payment",
            executions=0,  # until it is deleted
            intervals=60_000,
        )
    except errors.Exists:
        print("it was there from before")

    scheduled = ductape.processor.job.schedule(
        event="reference_job", input={"body": {"orderId": "order_456"}}, start_at=0
    )
    print(scheduled.job_id, "recurs:", scheduled.recurring)

    changed = jobs.update("reference_job", name="Updated Job Name", executions=10, intervals=120_000)
    print(changed.name, "– jobs that follow:", changed.rescheduled)

    print([job.tag for job in jobs.fetch_all()])
    jobs.delete("reference_job", force=True)  # and cancels its jobs
