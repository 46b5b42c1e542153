"""The Celery application: the door bell. It carries the names of queues, never jobs."""

from __future__ import annotations

import os

from celery import Celery

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "ductape_jobs.settings")
# Celery's own run of the system checks would load the API and the admin into every worker;
# `manage.py worker` and `scheduler` run the checks that concern them.
os.environ.setdefault("CELERY_SKIP_CHECKS", "true")

app = Celery("ductape_jobs")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks(["jobs"])
# By name: the run loop needs Django's models, which load after this module.
app.steps["worker"].add("jobs.worker:RunLoop")
