"""Where every path leads."""

from __future__ import annotations

from django.contrib import admin
from django.urls import include, path

from ductape_jobs.openapi import DocsView, SchemaView
from jobs.api.urls import service_patterns

admin.autodiscover()  # here, so that only processes that serve the admin load it

urlpatterns = [
    path("admin/", admin.site.urls),
    path("v1/openapi.json", SchemaView.as_view(), name="openapi"),
    path("v1/docs", DocsView.as_view(), name="docs"),
    path("v1/", include("core.tenancy.api.urls")),
    path("v1/", include("executors.catalog.api.urls")),
    path("v1/", include("webhooks.api.urls")),
    path("v1/", include("jobs.api.urls")),
    *service_patterns,
]

handler400 = "core.tenancy.problems.bad_request"
handler403 = "core.tenancy.problems.permission_denied"
handler404 = "core.tenancy.problems.page_not_found"
handler500 = "core.tenancy.problems.server_error"
