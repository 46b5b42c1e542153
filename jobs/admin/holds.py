"""Holds: maintenance of a product, an environment or a namespace, begun and ended here."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.safestring import SafeString
from unfold.widgets import UnfoldAdminSelectWidget, UnfoldAdminTextInputWidget

from core.backoffice.pages import ReadOnlyAdmin, actor_of
from core.backoffice.words import moment
from core.clock import database_now
from core.tenancy.models import Environment
from executors import registry
from jobs.models import Hold
from jobs.operations import holds


class HoldForm(forms.ModelForm):  # type: ignore[type-arg]  # no generic at run time
    """What is to be held."""

    namespace = forms.ChoiceField(required=False, widget=UnfoldAdminSelectWidget())
    note = forms.CharField(required=False, max_length=500, widget=UnfoldAdminTextInputWidget(), help_text="Why.")

    class Meta:
        model = Hold
        fields = ("product", "environment", "namespace", "note")

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["namespace"].choices = [("", "every namespace"), *((name, name) for name in registry.known())]  # type: ignore[attr-defined]
        self.fields["environment"].required = False
        self.fields["environment"].help_text = "None: every environment of the product."
        self.fields["environment"].queryset = (  # type: ignore[attr-defined]
            Environment.objects.select_related("product").order_by("product__tag", "slug")
        )

    def validate_constraints(self) -> None:
        """Holding what is held already is no mistake."""

    def clean(self) -> dict[str, Any]:
        cleaned: dict[str, Any] = super().clean() or {}
        product, environment = cleaned.get("product"), cleaned.get("environment")
        if product and environment and environment.product_id != product.pk:
            self.add_error("environment", "is of another product")
        return cleaned


@admin.register(Hold)
class HoldAdmin(ReadOnlyAdmin):
    form = HoldForm
    list_display = ("product", "where", "what", "note", "actor", "since")
    list_display_links = None
    list_select_related = ("product", "environment")
    ordering = ("-id",)
    fields = ("product", "environment", "namespace", "note")
    actions = ("release",)

    def get_queryset(self, request: HttpRequest) -> QuerySet[Hold]:
        self._now = database_now()
        holds: QuerySet[Hold] = super().get_queryset(request)
        return holds

    def has_add_permission(self, request: HttpRequest, *args: Any) -> bool:
        return self._has(request, "add")

    def save_model(self, request: HttpRequest, obj: Hold, form: Any, change: bool) -> None:
        given = form.cleaned_data
        made = holds.hold(
            given["product"],
            given["environment"],
            given["namespace"],
            note=given["note"],
            actor=actor_of(request),
        )
        obj.pk = made.pk

    @admin.action(description="Release the selected holds", permissions=["act"])
    def release(self, request: HttpRequest, queryset: QuerySet[Hold]) -> None:
        released = 0
        for hold in queryset:
            if hold.environment is None and not hold.namespace:
                # The operation reads "no environment, no namespace" as all of the product's holds.
                others = Hold.objects.filter(product=hold.product).exclude(pk=hold.pk)
                if others.exists():
                    messages.warning(request, f"The narrower holds of {hold.product} ended too")
            released += holds.release(hold.product, hold.environment, hold.namespace, actor=actor_of(request))
        messages.success(request, f"{released} released: what waited runs now, in order")

    @admin.display(description="environment")
    def where(self, hold: Hold) -> str:
        return hold.environment.slug if hold.environment else "every environment"

    @admin.display(description="namespace")
    def what(self, hold: Hold) -> str:
        return hold.namespace or "every namespace"

    @admin.display(description="since")
    def since(self, hold: Hold) -> SafeString | str:
        return moment(hold.created_at, now=self._now)
