"""Paths of the catalog, under /v1/."""

from __future__ import annotations

from django.urls import URLPattern, path

from executors.catalog import kinds
from executors.catalog.api.caches import CachesView, CacheView, EntriesView
from executors.catalog.api.components import (
    CheckView,
    ComponentsView,
    ComponentView,
    ConnectionView,
    EventsView,
    EventView,
    of_kind,
)
from executors.catalog.api.products import EnvironmentsView, EnvironmentView, ProductsView, ProductView
from executors.catalog.api.secrets import SecretsView, SecretView
from executors.catalog.api.sessions import RevokeView, SessionsView, SessionView, StartView, VerifyView
from executors.catalog.api.views import CatalogView
from executors.catalog.kinds import Kind


def _of(kind: Kind) -> list[URLPattern]:
    base = f"products/<str:product>/{kind.plural}"
    paths = [
        path(base, of_kind(ComponentsView, kind).as_view(), name=kind.plural),
        path(f"{base}/<str:tag>", of_kind(ComponentView, kind).as_view(), name=kind.name),
    ]
    if kind.connected:
        paths += [
            path(f"{base}/<str:tag>/envs/<str:env>", of_kind(ConnectionView, kind).as_view(), name=f"{kind.name}-env"),
            path(f"{base}/<str:tag>/check", of_kind(CheckView, kind).as_view(), name=f"{kind.name}-check"),
        ]
    if kind.has_events:
        paths += [
            path(f"{base}/<str:tag>/events", of_kind(EventsView, kind).as_view(), name=f"{kind.name}-events"),
            path(f"{base}/<str:tag>/events/<str:event>", of_kind(EventView, kind).as_view(), name=f"{kind.name}-event"),
        ]
    return paths


urlpatterns = [
    path("products", ProductsView.as_view(), name="products"),
    path("products/<str:product>", ProductView.as_view(), name="product"),
    path("products/<str:product>/envs", EnvironmentsView.as_view(), name="environments"),
    path("products/<str:product>/envs/<str:env>", EnvironmentView.as_view(), name="environment"),
    path("products/<str:product>/catalog", CatalogView.as_view(), name="catalog"),
    *(pattern for kind in kinds.all_kinds() for pattern in _of(kind)),
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
