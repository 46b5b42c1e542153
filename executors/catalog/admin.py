"""The catalog in the admin: products, environments, apps, their connections and actions, secrets.

Forms write through `editing`, as documents do; nothing is saved by Django's own means. What is
sealed is never shown. Kinds of components that have no form yet are shown only.
"""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import admin, messages
from django.db.models import Count, QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import URLPattern, path, reverse
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

from core.backoffice.pages import ReadOnlyAdmin, actor_of, tell
from core.backoffice.words import badge_like, pretty
from core.errors import ApiError
from core.tenancy import audit
from core.tenancy.models import Environment, Product
from executors.catalog import editing
from executors.catalog.auth_schema import AUTH_FIELDS
from executors.catalog.check import check_connection
from executors.catalog.forms import (
    APP,
    AUTH_NAMES,
    ComponentForm,
    ConnectionForm,
    EntryForm,
    SavedEventForm,
    SecretForm,
)
from executors.catalog.models import Component, Connection, SavedEvent, Secret

_CALL = ("headers", "query", "timeout", "request_type", "idempotency", "max_response_bytes", "large_response")
_AUTH = ("auth_type", *(f"auth_{name}" for name in AUTH_NAMES))
# A field of a login is shown for the kinds that have it (unfold evaluates this in the page).
SHOWN_FOR = {
    f"auth_{name}": " || ".join(
        f"auth_type == '{kind}'" for kind, (shown, secret) in AUTH_FIELDS.items() if name in (*shown, *secret)
    )
    for name in AUTH_NAMES
}


