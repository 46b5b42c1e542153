"""Forms of the catalog in the admin: an entry of the document, field by field.

A form turns what is stored into fields and fields into an entry; whether the entry is right is
decided by `editing.store_part` on a dry run, which is what storing it would do. A secret's field is
always shown empty: blank keeps what is stored.
"""

from __future__ import annotations

from typing import Any

from django import forms
from django.core.exceptions import ObjectDoesNotExist
from unfold.widgets import UnfoldAdminPasswordWidget, UnfoldAdminTextInputWidget

from core.errors import ApiError
from core.tenancy.models import Environment, Product
from executors.catalog import editing
from executors.catalog.app_schema import MAX_RESPONSE_BYTES, MAX_TIMEOUT_MS, METHODS, REQUEST_TYPES
from executors.catalog.auth_schema import AUTH_FIELDS
from executors.catalog.form_fields import JSONTextField, PairsField, choice_field, number_field, text_field
from executors.catalog.models import Component, Connection, SavedEvent, Secret

APP = "app"
_SHOWN_AUTH = sorted({name for shown, _ in AUTH_FIELDS.values() for name in shown})
_SECRET_AUTH = sorted({name for _, secret in AUTH_FIELDS.values() for name in secret})
AUTH_NAMES = (*_SHOWN_AUTH, *(name for name in _SECRET_AUTH if name not in _SHOWN_AUTH))
CALL_FIELDS = (
    "request_type", "headers", "query", "timeout", "idempotency", "max_response_bytes", "large_response",
)  # fmt: skip

Entry = dict[str, Any]


class EntryForm(forms.ModelForm):  # type: ignore[type-arg]  # no generic at run time
    """A part of the document. Subclasses say which part, and under which path its problems are told."""

    actor = ""  # set by the page

    def clean(self) -> dict[str, Any]:
        cleaned: dict[str, Any] = super().clean() or {}
        if not self.errors and not self.instance.pk and self._is_there():
            self.add_error(None, "There is one of that name already: change it instead.")
        if not self.errors:
            try:
                editing.store_part(self.product().tag, self.part(), actor=self.actor, dry_run=True)
            except ApiError as error:
                for problem in editing.told_of(error, self.path()):
                    self._add_problem(problem.field, problem.detail)
        return cleaned

    def store(self) -> None:
        """Write it. Raises core.errors.ApiError: somebody else changed the catalog in between."""
        editing.store_part(self.product().tag, self.part(), actor=self.actor)

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
        self.shown = editing.shown(row) if row is not None and row.pk else {}
        for name in AUTH_NAMES:
            if f"auth_{name}" in self.fields:
                self.fields[f"auth_{name}"].help_text = self._auth_help(name)

    def _auth_help(self, name: str) -> str:
        kinds = [kind for kind, (shown, secret) in AUTH_FIELDS.items() if name in (*shown, *secret)]
        words = f"For {', '.join(kinds)}."
        if not any(name in secret for _, secret in AUTH_FIELDS.values()):
            return words
        stored = self.shown.get("auth", {}).get(name)
        if stored == editing.KEEP:
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


class ComponentForm(LoginForm):
    """An app: what holds in all its environments."""

    description = text_field("Description")
    constants = JSONTextField(label="Constants", help_text='{"KEY": {"value": …}}: $Constant{KEY} is that everywhere.')

    class Meta:
        model = Component
        fields = ("product", "tag", "name")

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        row = kwargs.get("instance")
        kwargs["initial"] = {
            **({name: row.settings.get(name) for name in ("description", "constants")} if row is not None else {}),
            **(kwargs.get("initial") or {}),
        }
        super().__init__(*args, **kwargs)
        self.fields["variables"].help_text = '{"KEY": {"required": true, "default": …}}: each environment may set them.'
        if "name" in self.fields:
            self.fields["name"].required = False

    def product(self) -> Product:
        found: Product = self.instance.product if self.instance.pk else self.cleaned_data["product"]
        return found

    def part(self) -> Entry:
        tag = self.instance.tag if self.instance.pk else self.cleaned_data["tag"]
        entry: Entry = {"tag": tag, **self.rest(), **self.call_entry()}
        for name in ("name", "description", "constants"):
            if self.cleaned_data.get(name):
                entry[name] = self.cleaned_data[name]
        return {"apps": [entry]}

    def path(self) -> str:
        return "apps.0"

    def stored(self) -> Component:
        tag = self.instance.tag or self.cleaned_data["tag"]
        return Component.objects.get(product=self.product(), kind=APP, tag=tag)


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
            self.fields["component"].queryset = _apps()  # type: ignore[attr-defined]
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
        return {"apps": [{**editing.component_entry(self._component()), "envs": {self._slug(): entry}}]}

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
            self.fields["component"].queryset = _apps()  # type: ignore[attr-defined]

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
        return {"apps": [{**editing.component_entry(self._component()), "events": [{"tag": self._tag(), **entry}]}]}

    def path(self) -> str:
        return "apps.0.events.0"

    def stored(self) -> SavedEvent:
        return SavedEvent.objects.get(component=self._component(), tag=self._tag())


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
        value = self.cleaned_data.get("new_value") or editing.KEEP
        return {"secrets": [{"key": key, **({"value": value} if slug is None else {"envs": {slug: value}})}]}

    def path(self) -> str:
        return "secrets.0"

    def _add_problem(self, path: str, detail: str) -> None:
        super()._add_problem("new_value" if path == "value" or path.startswith("envs.") else path, detail)

    def stored(self) -> Secret:
        key, slug = self._place()
        return Secret.objects.get(product=self.product(), key=key, environment__slug=slug)


def _apps() -> Any:
    return Component.objects.filter(kind=APP).select_related("product").order_by("product__tag", "tag")
