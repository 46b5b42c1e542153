"""API keys, the audit trail and the admin's own users. A key's text is shown once, when it is made.

Products and environments are in `executors.catalog.admin`: they are written as the catalog is.
"""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import admin, messages
from django.contrib.auth.admin import GroupAdmin as DjangoGroupAdmin
from django.contrib.auth.admin import UserAdmin as DjangoUserAdmin
from django.contrib.auth.models import Group, User
from django.db import transaction
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.utils.html import format_html
from django.utils.safestring import SafeString
from unfold.forms import AdminPasswordChangeForm, UserChangeForm, UserCreationForm
from unfold.widgets import (
    UnfoldAdminCheckboxSelectMultipleWidget,
    UnfoldAdminSplitDateTimeWidget,
    UnfoldAdminTextInputWidget,
)

from core import clock
from core.backoffice.pages import BoundedAdmin, ReadOnlyAdmin, actor_of
from core.backoffice.words import NOTHING, badge_like, moment
from core.tenancy import audit, keys, scopes
from core.tenancy.models import ApiKey, AuditEntry, Environment


class ApiKeyForm(forms.ModelForm):  # type: ignore[type-arg]  # no generic at run time
    """What a new key may do and where; `keys.create` makes it."""

    name = forms.CharField(max_length=200, widget=UnfoldAdminTextInputWidget(), help_text="Who or what will use it.")
    scopes = forms.MultipleChoiceField(
        choices=[(scope, scope) for scope in sorted(scopes.ALL)],
        initial=[scopes.JOBS_READ, scopes.JOBS_DISPATCH],
        widget=UnfoldAdminCheckboxSelectMultipleWidget(),
    )
    expires_at = forms.SplitDateTimeField(
        label="Expires at", required=False, widget=UnfoldAdminSplitDateTimeWidget(), help_text="UTC. Blank: never."
    )

    class Meta:
        model = ApiKey
        fields = ("name", "product", "environments", "scopes", "expires_at")

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if "product" not in self.fields:  # a key that exists is shown, not edited
            return
        self.fields["product"].help_text = "None: an operator key, which sees every product."
        self.fields["environments"].required = False
        self.fields["environments"].help_text = "None: all of the product's."
        self.fields["environments"].queryset = (  # type: ignore[attr-defined]
            Environment.objects.select_related("product").order_by("product__tag", "slug")
        )

    def clean(self) -> dict[str, Any]:
        cleaned: dict[str, Any] = super().clean() or {}
        product, expires = cleaned.get("product"), cleaned.get("expires_at")
        foreign = [env for env in cleaned.get("environments") or () if product is None or env.product_id != product.pk]
        if foreign:
            self.add_error("environments", f"{foreign[0]} is not an environment of the key's product")
        if expires is not None and expires <= clock.database_now():
            self.add_error("expires_at", "is in the past")
        return cleaned