class DocumentAdmin(ReadOnlyAdmin):
    """Pages whose forms are parts of the catalog document. Django's permissions say who may use them."""

    form: type[EntryForm]
    add_only: tuple[str, ...] = ()  # what names an entry cannot be changed: another name is another entry
    actions = None

    def has_add_permission(self, request: HttpRequest, *args: Any) -> bool:
        return self._has(request, "add")

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return self._has(request, "change") and (obj is None or self.is_editable(obj))

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return self._has(request, "delete") and (obj is None or self.is_editable(obj))

    def is_editable(self, row: Any) -> bool:
        """Whether this version has a form for the row."""
        return True

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> tuple[str, ...]:
        return self.add_only if obj is not None else ()

    def get_fieldsets(self, request: HttpRequest, obj: Any = None) -> Any:
        if obj is None or self.has_change_permission(request, obj):
            return super().get_fieldsets(request, obj)
        return [(None, {"fields": (*self.add_only, "stored")})]

    def get_form(self, request: HttpRequest, obj: Any = None, change: bool = False, **kwargs: Any) -> Any:
        if obj is not None and not self.has_change_permission(request, obj):
            return forms.modelform_factory(self.model, fields=())
        form = super().get_form(request, obj, change=change, **kwargs)
        form.actor = actor_of(request)
        return form

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> None:
        form.store()
        obj.pk = form.stored().pk

    def delete_model(self, request: HttpRequest, obj: Any) -> None:
        self.remove(obj, actor_of(request))

    def changeform_view(self, request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
        """Django's, but what is refused at the last moment is told and not an error page."""
        try:
            return super().changeform_view(request, *args, **kwargs)
        except ApiError as error:
            tell(request, error, "Not saved")
            return HttpResponseRedirect(request.get_full_path())

    def delete_view(self, request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
        try:
            return super().delete_view(request, *args, **kwargs)
        except ApiError as error:
            tell(request, error, "Not deleted")
            return HttpResponseRedirect(reverse(f"admin:{self.opts.app_label}_{self.opts.model_name}_changelist"))

    def remove(self, row: Any, actor: str) -> None:
        """Raises core.errors.ApiError."""
        raise NotImplementedError

    @admin.display(description="stored")
    def stored(self, row: Any) -> SafeString | str:
        return format_html('<pre class="json">{}</pre>', pretty(row.settings))


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


@admin.register(Component)
class ComponentAdmin(DocumentAdmin):
    form = ComponentForm
    list_display = ("tag", "kind", "product", "name", "reached_in", "events_of", "updated_at")
    list_filter = ("kind", "product")
    list_select_related = ("product",)
    search_fields = ("tag", "name")
    ordering = ("product__tag", "kind", "tag")
    add_only = ("product", "tag")
    fieldsets = (
        (None, {"fields": ("product", "tag", "name", "description")}),
        ("How it is called, in every environment", {"fields": _CALL}),
        ("How one logs in there, in every environment", {"fields": _AUTH}),
        ("Variables and constants", {"fields": ("variables", "constants")}),
    )
    conditional_fields = SHOWN_FOR
    change_form_outer_after_template = "catalog/admin/component_parts.html"

    def get_queryset(self, request: HttpRequest) -> QuerySet[Component]:
        components: QuerySet[Component] = super().get_queryset(request)
        return components.prefetch_related("connections__environment", "events")

    def is_editable(self, row: Component) -> bool:
        return row.kind == APP

    def remove(self, row: Component, actor: str) -> None:
        editing.remove_part(row, actor=actor)

    @admin.display(description="connections")
    def reached_in(self, component: Component) -> SafeString | str:
        return format_html_join(
            " ", "{}", ((badge_like("alive", row.environment.slug),) for row in component.connections.all())
        )

    @admin.display(description="events")
    def events_of(self, component: Component) -> int:
        return len(component.events.all())


@admin.register(Connection)
class ConnectionAdmin(DocumentAdmin):
    form = ConnectionForm
    list_display = ("component", "product", "environment_slug", "address", "logs_in", "check_it", "updated_at")
    list_filter = ("environment",)
    list_select_related = ("component__product", "environment__product")
    search_fields = ("component__tag", "environment__slug")
    ordering = ("component__tag", "environment__slug")
    add_only = ("component", "environment")
    fieldsets = (
        (None, {"fields": ("component", "environment", "base_url")}),
        ("How it is called; what is blank is as the app says", {"fields": _CALL}),
        ("How one logs in there; nothing: as the app says", {"fields": _AUTH}),
        ("Variables", {"fields": ("variables",)}),
    )
    conditional_fields = SHOWN_FOR
    change_form_outer_before_template = "catalog/admin/check.html"

    def is_editable(self, row: Connection) -> bool:
        return row.component.kind == APP

    def remove(self, row: Connection, actor: str) -> None:
        component = row.component
        editing.remove_part(component, actor=actor, env=row.environment.slug)

    def get_urls(self) -> list[URLPattern]:
        urls: list[URLPattern] = super().get_urls()
        check = path(
            "<int:object_id>/check/", self.admin_site.admin_view(self.check_now), name="catalog_connection_check"
        )  # fmt: skip
        return [check, *urls]

    def check_now(self, request: HttpRequest, object_id: int) -> HttpResponse:
        """Try to reach it, now, from this process, and say what failed."""
        self.require(request)
        back = request.POST.get("back", "")
        row = self.get_object(request, str(object_id))
        if row is not None and request.method == "POST":
            self._check(request, row)
        page = reverse("admin:catalog_connection_changelist")
        if row is not None and back != "list":
            page = reverse("admin:catalog_connection_change", args=[object_id])
        return HttpResponseRedirect(page)

    def _check(self, request: HttpRequest, row: Connection) -> None:
        result = check_connection(row.component, row.environment)
        audit.record(actor_of(request), "connection.checked", f"{row.component.product.tag}: {row}", {"ok": result.ok})
        told = f"{row}: {result.detail} ({result.duration_ms} ms)"
        if result.ok:
            messages.success(request, told)
        else:
            messages.error(request, f"{told}" if result.code is None else f"{told} [{result.code}]")

    @admin.display(description="product")
    def product(self, row: Connection) -> str:
        return row.component.product.tag

    @admin.display(description="environment")
    def environment_slug(self, row: Connection) -> str:
        return row.environment.slug

    @admin.display(description="address")
    def address(self, row: Connection) -> str:
        return str(row.settings.get("base_url", ""))

    @admin.display(description="logs in by")
    def logs_in(self, row: Connection) -> str:
        auth = row.settings.get("auth") or row.component.settings.get("auth") or {}
        return str(auth.get("type", "–"))

    @admin.display(description="check")
    def check_it(self, row: Connection) -> SafeString:
        url = reverse("admin:catalog_connection_check", args=[row.pk])
        return format_html(
            '<button class="act small" type="submit" formaction="{}" name="back" value="list">Check</button>', url
        )


@admin.register(SavedEvent)
class SavedEventAdmin(DocumentAdmin):
    form = SavedEventForm
    list_display = ("tag", "component", "product", "call", "updated_at")
    list_filter = ("component__kind", "component__product")
    list_select_related = ("component__product",)
    search_fields = ("tag", "component__tag")
    ordering = ("component__tag", "tag")
    add_only = ("component", "tag")
    fieldsets = (
        (None, {"fields": ("component", "tag", "name", "description")}),
        ("The call", {"fields": ("method", "resource", "request_type", "headers", "query", "body")}),
        ("The answer", {"fields": ("success", "timeout", "idempotency", "max_response_bytes", "large_response")}),
    )

    def is_editable(self, row: SavedEvent) -> bool:
        return row.component.kind == APP

    def remove(self, row: SavedEvent, actor: str) -> None:
        editing.remove_part(row.component, actor=actor, event=row.tag)

    @admin.display(description="product")
    def product(self, row: SavedEvent) -> str:
        return row.component.product.tag

    @admin.display(description="call")
    def call(self, row: SavedEvent) -> SafeString:
        words = f"{row.settings.get('method', '')} {row.settings.get('resource', '')}"
        return format_html('<span class="code">{}</span>', words)


@admin.register(Secret)
class SecretAdmin(DocumentAdmin):
    form = SecretForm
    list_display = ("key", "product", "valid_in", "value_shown", "updated_at")
    list_filter = ("product",)
    list_select_related = ("product", "environment")
    search_fields = ("key",)
    ordering = ("product__tag", "key", "environment__slug")
    fields = ("product", "environment", "key", "new_value")
    add_only = ("product", "environment", "key")

    def remove(self, row: Secret, actor: str) -> None:
        slug = row.environment.slug if row.environment else None
        editing.remove_secret(row.product, row.key, slug, actor=actor)

    @admin.display(description="environment")
    def valid_in(self, row: Secret) -> str:
        return row.environment.slug if row.environment else "all"

    @admin.display(description="value")
    def value_shown(self, row: Secret) -> SafeString:
        return badge_like("completed", "set")

    @admin.display(description="stored")
    def stored(self, row: Secret) -> str:
        return "set, and never shown"
