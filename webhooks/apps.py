"""The Django app of webhooks: tells the outside what became of a job.

Transitions are written to the outbox (`jobs.models.JobEvent`) in the transaction that makes them; from there this
app takes what somebody wants. `jobs` does not know it: what it adds to the processes of `jobs` is registered here.
"""

from django.apps import AppConfig

from webhooks import QUEUE


class WebhooksConfig(AppConfig):
    name = "webhooks"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        from jobs import extensions

        extensions.register(
            extensions.Extension(
                queue=QUEUE,
                crew="webhooks.crew.DeliveryCrew",
                reap="webhooks.reaping.reap",
                prune="webhooks.retention.prune",
                checks="webhooks.invariants.CHECKS",
                collect="webhooks.metrics.collect",
                load="webhooks.load.load",
                overview="webhooks.admin.overview.overview",
            )
        )
