"""Products, environments and keys in the admin. A key's text is never shown: only its digest is stored."""

from __future__ import annotations

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from unfold.admin import ModelAdmin, TabularInline  # type: ignore[import-untyped]

from core.tenancy import keys
from core.tenancy.models import ApiKey, Environment, Product


class EnvironmentInline(TabularInline):  # type: ignore[misc]  # unfold is untyped
    model = Environment
    extra = 0


@admin.register(Product)
class ProductAdmin(ModelAdmin):  # type: ignore[misc]  # unfold is untyped
    list_display = ("tag", "name", "created_at")
    search_fields = ("tag", "name")
    inlines = (EnvironmentInline,)


@admin.register(ApiKey)
class ApiKeyAdmin(ModelAdmin):  # type: ignore[misc]  # unfold is untyped
    """Keys are made with `manage.py create_api_key`, which prints them; here they are seen and revoked."""

    list_display = ("name", "prefix", "product", "created_at", "last_used_at", "expires_at", "revoked_at")
    list_filter = ("product",)
    search_fields = ("name", "prefix")
    fields = ("name", "prefix", "product", "environments", "scopes", "expires_at", "revoked_at", "last_used_at")
    readonly_fields = ("prefix", "product", "environments", "scopes", "revoked_at", "last_used_at")
    actions = ("revoke",)

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    @admin.action(description="Revoke")
    def revoke(self, request: HttpRequest, queryset: QuerySet[ApiKey]) -> None:
        for key in queryset:
            keys.revoke(key)