@admin.register(ApiKey)
class ApiKeyAdmin(ReadOnlyAdmin):
    """Made here or with `manage.py create_api_key`; then only seen and revoked."""

    form = ApiKeyForm
    list_display = ("name", "shown_prefix", "state", "sees", "scope_names", "last_used", "expires")
    list_filter = ("product",)
    list_select_related = ("product",)
    search_fields = ("name", "prefix")
    ordering = ("-id",)
    actions = ("revoke",)
    fields = ("name", "product", "environments", "scopes", "expires_at")

    def get_queryset(self, request: HttpRequest) -> QuerySet[ApiKey]:
        self._now = clock.database_now()
        found: QuerySet[ApiKey] = super().get_queryset(request)
        return found.prefetch_related("environments")

    def has_add_permission(self, request: HttpRequest, *args: Any) -> bool:
        return self._has(request, "add")

    def get_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        if obj is None:
            return self.fields
        return (
            "name",
            "shown_prefix",
            "state",
            "sees",
            "scope_names",
            "created_at",
            "last_used",
            "expires",
            "revoked_at",
        )

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        return () if obj is None else self.get_fields(request, obj)

    def save_model(self, request: HttpRequest, obj: ApiKey, form: Any, change: bool) -> None:
        given = form.cleaned_data
        with transaction.atomic():
            made = keys.create(
                name=given["name"],
                product=given["product"],
                environments=given["environments"],
                scopes=given["scopes"],
                expires_at=given["expires_at"],
            )
            audit.record(
                actor_of(request), "key.created", f"{made.key.name} ({made.key.prefix}…)", {"scopes": made.key.scopes}
            )
        obj.pk, obj.prefix = made.key.pk, made.key.prefix
        request._made_key = made.text  # type: ignore[attr-defined]  # for the answer to this request, nowhere else

    def save_related(self, request: HttpRequest, form: Any, formsets: Any, change: bool) -> None:
        """`keys.create` has stored the environments."""

    def response_add(self, request: HttpRequest, obj: ApiKey, post_url_continue: str | None = None) -> HttpResponse:
        """The one page that shows the key: the answer to its form, kept by nobody."""
        context = {
            **self.admin_site.each_context(request),
            "opts": self.opts,
            "title": "The key was made",
            "key": obj,
            "text": request._made_key,  # type: ignore[attr-defined]
        }
        response = TemplateResponse(request, "tenancy/admin/key_made.html", context)
        response["Cache-Control"] = "no-store"
        return response

    @admin.action(description="Revoke the selected keys", permissions=["act"])
    def revoke(self, request: HttpRequest, queryset: QuerySet[ApiKey]) -> None:
        revoked = 0
        with transaction.atomic():
            for key in queryset.filter(revoked_at__isnull=True):
                keys.revoke(key)
                audit.record(actor_of(request), "key.revoked", f"{key.name} ({key.prefix}…)")
                revoked += 1
        messages.info(request, f"{revoked} revoked: they open nothing from now on (other processes: within seconds)")

    @admin.display(description="key")
    def shown_prefix(self, key: ApiKey) -> SafeString:
        return format_html('<span class="code">{}…</span>', key.prefix)

    @admin.display(description="state")
    def state(self, key: ApiKey) -> SafeString:
        if key.revoked_at is not None:
            return badge_like("cancelled", "revoked")
        if key.expires_at is not None and key.expires_at <= self._now:
            return badge_like("missed", "expired")
        return badge_like("alive", "valid")

    @admin.display(description="sees")
    def sees(self, key: ApiKey) -> str:
        if key.product is None:
            return "every product"
        slugs = ", ".join(environment.slug for environment in key.environments.all())
        return f"{key.product.tag} / {slugs or 'all'}"

    @admin.display(description="scopes")
    def scope_names(self, key: ApiKey) -> str:
        return "all" if set(key.scopes) == scopes.ALL else ", ".join(key.scopes)

    @admin.display(description="last used")
    def last_used(self, key: ApiKey) -> SafeString | str:
        return moment(key.last_used_at, now=self._now)

    @admin.display(description="expires")
    def expires(self, key: ApiKey) -> SafeString | str:
        return moment(key.expires_at, now=self._now) if key.expires_at else "never"


@admin.register(AuditEntry)
class AuditEntryAdmin(ReadOnlyAdmin):
    list_display = ("when", "actor", "action", "object", "told")
    list_display_links = None
    search_fields = ("actor", "object")
    ordering = ("-id",)

    def get_queryset(self, request: HttpRequest) -> QuerySet[AuditEntry]:
        self._now = clock.database_now()
        entries: QuerySet[AuditEntry] = super().get_queryset(request)
        return entries

    @admin.display(description="when")
    def when(self, entry: AuditEntry) -> SafeString | str:
        return moment(entry.at, now=self._now)

    @admin.display(description="detail")
    def told(self, entry: AuditEntry) -> str:
        return ", ".join(f"{name}: {value}" for name, value in entry.detail.items()) or NOTHING


class UserAdmin(DjangoUserAdmin, BoundedAdmin):  # type: ignore[type-arg, misc]  # see GroupAdmin
    form = UserChangeForm
    add_form = UserCreationForm
    change_password_form = AdminPasswordChangeForm


class GroupAdmin(DjangoGroupAdmin, BoundedAdmin):  # type: ignore[misc]  # unfold has no types, so its list is Any
    pass


admin.site.unregister(User)
admin.site.unregister(Group)
admin.site.register(User, UserAdmin)
admin.site.register(Group, GroupAdmin)
