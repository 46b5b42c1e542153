"""Old rows are deleted every night at three. What is old is computed by each run."""

import os

from ductape import Ductape

with Ductape(os.environ["DUCTAPE_URL"], os.environ["DUCTAPE_API_KEY"], product="my-app", env="prd") as ductape:
    cleanup = ductape.databases.dispatch(
        database="logs-db",
        operation="deleteMany",
        input={"filter": {"createdAt": {"$lt": '$DateAdd($Now(), -30, "days")'}}},
        schedule={"cron": "0 3 * * *", "tz": "Europe/Berlin", "misfire": "once"},
        labels={"team": "platform"},
    )
    job = cleanup.job()
    print(job.id, "runs next at", job.next_run_at)

    done = job.trigger().wait(timeout=30)  # not only at night
    print(done.last_run_status, done.result)
    print(done.explain().sentence)
    done.cancel(reason="the example is over")
