"""Paths of webhooks, under /v1/."""

from __future__ import annotations

from django.urls import path

from webhooks.api import deliveries, views

_ONE = "webhooks/<str:webhook_id>"

urlpatterns = [
    path("jobs/webhook", views.SetWebhookView.as_view(), name="set-webhook"),
    path("webhooks", views.WebhooksView.as_view(), name="webhooks"),
    path(_ONE, views.WebhookView.as_view(), name="webhook"),
    path(f"{_ONE}/rotate-secret", views.RotateView.as_view(), name="webhook-rotate-secret"),
    path(f"{_ONE}/test", deliveries.TestView.as_view(), name="webhook-test"),
    path(f"{_ONE}/stats", deliveries.StatsView.as_view(), name="webhook-stats"),
    path(f"{_ONE}/replay", deliveries.ReplayView.as_view(), name="webhook-replay"),
    path(f"{_ONE}/deliveries", deliveries.DeliveriesView.as_view(), name="webhook-deliveries"),
    path(f"{_ONE}/deliveries/<str:delivery_id>", deliveries.DeliveryView.as_view(), name="webhook-delivery"),
    path(
        f"{_ONE}/deliveries/<str:delivery_id>/replay",
        deliveries.ReplayOneView.as_view(),
        name="webhook-delivery-replay",
    ),
]
