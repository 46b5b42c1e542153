"""Every sealed value in the database, wherever an app keeps one: found by its form, not by a list.

A list of columns would be forgotten when a column is added, and the secrets in it lost with the
old key.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

from django.apps import apps
from django.db import models

from core.crypto import CannotOpen, reseal

OURS = ("core.", "executors.", "jobs", "webhooks")
BATCH = 500
_SEALED = re.compile(r"v1\.[0-9a-f]{8}\.gAAAA")  # core.crypto's form around a Fernet token


@dataclass(slots=True)
class Rotated:
    """What became of the sealed values; `problems` names the rows that did not open."""

    found: int = 0
    changed: int = 0
    problems: list[str] = field(default_factory=list)


def rotate() -> Rotated:
    """Put every sealed value under the first key of FIELD_ENCRYPTION_KEYS. Safe while the system runs:
    a value that changes meanwhile is left as it then is, under the first key anyway."""
    rotated = Rotated()
    for model, name in columns():
        for pk, value in _sealed_values(model, name):
            rotated.found += 1
            try:
                resealed = reseal(value)
            except CannotOpen as error:
                rotated.problems.append(f"{model._meta.label} {pk}, {name}: {error}")
                continue
            if resealed != value:
                rotated.changed += model._default_manager.filter(pk=pk, **{name: value}).update(**{name: resealed})
    return rotated


def columns() -> Iterator[tuple[type[models.Model], str]]:
    """The text columns of our own models."""
    for model in apps.get_models():
        if model._meta.app_config.name.startswith(OURS) and model._meta.managed:
            for column in model._meta.concrete_fields:
                if isinstance(column, models.TextField):
                    yield model, column.attname


def _sealed_values(model: type[models.Model], name: str) -> Iterator[tuple[object, str]]:
    rows = model._default_manager.filter(**{f"{name}__startswith": "v1."}).order_by("pk").values_list("pk", name)
    batch = list(rows[:BATCH])
    while batch:
        yield from ((pk, value) for pk, value in batch if _SEALED.match(value))
        batch = list(rows.filter(pk__gt=batch[-1][0])[:BATCH])
