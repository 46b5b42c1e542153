import os

from celery import Celery

app = Celery("billing")
app.conf.update(
    broker_url=os.environ["BILLING_BROKER"],
    result_backend=os.environ.get("BILLING_RESULTS") or None,
    task_default_queue=os.environ["BILLING_QUEUE"],
    task_track_started=True,
    broker_connection_retry_on_startup=True,
)
app.autodiscover_tasks(["billing"])
