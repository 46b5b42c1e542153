"""How components are reached in each environment, and whether they can be."""

from __future__ import annotations

from typing import Any

from django.contrib import admin, messages
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import URLPattern, path, reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString

from core.backoffice.pages import actor_of
from core.tenancy import audit
from core.tenancy.models import Environment, Product
from executors.catalog import editing
from executors.catalog.admin.fields import text_field
from executors.catalog.admin.forms import APP, Entry, LoginForm, apps, owner_entry
from executors.catalog.admin.pages import AUTH, CALL, SHOWN_FOR, DocumentAdmin
from executors.catalog.check import check_connection
from executors.catalog.models import Component, Connection


class ConnectionForm(LoginForm):
    """How an app is reached in one environment."""

    base_url = text_field("Base URL", required=True, help_text="https://host/path; may hold $Secret{KEY}.")

    class Meta:
        model = Connection
        fields = ("component", "environment")

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        row = kwargs.get("instance")
        kwargs["initial"] = {
            "base_url": row.settings.get("base_url", "") if row is not None else "",
            **(kwargs.get("initial") or {}),
        }
        super().__init__(*args, **kwargs)
        self.fields["variables"].help_text = '{"KEY": value}: what the app\'s variables are here.'
        if "component" in self.fields:
            self.fields["component"].queryset = apps()  # type: ignore[attr-defined]
        if "environment" in self.fields:
            self.fields["environment"].queryset = Environment.objects.select_related("product").order_by(  # type: ignore[attr-defined]
                "product__tag", "slug"
            )

    def _component(self) -> Component:
        found: Component = self.instance.component if self.instance.pk else self.cleaned_data["component"]
        return found

    def _slug(self) -> str:
        environment = self.instance.environment if self.instance.pk else self.cleaned_data["environment"]
        return str(environment.slug)

    def product(self) -> Product:
        return self._component().product

    def part(self) -> Entry:
        entry = {**self.rest(), **self.call_entry(), "base_url": self.cleaned_data["base_url"]}
        return {"apps": [{**owner_entry(self._component()), "envs": {self._slug(): entry}}]}

    def path(self) -> str:
        return f"apps.0.envs.{self._slug()}"

    def stored(self) -> Connection:
        return Connection.objects.get(component=self._component(), environment__slug=self._slug())

    def clean(self) -> dict[str, Any]:
        cleaned = self.cleaned_data
        component, environment = cleaned.get("component"), cleaned.get("environment")
        if component and environment and component.product_id != environment.product_id:
            self.add_error("environment", "is of another product than the app")
        return super().clean()


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
        ("How it is called; what is blank is as the app says", {"fields": CALL}),
        ("How one logs in there; nothing: as the app says", {"fields": AUTH}),
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
        named = (row.settings.get(name) for name in ("base_url", "url", "bucket", "path", "host"))
        return next((str(value) for value in named if value), "")

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
