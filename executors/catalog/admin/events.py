"""Saved events: what the documents call an event, an action of an app above all."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import admin
from django.utils.html import format_html
from django.utils.safestring import SafeString

from core.tenancy.models import Product
from executors.catalog import editing
from executors.catalog.admin.fields import JSONTextField, choice_field, text_field
from executors.catalog.admin.forms import APP, CALL_FIELDS, CallForm, Entry, apps, owner_entry
from executors.catalog.admin.pages import DocumentAdmin
from executors.catalog.app_schema import METHODS
from executors.catalog.models import Component, SavedEvent


class SavedEventForm(CallForm):
    """An action of an app."""

    name = text_field("Name")
    description = text_field("Description")
    method = choice_field("Method", METHODS, blank=None)
    resource = text_field(
        "Path", required=True, help_text="/users/:userId/welcome: what follows a colon is from the input."
    )
    body = JSONTextField(
        label="Schema of the body", help_text="JSON Schema: an input that breaks it is refused at dispatch."
    )
    success = text_field("Success statuses", help_text="Such as 200, 202. Blank: any 2xx.")

    class Meta:
        model = SavedEvent
        fields = ("component", "tag")

    _NAMES = ("name", "description", "method", "resource", "body", "success", *CALL_FIELDS)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        row = kwargs.get("instance")
        self.shown = dict(row.settings) if row is not None and row.pk else {}
        initial = {name: value for name, value in self.shown.items() if name in self._NAMES}
        if isinstance(initial.get("success"), list):
            initial["success"] = ", ".join(map(str, initial["success"]))
        kwargs["initial"] = {"method": "POST", **initial, **(kwargs.get("initial") or {})}
        super().__init__(*args, **kwargs)
        if "component" in self.fields:
            self.fields["component"].queryset = apps()  # type: ignore[attr-defined]

    def clean_success(self) -> list[int] | None:
        text: str = self.cleaned_data["success"]
        parts = text.replace(",", " ").split()
        if not all(part.isascii() and part.isdigit() and len(part) == 3 for part in parts):
            raise forms.ValidationError("must be status codes, such as 200, 202")
        return [int(part) for part in parts] or None

    def _component(self) -> Component:
        found: Component = self.instance.component if self.instance.pk else self.cleaned_data["component"]
        return found

    def _tag(self) -> str:
        return str(self.instance.tag or self.cleaned_data["tag"])

    def product(self) -> Product:
        return self._component().product

    def part(self) -> Entry:
        entry = {name: value for name, value in self.shown.items() if name not in self._NAMES}
        given = self.cleaned_data
        entry |= {name: given[name] for name in self._NAMES if given.get(name) not in (None, "", {})}
        return {"apps": [{**owner_entry(self._component()), "events": [{"tag": self._tag(), **entry}]}]}

    def path(self) -> str:
        return "apps.0.events.0"

    def stored(self) -> SavedEvent:
        return SavedEvent.objects.get(component=self._component(), tag=self._tag())


@admin.register(SavedEvent)
class SavedEventAdmin(DocumentAdmin):
    form = SavedEventForm
    list_display = ("tag", "component", "product", "call", "updated_at")
    list_filter = ("component__kind", "component__product")
    list_select_related = ("component__product",)
    search_fields = ("tag", "component__tag")
    ordering = ("component__tag", "tag")
    add_only = ("component", "tag")
    change_form_outer_before_template = "catalog/admin/event_of.html"
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

    @admin.display(description="what it does")
    def call(self, row: SavedEvent) -> SafeString:
        return format_html('<span class="code">{}</span>', in_words(row))


def in_words(saved: SavedEvent) -> str:
    """What an event does, in a few words: its call, its operation or topic, or the parts that it has."""
    settings = saved.settings
    if "resource" in settings:
        return f"{settings.get('method', '')} {settings['resource']}"
    said = [str(settings[name]) for name in ("operation", "table", "topic") if settings.get(name)]
    return " ".join(said) or ", ".join(name for name in sorted(settings) if name not in ("name", "description"))
