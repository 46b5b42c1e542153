"""Fields that the catalog's forms are made of: pairs, JSON, choices, whole numbers, with unfold's widgets."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from django import forms
from unfold.widgets import (
    UnfoldAdminIntegerFieldWidget,
    UnfoldAdminSelectWidget,
    UnfoldAdminTextareaWidget,
    UnfoldAdminTextInputWidget,
)


class PairsField(forms.CharField):
    """One `Name: value` a line, as an object."""

    def __init__(self, **kwargs: Any) -> None:
        attrs = {"rows": 3, "class": "code", "placeholder": "Name: value"}
        super().__init__(required=False, widget=UnfoldAdminTextareaWidget(attrs), **kwargs)

    def prepare_value(self, value: Any) -> Any:
        if isinstance(value, Mapping):
            return "\n".join(f"{name}: {text}" for name, text in value.items())
        return value

    def clean(self, value: Any) -> dict[str, str]:
        pairs: dict[str, str] = {}
        for line in (super().clean(value) or "").splitlines():
            name, colon, text = line.partition(":")
            if not line.strip():
                continue
            if not colon or not name.strip():
                raise forms.ValidationError(f"{line.strip()[:60]!r} is not a name, a colon and a value")
            pairs[name.strip()] = text.strip()
        return pairs


class JSONTextField(forms.CharField):
    """A JSON object, or blank for none."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(
            required=False,
            widget=UnfoldAdminTextareaWidget({"rows": 5, "class": "code", "spellcheck": "false"}),
            **kwargs,
        )

    def prepare_value(self, value: Any) -> Any:
        return json.dumps(value, indent=2, ensure_ascii=False) if isinstance(value, Mapping) else value

    def clean(self, value: Any) -> Any:
        text = super().clean(value)
        if not text:
            return None
        try:
            parsed = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise forms.ValidationError(f"is not JSON: {str(error)[:200]}") from None
        if not isinstance(parsed, dict):
            raise forms.ValidationError("must be a JSON object")
        return parsed


def text_field(label: str, *, required: bool = False, help_text: str = "") -> forms.CharField:
    return forms.CharField(
        label=label, required=required, help_text=help_text, widget=UnfoldAdminTextInputWidget(), max_length=2000
    )


def choice_field(label: str, choices: Any, *, blank: str | None, help_text: str = "") -> forms.ChoiceField:
    listed = [(choice, choice) for choice in sorted(choices)]
    if blank is not None:
        listed.insert(0, ("", blank))
    return forms.ChoiceField(
        label=label, choices=listed, required=blank is None, help_text=help_text, widget=UnfoldAdminSelectWidget()
    )


def number_field(label: str, *, highest: int, help_text: str = "") -> forms.IntegerField:
    return forms.IntegerField(
        label=label,
        required=False,
        min_value=1,
        max_value=highest,
        help_text=help_text,
        widget=UnfoldAdminIntegerFieldWidget(),
    )
