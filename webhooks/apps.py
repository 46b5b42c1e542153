"""Tells the outside what became of a job: endpoints, deliveries, signatures.

The transitions are already written to the outbox (`jobs.models.JobEvent`) in the
transaction that makes them; what delivers them from there lives in this app.
"""

from django.apps import AppConfig


class WebhooksConfig(AppConfig):
    name = "webhooks"
    default_auto_field = "django.db.models.BigAutoField"
