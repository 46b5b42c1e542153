"""Paths of the catalog, under /v1/."""

from __future__ import annotations

from django.urls import path

from executors.catalog.api.views import CatalogView, EnvironmentsView, ProductsView

urlpatterns = [
    path("products", ProductsView.as_view(), name="products"),
    path("products/<str:product>/envs", EnvironmentsView.as_view(), name="environments"),
    path("products/<str:product>/catalog", CatalogView.as_view(), name="catalog"),
]
