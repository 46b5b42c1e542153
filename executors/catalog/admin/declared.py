"""A whole declaration as one text: a component with its connections and events, a session, a cache.

Owns the form that edits it. The text is the export's, a marker where a secret is set; the marker kept keeps the
secret. What the text no longer names is removed, unless unfinished jobs need it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django import forms
from unfold.widgets import UnfoldAdminTextareaWidget

from core.errors import ApiError, Invalid
from core.tenancy.models import Product
from executors.catalog.admin import yaml_text
from executors.catalog.admin.forms import Entry, EntryForm


class DeclarationField(forms.CharField):
    """YAML in, an object out."""

    def __init__(self, help_text: str = "YAML, as in the catalog document.") -> None:
        attrs = {"rows": 12, "class": "code declaration", "spellcheck": "false", "wrap": "off"}
        super().__init__(
            label="Declaration",
            help_text=help_text,
            strip=False,
            widget=UnfoldAdminTextareaWidget(attrs),
        )

    def prepare_value(self, value: Any) -> Any:
        return yaml_text.written(value) if isinstance(value, Mapping) else value

    def clean(self, value: Any) -> Entry:
        try:
            return yaml_text.read(super().clean(value))
        except ApiError as error:
            raise forms.ValidationError(error.detail.replace("the body", "this", 1)) from None


class DeclarationForm(EntryForm):
    """One entry of a list of the document. Subclasses say of which, and how a row reads there."""

    plural = ""  # set by the page
    noun = ""

    declaration = DeclarationField()

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if self.instance.pk:
            self.initial["declaration"] = self.entry_of(self.instance)

    def entry_of(self, row: Any) -> Entry:
        raise NotImplementedError

    def product(self) -> Product:
        found: Product = self.instance.product if self.instance.pk else self.cleaned_data["product"]
        return found

    def part(self) -> Entry:
        return {self.plural: [self.cleaned_data["declaration"]]}

    def path(self) -> str:
        return f"{self.plural}.0"

    def tag(self) -> str:
        """The one that the text says; "" where it says none."""
        tag = self.cleaned_data["declaration"].get("tag")
        return tag.replace("\x00", "") if isinstance(tag, str) else ""

    def write(self, tag: str, *, dry_run: bool) -> None:
        self.keep_tag()
        super().write(tag, dry_run=dry_run)

    def keep_tag(self) -> None:
        """Raise Invalid where the text names another one than is edited: that would be a new one."""
        if self.instance.pk and self.tag() != self.instance.tag:
            told = f"cannot be changed from {self.instance.tag!r}: add another {self.noun}, and delete this one"
            raise Invalid.field(f"{self.path()}.tag", told)

    def _add_problem(self, path: str, detail: str) -> None:
        if not path:
            self.add_error(None, detail)
            return
        line = yaml_text.line_of(self.data.get(self.add_prefix("declaration"), ""), path)
        self.add_error("declaration", f"{path}{f' (line {line})' if line else ''}: {detail}")
