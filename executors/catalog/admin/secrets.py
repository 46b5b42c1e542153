"""Secrets: what `$Secret{KEY}` stands for; values go in and never come out."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import admin
from django.utils.safestring import SafeString
from unfold.widgets import UnfoldAdminPasswordWidget

from core.backoffice.words import badge_like
from core.tenancy.models import Environment, Product
from executors.catalog import editing, sealed
from executors.catalog.admin.forms import Entry, EntryForm
from executors.catalog.admin.pages import DocumentAdmin
from executors.catalog.models import Secret


class SecretForm(EntryForm):
    """What `$Secret{KEY}` stands for; the value goes in and never comes out."""

    new_value = forms.CharField(
        label="Value",
        required=False,
        strip=False,
        max_length=100_000,
        widget=UnfoldAdminPasswordWidget({"autocomplete": "new-password"}),
    )

    class Meta:
        model = Secret
        fields = ("product", "environment", "key")

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if self.instance.pk:
            self.fields["new_value"].help_text = "Set, and never shown. A new value replaces it, blank keeps it."
        else:
            self.fields["new_value"].required = True
            self.fields["new_value"].help_text = "Stored encrypted and never shown again."
        if "environment" in self.fields:
            self.fields["environment"].required = False
            self.fields["environment"].queryset = Environment.objects.select_related("product").order_by(  # type: ignore[attr-defined]
                "product__tag", "slug"
            )
            self.fields["environment"].help_text = "None: for all environments that have no value of their own."

    def clean(self) -> dict[str, Any]:
        product, environment = self.cleaned_data.get("product"), self.cleaned_data.get("environment")
        if product and environment and environment.product_id != product.pk:
            self.add_error("environment", "is of another product")
        return super().clean()

    def product(self) -> Product:
        found: Product = self.instance.product if self.instance.pk else self.cleaned_data["product"]
        return found

    def _place(self) -> tuple[str, str | None]:
        if self.instance.pk:
            return self.instance.key, self.instance.environment.slug if self.instance.environment else None
        environment = self.cleaned_data.get("environment")
        return self.cleaned_data["key"], environment.slug if environment else None

    def part(self) -> Entry:
        key, slug = self._place()
        value = self.cleaned_data.get("new_value") or sealed.SET
        return {"secrets": [{"key": key, **({"value": value} if slug is None else {"envs": {slug: value}})}]}

    def path(self) -> str:
        return "secrets.0"

    def _add_problem(self, path: str, detail: str) -> None:
        super()._add_problem("new_value" if path == "value" or path.startswith("envs.") else path, detail)

    def stored(self) -> Secret:
        key, slug = self._place()
        return Secret.objects.get(product=self.product(), key=key, environment__slug=slug)


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
