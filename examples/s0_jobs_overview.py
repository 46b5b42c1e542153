"""The page "Jobs": a job is defined, changed and fetched."""

import os

from ductape import Ductape, errors

with Ductape(os.environ["DUCTAPE_URL"], os.environ["DUCTAPE_API_KEY"], product="my-app", env="prd") as ductape:
    try:
        ductape.product.jobs.create(
            name="Example Job",
            tag="example_job",
            event_type="ACTION",
            event_tag="payment-service:process_payment",
            executions=5,  # 0: without a limit
            intervals=60_000,  # ms
        )
    except errors.Exists:
        print("it was there from before")

    updated = ductape.product.jobs.update("example_job", name="Updated Job Name", executions=10, intervals=120_000)
    print(updated.name, "runs", updated.executions, "times, every", updated.intervals, "ms")

    print("all jobs:", [job.tag for job in ductape.product.jobs.fetch_all()])
    print("this one:", ductape.product.jobs.fetch("example_job").event_tag)
