"""What the forms of the catalog are made of: an entry of the document, field by field.

A form turns what is stored into fields and fields into an entry; whether the entry is right is
decided by `editing.store_part` on a dry run, which is what storing it would do. A secret's field is
always shown empty: blank keeps what is stored.
"""

from __future__ import annotations

import json
from typing import Any

from django import forms
from django.core.exceptions import ObjectDoesNotExist
from django.db import transaction
from unfold.widgets import UnfoldAdminPasswordWidget, UnfoldAdminTextInputWidget

from core.errors import ApiError, Conflict
from core.tenancy.models import Product
from executors.catalog import editing, etags, sealed
from executors.catalog.admin.fields import JSONTextField, PairsField, choice_field, number_field
from executors.catalog.app_schema import MAX_RESPONSE_BYTES, MAX_TIMEOUT_MS, REQUEST_TYPES
from executors.catalog.auth_schema import AUTH_FIELDS
from executors.catalog.models import Component

APP = "app"
_SHOWN_AUTH = sorted({name for shown, _ in AUTH_FIELDS.values() for name in shown})
_SECRET_AUTH = sorted({name for _, secret in AUTH_FIELDS.values() for name in secret})
AUTH_NAMES = (*_SHOWN_AUTH, *(name for name in _SECRET_AUTH if name not in _SHOWN_AUTH))
CALL_FIELDS = (
    "request_type", "headers", "query", "timeout", "idempotency", "max_response_bytes", "large_response",
)  # fmt: skip

Entry = dict[str, Any]


OLDER = "It was changed after this page was opened: open it again, and change that."


def owner_entry(component: Component) -> Entry:
    """The component that a part hangs on, as it is stored now: the one that a form has loaded may be older by a change.

    Raises Changed where it is gone.
    """
    now = Component.objects.filter(pk=component.pk).first()
    if now is None:
        raise etags.Changed(OLDER)
    return editing.component_entry(now)


class EntryForm(forms.ModelForm):  # type: ignore[type-arg]  # no generic at run time
    """A part of the document. Subclasses say which part, and under which path its problems are told."""

    actor = ""  # set by the page

    # What was stored when the page was opened; the page's template holds it.
    version = forms.CharField(required=False, widget=forms.HiddenInput())

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if self.instance.pk:
            self.initial["version"] = self.version_of(self.instance)

    def version_of(self, row: Any) -> str:
        """Another one for every change of what this form edits, what is sealed included."""
        columns = {each.name: each.value_from_object(row) for each in row._meta.concrete_fields}
        edited = [columns.get(name) for name in ("name", "settings", "secrets", "value")]
        return etags.etag_of_text(json.dumps(edited, sort_keys=True))

    def clean(self) -> dict[str, Any]:
        cleaned: dict[str, Any] = super().clean() or {}
        if not self.errors:
            try:
                self._write(dry_run=True)
            except etags.Changed as error:
                self.add_error(None, f"{error.detail} Nothing was saved, and what you typed is still here.")
            except ApiError as error:
                for problem in editing.told_of(error, self.path()):
                    self._add_problem(problem.field, problem.detail)
        return cleaned

    def store(self) -> None:
        """Write it. Raises core.errors.ApiError: somebody else changed the catalog in between."""
        self._write(dry_run=False)

    def _write(self, *, dry_run: bool) -> None:
        with transaction.atomic():
            tag = self.product().tag
            Product.objects.select_for_update().filter(tag=tag).first()  # nobody writes it in between
            if not self.instance.pk:
                if self._is_there():
                    raise Conflict("There is one of that name already: change it instead.", code="exists")
            else:
                row = type(self.instance)._default_manager.filter(pk=self.instance.pk).first()
                if row is None or self.cleaned_data.get("version") != self.version_of(row):
                    raise etags.Changed(OLDER)
            self.write(tag, dry_run=dry_run)

    def write(self, tag: str, *, dry_run: bool) -> None:
        """Store the part, while nobody else writes the product of that tag. Raises core.errors.ApiError."""
        editing.store_part(tag, self.part(), actor=self.actor, dry_run=dry_run)

    def product(self) -> Product:
        raise NotImplementedError

    def part(self) -> Entry:
        raise NotImplementedError

    def path(self) -> str:
        raise NotImplementedError

    def stored(self) -> Any:
        """The row as it was found."""
        raise NotImplementedError

    def validate_unique(self) -> None:
        """`clean` has looked: the model's own constraints name columns that no form has."""

    def validate_constraints(self) -> None:
        """As above."""

    def _is_there(self) -> bool:
        try:
            return self.stored() is not None
        except ObjectDoesNotExist:
            return False

    def _add_problem(self, path: str, detail: str) -> None:
        group, _, name = path.partition(".")
        for field in (f"auth_{name}" if group == "auth" else group, group):
            if field in self.fields:
                self.add_error(field, f"{name}: {detail}" if name and group != "auth" else detail)
                return
        self.add_error(None, f"{path}: {detail}" if path else detail)


