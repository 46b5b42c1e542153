"""Paths of the catalog, under /v1/."""

from __future__ import annotations

from django.urls import path

from executors.catalog.api.apps import (
    AppsView,
    AppView,
    CheckView,
    ConnectionView,
    EventsView,
    EventView,
    SecretsView,
    SecretView,
)
from executors.catalog.api.caches import CachesView, CacheView, EntriesView
from executors.catalog.api.sessions import RevokeView, SessionsView, SessionView, StartView, VerifyView
from executors.catalog.api.views import CatalogView, EnvironmentsView, ProductsView

urlpatterns = [
    path("products", ProductsView.as_view(), name="products"),
    path("products/<str:product>/envs", EnvironmentsView.as_view(), name="environments"),
    path("products/<str:product>/catalog", CatalogView.as_view(), name="catalog"),
    path("products/<str:product>/apps", AppsView.as_view(), name="apps"),
    path("products/<str:product>/apps/<str:tag>", AppView.as_view(), name="app"),
    path("products/<str:product>/apps/<str:tag>/envs/<str:env>", ConnectionView.as_view(), name="connection"),
    path("products/<str:product>/apps/<str:tag>/events", EventsView.as_view(), name="events"),
    path("products/<str:product>/apps/<str:tag>/events/<str:event>", EventView.as_view(), name="event"),
    path("products/<str:product>/apps/<str:tag>/check", CheckView.as_view(), name="check"),
    path("products/<str:product>/secrets", SecretsView.as_view(), name="secrets"),
    path("products/<str:product>/secrets/<str:secret>", SecretView.as_view(), name="secret"),
    path("products/<str:product>/sessions", SessionsView.as_view(), name="sessions"),
    path("products/<str:product>/sessions/<str:tag>", SessionView.as_view(), name="session"),
    path("products/<str:product>/sessions/<str:tag>/start", StartView.as_view(), name="session_start"),
    path("products/<str:product>/sessions/<str:tag>/verify", VerifyView.as_view(), name="session_verify"),
    path("products/<str:product>/sessions/<str:tag>/revoke", RevokeView.as_view(), name="session_revoke"),
    path("products/<str:product>/caches", CachesView.as_view(), name="caches"),
    path("products/<str:product>/caches/<str:tag>", CacheView.as_view(), name="cache"),
    path("products/<str:product>/caches/<str:tag>/entries", EntriesView.as_view(), name="cache_entries"),
]
