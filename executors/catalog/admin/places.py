"""Products and their environments."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.db.models import Count, QuerySet
from django.http import HttpRequest
from django.urls import reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString

from core.tenancy.models import Environment, Product
from executors.catalog.admin.forms import EntryForm
from executors.catalog.admin.pages import DocumentAdmin


class _PlaceForm(EntryForm):
    def path(self) -> str:
        return ""


class ProductForm(_PlaceForm):
    class Meta:
        model = Product
        fields = ("tag", "name")

    def product(self) -> Product:
        return self.instance if self.instance.pk else Product(tag=self.cleaned_data["tag"])

    def part(self) -> dict[str, Any]:
        return {"name": self.cleaned_data["name"]}

    def stored(self) -> Product:
        return Product.objects.get(tag=self.product().tag)


class EnvironmentForm(_PlaceForm):
    class Meta:
        model = Environment
        fields = ("product", "slug", "name")

    def product(self) -> Product:
        found: Product = self.instance.product if self.instance.pk else self.cleaned_data["product"]
        return found

    def part(self) -> dict[str, Any]:
        slug = self.instance.slug if self.instance.pk else self.cleaned_data["slug"]
        return {"envs": [{"slug": slug, "name": self.cleaned_data["name"]}]}

    def path(self) -> str:
        return "envs.0"

    def stored(self) -> Environment:
        return Environment.objects.get(product=self.product(), slug=self.instance.slug or self.cleaned_data["slug"])


class _NeverDeleted(DocumentAdmin):
    """Jobs and keys hang off these: taking them away is a matter of the document and its `prune`."""

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


@admin.register(Product)
class ProductAdmin(_NeverDeleted):
    form = ProductForm
    list_display = ("tag", "name", "environments_of", "apps_of", "created_at")
    search_fields = ("tag", "name")
    ordering = ("tag",)
    fields = ("tag", "name")
    add_only = ("tag",)

    def get_queryset(self, request: HttpRequest) -> QuerySet[Product]:
        products: QuerySet[Product] = super().get_queryset(request)
        return products.prefetch_related("environments").annotate(components_count=Count("components"))

    @admin.display(description="environments")
    def environments_of(self, product: Product) -> str:
        return ", ".join(environment.slug for environment in product.environments.all())

    @admin.display(description="components")
    def apps_of(self, product: Any) -> SafeString:
        url = reverse("admin:catalog_component_changelist") + f"?product__id__exact={product.pk}"
        return format_html('<a class="link" href="{}">{}</a>', url, product.components_count)


@admin.register(Environment)
class EnvironmentAdmin(_NeverDeleted):
    form = EnvironmentForm
    list_display = ("slug", "product", "name", "created_at")
    list_select_related = ("product",)
    list_filter = ("product",)
    search_fields = ("slug", "name", "product__tag")
    ordering = ("product__tag", "slug")
    fields = ("product", "slug", "name")
    add_only = ("product", "slug")
