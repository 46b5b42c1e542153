"""The admin's shared parts as a Django application: it has templates and a style sheet, no models."""

from django.apps import AppConfig


class BackofficeConfig(AppConfig):
    name = "core.backoffice"
    label = "backoffice"
