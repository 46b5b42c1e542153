"""django-celery-beat's own pages in this admin's looks: maintenance, and what operators add themselves.

Its models are its own; here they only get the widgets of unfold. Running a task by hand is left
out: it publishes from a request, and waits for a broker that is away.
"""

from __future__ import annotations

from typing import Any

import django_celery_beat.admin  # noqa: F401 - registers its pages, whoever is imported first
from django.apps import apps
from django.contrib import admin
from unfold.widgets import (
    UnfoldAdminSelectWidget,
    UnfoldAdminTextInputWidget,
)

from core.backoffice.pages import BoundedAdmin

SHOWN = ("PeriodicTask", "CrontabSchedule", "IntervalSchedule", "ClockedSchedule", "SolarSchedule")
_NOT_OFFERED = {"run_tasks"}


def restyle() -> None:
    """Register each of its pages again, with this project's base in front."""
    for name in SHOWN:
        model = apps.get_model("django_celery_beat", name)
        theirs = type(admin.site._registry[model])
        admin.site.unregister(model)
        actions = [action for action in theirs.actions or () if action not in _NOT_OFFERED]
        body: dict[str, Any] = {"actions": actions}
        form: Any = theirs.form
        if "regtask" in form.base_fields:
            body["form"] = _restyled(form)
        admin.site.register(model, type(f"{name}Admin", (BoundedAdmin, theirs), body))


def _restyled(form: Any) -> Any:
    """Its form, with the two fields that no model field gives a widget to."""

    class Restyled(form):
        def __init__(self, *args: Any, **kwargs: Any) -> None:
            super().__init__(*args, **kwargs)
            self.fields["regtask"].widget.attrs["class"] = " ".join(
                UnfoldAdminSelectWidget().attrs.get("class", "").split()
            )
            self.fields["task"].widget = UnfoldAdminTextInputWidget()

    return Restyled


restyle()
