"""Paths of jobs and of the service: `urlpatterns` under /v1/, `service_patterns` at the root."""

from __future__ import annotations

from django.urls import path

from jobs.api import definitions, events, explain, holds, many, operations, processor, series, service, views
from jobs.api.dispatch import DispatchManyView, dispatch_view
from jobs.api.preview import PreviewView
from jobs.operations.targets import TARGETS

urlpatterns = [
    *(
        path(f"{names.path}/dispatch", dispatch_view(names).as_view(), name=f"dispatch-{names.namespace}")
        for names in TARGETS.values()
    ),
    path("jobs/dispatch-many", DispatchManyView.as_view(), name="dispatch-many"),
    path("schedules/preview", PreviewView.as_view(), name="schedule-preview"),
    path("workers", service.WorkersView.as_view(), name="workers"),
    path("queues", service.QueuesView.as_view(), name="queues"),
    path("events/stream", events.EventStreamView.as_view(), name="event-stream"),
    path("products/<str:product>/hold", holds.HoldView.as_view(), name="hold"),
    path("products/<str:product>/release", holds.ReleaseView.as_view(), name="release"),
    path("products/<str:product>/jobs", definitions.DefinitionsView.as_view(), name="definitions"),
    path("products/<str:product>/jobs/<str:tag>", definitions.DefinitionView.as_view(), name="definition"),
    path("processor/jobs/schedule", processor.ScheduleView.as_view(), name="processor-job-schedule"),
    path("jobs", views.JobsView.as_view(), name="jobs"),
    path("jobs/stats", views.StatsView.as_view(), name="job-stats"),
    *(path(f"jobs/{call}", view.as_view(), name=f"jobs-{call}") for call, view in many.VIEWS.items()),
    path("operations/<str:operation_id>", operations.OperationView.as_view(), name="operation"),
    path("operations/<str:operation_id>/abort", operations.AbortView.as_view(), name="operation-abort"),
    path("jobs/stats/series", series.SeriesView.as_view(), name="job-stats-series"),
    # Paths of one job come last: an id is any word.
    path("jobs/<str:job_id>", views.JobView.as_view(), name="job"),
    path("jobs/<str:job_id>/history", views.HistoryView.as_view(), name="job-history"),
    path("jobs/<str:job_id>/explain", explain.ExplainView.as_view(), name="job-explain"),
    path("jobs/<str:job_id>/cancel", views.CancelView.as_view(), name="job-cancel"),
    path("jobs/<str:job_id>/pause", views.PauseView.as_view(), name="job-pause"),
    path("jobs/<str:job_id>/resume", views.ResumeView.as_view(), name="job-resume"),
    path("jobs/<str:job_id>/reschedule", views.RescheduleView.as_view(), name="job-reschedule"),
    path("jobs/<str:job_id>/retry", views.RetryView.as_view(), name="job-retry"),
    path("jobs/<str:job_id>/trigger", views.TriggerView.as_view(), name="job-trigger"),
]

service_patterns = [
    path("healthz", service.HealthView.as_view(), name="healthz"),
    path("readyz", service.ReadyView.as_view(), name="readyz"),
    path("metrics", service.MetricsView.as_view(), name="metrics"),
]
