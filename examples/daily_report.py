"""A report every morning at nine in New York, in summer and in winter."""

import os

from ductape import Ductape

with Ductape(os.environ["DUCTAPE_URL"], os.environ["DUCTAPE_API_KEY"], product="my-app", env="prd") as ductape:
    preview = ductape.schedules.preview("0 9 * * *", tz="America/New_York", count=3)
    print(preview.description, *preview.local, sep="\n  ")

    report = ductape.features.dispatch(
        tag="generate_daily_report",
        schedule={"cron": "0 9 * * *", "tz": "America/New_York"},
        retries=2,
        unique_key="daily-report",
        on_conflict="replace",  # started again, this program changes the job that it made before
    )
    print(report.job_id, "runs next at", report.next_run_at)

    today = report.job().trigger().wait(timeout=30)  # one more run, now
    print("today:", today.last_run_status, today.result)
    today.cancel(reason="the example is over")
