"""The form of an endpoint: what is typed is read by `webhooks.operations.fields`, as a body of the API is."""

from __future__ import annotations

import json
from typing import Any

from django import forms
from unfold.widgets import (
    UnfoldAdminCheckboxSelectMultipleWidget,
    UnfoldAdminSelectWidget,
    UnfoldAdminTextareaWidget,
    UnfoldAdminTextInputWidget,
    UnfoldBooleanSwitchWidget,
)

from core.errors import ApiError, Invalid
from core.tenancy.auth import Principal
from core.tenancy.models import Product
from jobs.operations.targets import TARGETS
from webhooks.models import Endpoint
from webhooks.operations import fields
from webhooks.states import ALL_EVENTS


class EndpointForm(forms.ModelForm):  # type: ignore[type-arg]  # no generic at run time
    """`body()` is what the operation is given."""

    url = forms.CharField(label="URL", max_length=fields.LONGEST_URL, widget=UnfoldAdminTextInputWidget())
    description = forms.CharField(required=False, max_length=500, widget=UnfoldAdminTextInputWidget())
    events = forms.MultipleChoiceField(
        choices=[(ALL_EVENTS, "all events"), *((event, event) for event in fields.EVENTS)],
        initial=["job.completed", "job.failed"],
        widget=UnfoldAdminCheckboxSelectMultipleWidget(),
    )
    env = forms.CharField(
        label="Environment", required=False, max_length=60, widget=UnfoldAdminTextInputWidget(),
        help_text="Its slug. Blank: all.",
    )  # fmt: skip
    namespaces = forms.MultipleChoiceField(
        required=False, choices=[(name, name) for name in TARGETS], help_text="None: all.",
        widget=UnfoldAdminCheckboxSelectMultipleWidget(),
    )  # fmt: skip
    labels = forms.CharField(
        required=False, widget=UnfoldAdminTextareaWidget({"rows": 2}),
        help_text='As JSON: {"team": "billing"}. A job must have all of them. Blank: whatever labels it has.',
    )  # fmt: skip
    enabled = forms.BooleanField(required=False, initial=True, widget=UnfoldBooleanSwitchWidget())
    secret = forms.CharField(
        required=False, max_length=200, widget=UnfoldAdminTextInputWidget({"autocomplete": "off"}),
        help_text="16 to 64 bytes of text, or whsec_ and base 64 of them. Blank: one is made, and shown once.",
    )  # fmt: skip

    class Meta:
        model = Endpoint
        fields = ("product",)
        widgets = {"product": UnfoldAdminSelectWidget()}

    principal: Principal  # who asks: set by a subclass for each request

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if self.instance.url:  # it is there already
            for name in ("url", "description", "events", "env", "namespaces", "enabled"):
                self.fields[name].initial = getattr(self.instance, name)
            self.fields["labels"].initial = json.dumps(self.instance.labels) if self.instance.labels else ""
            del self.fields["secret"], self.fields["product"]
        else:
            self.fields["product"].required = False
            self.fields["product"].help_text = "None: every product."

    def clean(self) -> dict[str, Any]:
        cleaned: dict[str, Any] = super().clean() or {}
        if not self.errors:
            try:
                self._check()
            except ApiError as error:
                self._add(error)
        return cleaned

    def body(self) -> dict[str, Any]:
        """As the API takes it."""
        given = dict(self.cleaned_data)
        product: Product | None = given.pop("product", None)
        labels = given.pop("labels", "").strip()
        secret = given.pop("secret", "")
        if self.instance.url and "enabled" not in self.changed_data:
            del given["enabled"]  # the switch stands as it was, whoever turned it: nobody decided anything
        return {
            **given,
            "labels": _json(labels) if labels else {},
            **({"product": product.tag} if product is not None else {}),
            **({"secret": secret} if secret else {}),
        }

    def _check(self) -> None:
        is_new = not self.instance.url
        body = self.body()
        given = fields.read(body, fields.NEW if is_new else fields.CHANGES)
        product = body.get("product") if is_new else getattr(self.instance.product, "tag", None)
        fields.scope_of(self.principal, product, given.env)

    def _add(self, error: ApiError) -> None:
        """The refusal at the fields that it names, or else above the form."""
        problems = error.errors if isinstance(error, Invalid) or error.errors else ()
        for problem in problems:
            name = problem.field.partition(".")[0]
            self.add_error(name if name in self.fields else None, problem.detail)
        if not problems:
            self.add_error(None, error.detail)

    def save_m2m(self) -> None:
        """There is nothing: the operation has stored it all."""


def _json(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text  # which is no object: the operation says so
