"""Paths of keys, under /v1/."""

from __future__ import annotations

from django.urls import path

from core.tenancy.api.views import KeysView, KeyView

urlpatterns = [
    path("keys", KeysView.as_view(), name="keys"),
    path("keys/<int:key_id>", KeyView.as_view(), name="key"),
]
