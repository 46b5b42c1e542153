"""What the pages of the catalog share: forms that are parts of its document, stored by its operations.

Nothing is saved by Django's own means; what is refused at the last moment is told and not an error page.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django import forms
from django.contrib import admin
from django.http import HttpRequest, HttpResponseRedirect
from django.urls import reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString

from core.backoffice.pages import ReadOnlyAdmin, actor_of, tell
from core.errors import ApiError
from executors.catalog import editing, sealed
from executors.catalog.admin import yaml_text
from executors.catalog.admin.declared import DeclarationForm
from executors.catalog.admin.forms import AUTH_NAMES, EntryForm
from executors.catalog.auth_schema import AUTH_FIELDS
from executors.catalog.declarations import Declaration

CALL = ("headers", "query", "timeout", "request_type", "idempotency", "max_response_bytes", "large_response")
AUTH = ("auth_type", *(f"auth_{name}" for name in AUTH_NAMES))
# A field of a login is shown for the kinds that have it (unfold evaluates this in the page).
SHOWN_FOR = {
    f"auth_{name}": " || ".join(
        f"auth_type == '{kind}'" for kind, (shown, secret) in AUTH_FIELDS.items() if name in (*shown, *secret)
    )
    for name in AUTH_NAMES
}


class DocumentAdmin(ReadOnlyAdmin):
    """Pages whose forms are parts of the catalog document. Django's permissions say who may use them."""

    change_form_before_template = "catalog/admin/version.html"
    form: type[EntryForm]
    add_only: tuple[str, ...] = ()  # what names an entry cannot be changed: another name is another entry
    actions = None

    def has_add_permission(self, request: HttpRequest, *args: Any) -> bool:
        return self._has(request, "add")

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return self._has(request, "change") and (obj is None or self.is_editable(obj))

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return self._has(request, "delete")

    def is_editable(self, row: Any) -> bool:
        """Whether the row has a form of its own."""
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
        return format_html('<pre class="json">{}</pre>', yaml_text.written(self.entry(row)))

    def entry(self, row: Any) -> Mapping[str, Any]:
        """What is shown of a row to who may not change it."""
        return sealed.shown(row) if hasattr(row, "secrets") else row.settings


class DeclaredAdmin(DocumentAdmin):
    """Pages of what a product declares besides its components: one text, and what hangs on it below."""

    form: type[DeclarationForm]
    declaration: Declaration
    skeleton: Mapping[str, Any]  # what a new one says at least
    list_filter = ("product",)
    list_select_related = ("product",)
    search_fields = ("tag", "name")
    ordering = ("product__tag", "tag")
    fields = ("product", "declaration")
    add_only = ("product",)

    def get_form(self, request: HttpRequest, obj: Any = None, change: bool = False, **kwargs: Any) -> Any:
        form = super().get_form(request, obj, change=change, **kwargs)
        form.plural, form.noun = self.declaration.plural, self.declaration.name
        return form

    def get_changeform_initial_data(self, request: HttpRequest) -> dict[str, Any]:
        return {**super().get_changeform_initial_data(request), "declaration": self.skeleton}

    def render_change_form(self, request: HttpRequest, context: Any, *args: Any, obj: Any = None, **kwargs: Any) -> Any:
        if obj is not None:
            context = {**context, **self.parts(obj)}
        return super().render_change_form(request, context, *args, obj=obj, **kwargs)

    def parts(self, row: Any) -> dict[str, Any]:
        """What the template of the page shows besides the form."""
        raise NotImplementedError

    def get_deleted_objects(
        self, objs: Any, request: HttpRequest
    ) -> tuple[list[str], dict[str, int], set[str], list[Any]]:
        """Alone: what hangs on it may be very many rows, which Django would read to name each."""
        return [str(each) for each in objs], {str(self.opts.verbose_name_plural): len(objs)}, set(), []

    def remove(self, row: Any, actor: str) -> None:
        editing.remove_declared(row.product, self.declaration, row.tag, actor=actor)

    def entry(self, row: Any) -> Mapping[str, Any]:
        return self.declaration.shown(row)