class CallForm(EntryForm):
    """What an app, its environments and its actions may each say of a call; the narrowest word counts."""

    request_type = choice_field("Body is sent as", REQUEST_TYPES, blank="not said here (json)")
    headers = PairsField(label="Headers", help_text="One a line. Credentials as $Secret{KEY}: headers are shown again.")
    query = PairsField(label="Query parameters", help_text="One a line.")
    timeout = number_field("Time-out (ms)", highest=MAX_TIMEOUT_MS)
    idempotency = choice_field("Idempotency key", ("run", "attempt"), blank="not said here (one a run)")
    max_response_bytes = number_field("Longest answer (bytes)", highest=MAX_RESPONSE_BYTES)
    large_response = choice_field("A longer answer", ("fail", "truncate"), blank="not said here (fail)")

    def call_entry(self) -> Entry:
        """The shared fields, as the document writes them."""
        given = self.cleaned_data
        return {name: given[name] for name in CALL_FIELDS if given.get(name) not in (None, "", {})}


class LoginForm(CallForm):
    """What an app and each of its environments may say besides: how one logs in, and variables."""

    auth_type = choice_field("Log in by", AUTH_FIELDS, blank="nothing, or as the app says")
    variables = JSONTextField(label="Variables")

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        row = kwargs.get("instance")
        settings = row.settings if row is not None and row.pk else {}
        auth = settings.get("auth", {})
        initial = {name: settings[name] for name in (*CALL_FIELDS, "variables") if name in settings}
        initial["auth_type"] = auth.get("type", "")
        initial |= {f"auth_{name}": auth[name] for name in _SHOWN_AUTH if name in auth}
        kwargs["initial"] = {**initial, **(kwargs.get("initial") or {})}
        super().__init__(*args, **kwargs)
        self.shown = sealed.shown(row) if row is not None and row.pk else {}
        for name in AUTH_NAMES:
            if f"auth_{name}" in self.fields:
                self.fields[f"auth_{name}"].help_text = self._auth_help(name)

    def _auth_help(self, name: str) -> str:
        kinds = [kind for kind, (shown, secret) in AUTH_FIELDS.items() if name in (*shown, *secret)]
        words = f"For {', '.join(kinds)}."
        if not any(name in secret for _, secret in AUTH_FIELDS.values()):
            return words
        stored = self.shown.get("auth", {}).get(name)
        if stored == sealed.SET:
            return f"{words} Set, and never shown. A new value replaces it, blank keeps it."
        if stored:
            return f"{words} Now {stored}. A new value replaces it, blank keeps it."
        return f"{words} Not set. Stored encrypted and never shown; $Secret{{KEY}} refers to a secret."

    def call_entry(self) -> Entry:
        given = self.cleaned_data
        entry = super().call_entry()
        if given.get("variables"):
            entry["variables"] = given["variables"]
        kind = given.get("auth_type")
        if kind:
            shown, secret = AUTH_FIELDS[kind]
            stored = self.shown.get("auth", {})
            auth: Entry = {"type": kind}
            for name in (*shown, *secret):
                if given.get(f"auth_{name}"):
                    auth[name] = given[f"auth_{name}"]
                elif name in secret and name in stored:
                    auth[name] = stored[name]
            entry["auth"] = auth
        return entry

    def rest(self) -> Entry:
        """What is stored and this form has no field for."""
        known = {*CALL_FIELDS, "auth", *self.fields}
        return {name: value for name, value in self.shown.items() if name not in known}


for _name in AUTH_NAMES:
    _secret = _name in _SECRET_AUTH
    _field = forms.CharField(
        label=_name.replace("_", " ").capitalize(),
        required=False,
        max_length=10_000,
        strip=not _secret,
        widget=UnfoldAdminPasswordWidget({"autocomplete": "new-password"}) if _secret else UnfoldAdminTextInputWidget(),
    )
    LoginForm.base_fields[f"auth_{_name}"] = LoginForm.declared_fields[f"auth_{_name}"] = _field


def apps() -> Any:
    return Component.objects.filter(kind=APP).select_related("product").order_by("product__tag", "tag")
