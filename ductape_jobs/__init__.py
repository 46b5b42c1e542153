"""The Django project: the roof over core, executors, jobs and webhooks."""

from ductape_jobs.celery import app as celery_app

__all__ = ["celery_app"]
