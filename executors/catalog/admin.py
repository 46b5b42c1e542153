"""The catalog in the admin, to look at: it is written as a document. What is sealed is never shown."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.http import HttpRequest
from unfold.admin import ModelAdmin  # type: ignore[import-untyped]

from executors.catalog.models import Component, Connection, SavedEvent, Secret


class _ReadOnly(ModelAdmin):  # type: ignore[misc]  # unfold is untyped
    def has_add_permission(self, request: HttpRequest, *args: Any) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


@admin.register(Component)
class ComponentAdmin(_ReadOnly):
    list_display = ("tag", "kind", "product", "name", "updated_at")
    list_filter = ("kind", "product")
    search_fields = ("tag", "name")
    exclude = ("secrets",)


@admin.register(Connection)
class ConnectionAdmin(_ReadOnly):
    list_display = ("component", "environment", "updated_at")
    list_select_related = ("component", "environment__product")
    exclude = ("secrets",)


@admin.register(SavedEvent)
class SavedEventAdmin(_ReadOnly):
    list_display = ("tag", "component", "updated_at")
    list_select_related = ("component",)
    search_fields = ("tag",)


@admin.register(Secret)
class SecretAdmin(_ReadOnly):
    list_display = ("key", "product", "environment", "updated_at")
    list_filter = ("product",)
    search_fields = ("key",)
    exclude = ("value",)
